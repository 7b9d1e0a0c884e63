"""Networks that learn from stresses: slopes under strain from stored fields, and their errors."""

from dataclasses import replace

import pytest
import torch

from crystals import random_structures
from multilode.errors import StructureError
from multilode.expansion import FieldExpansion
from multilode.fields import GaussianDensity, SmearedPotential
from multilode.models.network import Network
from multilode.models.network.loss import Reference, deviations
from multilode.models.network.network import FieldNetwork
from multilode.models.network.stored import store, together
from multilode.models.targets import Forces, Stress
from multilode.prediction import train
from multilode.radial import GaussianTypeOrbitals
from multilode.representation import FieldSet
from multilode.representation.feature_recipe import FeatureRecipe
from multilode.structures.batch import Structures
from multilode.structures.periods import along_periods, projectors

BASIS = GaussianTypeOrbitals(n_radial=2, radius=2.5)
FIELDS = {
    "rho": FieldExpansion(GaussianDensity(smearing=0.6), BASIS, 2, neighbor_cutoff=2.5),
    "V": FieldExpansion(SmearedPotential(exponent=1, smearing=1.0), BASIS, 1),
}
RECIPE = FieldSet(fields=FIELDS, species=(1, 8))
SETTINGS = Network(channels=4, hidden=8, charges=2, dipoles=2, dtype="float64", steps=20)


def network() -> FieldNetwork:
    """With random weights."""
    torch.manual_seed(1)
    made = FieldNetwork(SETTINGS.size(RECIPE)).double()
    with torch.no_grad():
        for part in made.rounds:
            part.readout.last.weight[0] = torch.randn(SETTINGS.hidden)
    return made


def strained(structures: Structures, strain: torch.Tensor) -> Structures:
    each = strain[structures.structure_index]
    positions = structures.positions
    return replace(
        structures,
        positions=positions + torch.einsum("ia,iab->ib", positions, each),
        cell=structures.cell + structures.cell @ strain,
    )


@pytest.mark.parametrize("periodic", [2, 3])
def test_strains_of_stored_fields_are_those_of_the_computed(periodic: int) -> None:
    structures, made = random_structures((1, 8), 2, periodic=periodic), network()
    stored = together(store(RECIPE, structures, torch.float64, strains=True))
    zeros = torch.zeros(2, 3, 3, dtype=torch.float64)
    moves = torch.zeros_like(structures.positions)
    strain, own = zeros.clone().requires_grad_(), zeros.clone().requires_grad_()
    energies = made(RECIPE.compute(strained(structures, strain)))[0]
    again = made(replace(stored, displacements=moves, strains=own))[0]
    torch.testing.assert_close(again, energies, rtol=1e-8, atol=1e-9)
    expected = torch.autograd.grad(energies.sum(), strain)[0]
    found = torch.autograd.grad(again.sum(), own)[0]
    parts = [along_periods((x + x.mT) / 2, structures) for x in (found, expected)]
    torch.testing.assert_close(*parts, rtol=1e-6, atol=1e-7 * float(parts[1].abs().max()))


def test_gradients_of_the_loss_are_its_slopes() -> None:
    structures, made = random_structures((1, 8), 2, periodic=3), network()
    fields = together(store(RECIPE, structures, torch.float64, strains=True))
    onto = projectors(structures)
    known = [Reference(0.5, None, torch.eye(3).double() * k, onto[k]) for k in range(2)]

    def loss() -> torch.Tensor:
        return deviations(made, fields, known, train=True).loss(0.7, 0.3)

    loss().backward()
    generator = torch.Generator().manual_seed(4)
    for parameter in made.parameters():
        if parameter.grad is None:
            continue
        direction = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
        expected = float((parameter.grad * direction).sum())
        ends = []
        for step in (1e-5, -2e-5):
            with torch.no_grad():
                parameter += step * direction
            ends.append(float(loss().detach()))
        with torch.no_grad():
            parameter += 1e-5 * direction
        assert (ends[0] - ends[1]) / 2e-5 == pytest.approx(expected, rel=1e-4, abs=1e-6)


def repulsion(structures: Structures) -> tuple[torch.Tensor, Forces, Stress]:
    """Pairs within the smallest images of crystals that repel each other, and their stress."""
    positions = structures.positions.clone().requires_grad_()
    strain = torch.zeros(structures.n_structures, 3, 3, dtype=torch.float64).requires_grad_()
    moved = strained(replace(structures, positions=positions), strain)
    index = structures.structure_index
    same = (index[:, None] == index[None]) & ~torch.eye(len(index), dtype=torch.bool)
    i, j = same.nonzero().T
    apart = moved.positions[j] - moved.positions[i]
    shifts = (apart.detach() @ torch.linalg.inv(structures.cell[0])).round()
    apart = apart - torch.einsum("pa,pab->pb", shifts, moved.cell[index[i]])
    pairs = torch.exp(-apart.norm(dim=1)) / 2
    sums = torch.zeros(structures.n_structures, dtype=torch.float64)
    energies = sums.index_add(0, index[i], pairs)
    slopes, virial = torch.autograd.grad(energies.sum(), (positions, strain))
    stress = (virial + virial.mT) / 2 / structures.volumes[:, None, None]
    return energies.detach(), Forces(values=-slopes), Stress(values=stress)


def test_stresses_are_learned() -> None:
    structures = random_structures((1, 8), 8, periodic=3)
    energies, forces, stress = repulsion(structures)
    recipe = FeatureRecipe(fields=FIELDS, products=(("rho",), ("V",)))
    settings = replace(
        SETTINGS, steps=40, validation=0.25, batch_atoms=18, learning_rate=0.02, average=5
    )
    errors = {}
    for name, learned in (("without", None), ("with", stress)):
        more = {"forces": forces, "stress": learned, "estimator": settings}
        model = train(recipe, structures, "energy", y=energies, **more)
        known = torch.as_tensor(stress.values)
        found = model.predict(structures, stress=True).stress
        errors[name] = float((found - known).square().mean().sqrt() / known.std())
    assert errors["with"] < 0.7 * errors["without"]
    assert all(row.virial is not None for row in model.model.history)
    assert "stress times volume" in str(model.model.history[0])


def test_stresses_that_a_network_cannot_learn() -> None:
    structures = random_structures((1, 8), 4)
    options = {"y": torch.zeros(4), "estimator": SETTINGS}
    recipe = FeatureRecipe(fields=FIELDS, products=(("rho",), ("V",)))
    with pytest.raises(StructureError, match="is not periodic"):
        train(recipe, structures, "energy", stress=torch.ones(4, 3, 3), **options)
    weighted = Stress(values=torch.ones(4, 3, 3), weight=2.0)
    with pytest.raises(ValueError, match="give stress_weight to the network"):
        train(recipe, structures, "energy", stress=weighted, **options)
