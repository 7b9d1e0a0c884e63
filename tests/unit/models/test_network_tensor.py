"""Networks of tensors: they rotate, learn what they are shown, and come back from files."""

from dataclasses import replace

import pytest
import torch
from scipy.spatial.transform import Rotation

from crystals import random_structures
from multilode.config.store import load, save
from multilode.expansion import FieldExpansion
from multilode.fields import GaussianDensity, SmearedPotential
from multilode.models import Network
from multilode.models.network import FieldNetwork, TensorOutput
from multilode.models.network.tensor_readout import product_paths
from multilode.models.targets import Target
from multilode.prediction import train
from multilode.radial import GaussianTypeOrbitals
from multilode.representation import FieldSet
from multilode.representation.feature_recipe import FeatureRecipe
from multilode.structures.batch import Structures
from multilode.symmetry.cartesian import TENSORS, tensor_kind
from multilode.symmetry.irrep import Irrep
from often import often

BASIS = GaussianTypeOrbitals(n_radial=3, radius=4.0)
FIELDS = {
    "rho": FieldExpansion(GaussianDensity(smearing=0.6), BASIS, 3, neighbor_cutoff=4.0),
    "V": FieldExpansion(SmearedPotential(exponent=1, smearing=1.0), BASIS, 2),
}
FIELD_SET = FieldSet(fields=FIELDS, species=(1, 8))
RECIPE = FeatureRecipe(fields=FIELDS, products=(("rho",), ("V",)))
SETTINGS = Network(channels=4, hidden=8, charges=2, dipoles=2, dtype="float64", validation=0.2)


def molecules(n: int, seed: int = 0) -> Structures:
    return random_structures((1, 8), n, seed=seed)


def polarizations(structures: Structures, kind: str) -> torch.Tensor:
    """Powers of vectors between all atoms, weighted by charges and distances."""
    charges = torch.where(structures.species == 8, -0.8, 0.5).double()
    index, rank, rows = structures.structure_index, tensor_kind(kind).rank, []
    for k in range(structures.n_structures):
        r, q = structures.positions[index == k], charges[index == k]
        apart = r[:, None] - r
        weight = torch.exp(-apart.square().sum(-1) / 4) * (q[:, None] + q.square())
        power = weight
        for _ in range(rank):
            power = power[..., None] * apart.reshape(*apart.shape[:2], *(1,) * (power.ndim - 2), 3)
        rows.append(power.sum(dim=(0, 1)).flatten())
    return torch.stack(rows)


@pytest.mark.parametrize("kind", [kind for kind in TENSORS if kind != "rank3"])
def test_tensors_rotate_and_are_reflected(kind: str) -> None:
    torch.manual_seed(0)
    output = TensorOutput(kind=kind, reduce="sum", per="atom")
    made = FieldNetwork(SETTINGS.size(FIELD_SET, output)).double()
    structures = molecules(2)
    found = made(FIELD_SET.compute(structures), standardise=True)[0]
    assert found.shape == (structures.n_atoms, tensor_kind(kind).size)
    rotation = torch.from_numpy(Rotation.random(random_state=1).as_matrix())
    for matrix in (rotation, -rotation):
        turned = replace(structures, positions=structures.positions @ matrix.T)
        again = made(FIELD_SET.compute(turned))[0]
        expected = found.detach().reshape(-1, *tensor_kind(kind).shape)
        for axis in range(1, expected.ndim):
            expected = torch.tensordot(expected, matrix, dims=([axis], [1])).movedim(-1, axis)
        torch.testing.assert_close(again.flatten(), expected.flatten(), rtol=1e-7, atol=1e-8)
    assert float(found.detach().abs().max()) > 1e-3


def test_pseudovectors_come_from_products_alone() -> None:
    assert product_paths(Irrep(1, -1), 3) == [(1, 1), (2, 2), (3, 3)]
    assert product_paths(Irrep(2), 2) == [(1, 1), (2, 2)]


@pytest.mark.parametrize("kind", often(["vector", "symmetric"], ["symmetric"]))
def test_tensors_are_learned(kind: str, tmp_path) -> None:
    """Those of structures that it has not seen, better than their mean."""
    known, new = molecules(30), molecules(20, seed=7)
    target = Target(key="alpha", tensor=kind)
    settings = replace(SETTINGS, steps=80, learning_rate=0.03, batch_atoms=40, average=10)
    model = train(RECIPE, known, target, y=polarizations(known, kind), estimator=settings)
    found = model.predict(new)
    expected = polarizations(new, kind).reshape(found.values.shape)
    assert found.values.shape == (20, *tensor_kind(kind).shape)
    beside = polarizations(known, kind).mean(dim=0).reshape(found.values.shape[1:])
    error = (found.values - expected).square().mean().sqrt()
    assert float(error) < 0.6 * float((beside - expected).square().mean().sqrt())
    assert model.model.history[-1].component < model.model.history[0].component
    save(model, tmp_path / "model.safetensors")
    again = load(tmp_path / "model.safetensors")
    assert torch.equal(again.predict(new).values, found.values)
    with pytest.raises(ValueError, match="has no error bars"):
        again.predict(new, std=True)
    with pytest.raises(ValueError, match="forces and stress need a target with one column"):
        again.predict(new, forces=True)


def test_charges_of_atoms_and_means_are_learned() -> None:
    known = molecules(8)
    charges = torch.where(known.species == 8, -0.8, 0.5).double()
    each = Target(key="q", per="atom")
    settings = replace(SETTINGS, steps=40, learning_rate=0.03, average=8)
    model = train(RECIPE, known, each, y=charges, estimator=settings)
    found = model.predict(known).values
    assert found.shape == (known.n_atoms,)
    assert float((found - charges).square().mean()) < 0.1
    mean = Target(key="gap", reduce="mean")
    share = torch.zeros(8).double().index_add(0, known.structure_index, charges) / known.counts
    model = train(RECIPE, known, mean, y=share, estimator=settings)
    doubled = known.select(list(range(8)))
    assert model.predict(doubled).values.shape == (8,)
    assert float((model.predict(known).values - share).std()) < 0.9 * float(share.std())


def test_what_a_network_of_tensors_cannot_learn() -> None:
    known = molecules(4)
    y, vector = torch.zeros(4, 3), Target(key="mu", tensor="vector")
    forces = torch.zeros(known.n_atoms, 3)
    with pytest.raises(ValueError, match="derivatives of an energy"):
        train(RECIPE, known, vector, y=y, forces=forces, estimator=SETTINGS)
    with pytest.raises(ValueError, match="several networks with error bars are for energies"):
        train(RECIPE, known, vector, y=y, estimator=replace(SETTINGS, n_members=2))
    flat = {
        name: replace(field, max_angular=0, basis=GaussianTypeOrbitals(2, 3.0))
        for name, field in FIELDS.items()
    }
    short = FieldSet(fields=flat, species=(1, 8))
    vectors = TensorOutput(kind="vector", reduce="sum", per="structure")
    size = replace(SETTINGS, dipoles=0).size(short, vectors)
    with pytest.raises(ValueError, match="no two fields with max_angular 0 make"):
        FieldNetwork(size)
    chiral = TensorOutput(kind="rank3", reduce="sum", per="structure")
    size = SETTINGS.size(FIELD_SET, chiral)
    with pytest.raises(ValueError, match="'rank3' has a pseudoscalar"):
        FieldNetwork(size)
