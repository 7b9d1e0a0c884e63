"""Networks: the same from stored and computed fields, invariant, trained as one expects."""

from dataclasses import replace

import pytest
import torch
from scipy.spatial.transform import Rotation

from multilode.errors import UserError
from multilode.expansion import FieldExpansion
from multilode.fields import GaussianDensity, SmearedPotential
from multilode.models.network import Network, fit_network, validation_set
from multilode.models.network.loss import Reference, deviations
from multilode.models.network.network import FieldNetwork
from multilode.models.network.stored import store, together
from multilode.models.network.training import energy_share
from multilode.models.targets import Forces
from multilode.radial import GaussianTypeOrbitals
from multilode.representation import FieldSet
from multilode.structures.batch import Structures

BASIS = GaussianTypeOrbitals(n_radial=2, radius=3.0)
RECIPE = FieldSet(
    fields={
        "rho": FieldExpansion(GaussianDensity(smearing=0.6), BASIS, 3, neighbor_cutoff=3.0),
        "V": FieldExpansion(SmearedPotential(exponent=1, smearing=1.0), BASIS, 1),
    },
    species=(1, 8),
)
SETTINGS = Network(
    channels=4, hidden=8, charges=2, dipoles=2, dtype="float64", steps=20, batch_atoms=8, average=5
)


def molecules(n: int, *, crystal: bool = False, seed: int = 0) -> Structures:
    """Some atoms near a grid; the last structure may be a crystal."""
    generator = torch.Generator().manual_seed(seed)
    counts = [3 + k % 3 for k in range(n)]
    place = torch.cat([torch.arange(count) for count in counts])
    grid = torch.cartesian_prod(*[torch.arange(2.0)] * 3).double() * 1.7
    noise = torch.randn(len(place), 3, generator=generator, dtype=torch.float64)
    pbc = torch.zeros(n, 3, dtype=torch.bool)
    pbc[-1] = crystal
    return Structures(
        positions=grid[place] + 0.15 * noise,
        species=torch.tensor([8, 1])[place % 2],
        cell=(4.0 * torch.eye(3, dtype=torch.float64)).repeat(n, 1, 1) * pbc.any(1)[:, None, None],
        pbc=pbc,
        structure_index=torch.arange(n).repeat_interleave(torch.tensor(counts)),
    )


def network(
    structures: Structures, settings: Network = SETTINGS, recipe: FieldSet = RECIPE
) -> FieldNetwork:
    """With random weights; those of energies are zero before a training."""
    torch.manual_seed(1)
    made = FieldNetwork(settings.size(recipe)).double()
    with torch.no_grad():
        for part in made.rounds:
            part.readout.last.weight[0] = torch.randn(settings.hidden)
        made(recipe.compute(structures), standardise=True)
    return made


def pair_energies(structures: Structures) -> tuple[torch.Tensor, torch.Tensor]:
    """Energies and forces of molecules whose atoms repel each other."""
    positions = structures.positions.clone().requires_grad_()
    apart = positions[:, None] - positions[None]
    same = structures.structure_index[:, None] == structures.structure_index[None]
    same = same & ~torch.eye(len(positions), dtype=torch.bool)
    distances = torch.linalg.vector_norm(apart[same], dim=1)
    pairs = torch.exp(-distances) / 2
    sums = torch.zeros(structures.n_structures, dtype=torch.float64)
    energies = sums.index_add(0, structures.structure_index[same.nonzero()[:, 0]], pairs)
    (gradient,) = torch.autograd.grad(energies.sum(), positions)
    return energies.detach()[:, None], -gradient


@pytest.mark.parametrize(
    ("settings", "n_batches", "passes"),
    [
        ({}, 40, 80),
        ({}, 3, 167),  # 500 steps
        ({}, 1000, 4),  # 50 steps for each of 80 epochs
        ({"epochs": 450}, 94, 240),
        ({"steps": 100}, 30, 4),
    ],
)
def test_small_sets_are_seen_more_often_and_large_ones_less(settings, n_batches, passes):
    assert Network(**settings).passes(n_batches) == passes


def test_stored_fields_are_those_that_are_computed() -> None:
    structures = molecules(3, crystal=True)
    made = network(structures)
    stored = together(store(RECIPE, structures, torch.float64))
    positions = structures.positions.clone().requires_grad_()
    computed = RECIPE.compute(replace(structures, positions=positions))
    moves = torch.zeros_like(positions).requires_grad_()
    energies = [made(fields)[0] for fields in (computed, replace(stored, displacements=moves))]
    torch.testing.assert_close(energies[0], energies[1], rtol=1e-9, atol=1e-9)
    gradients = [
        torch.autograd.grad(energy.sum(), x)[0]
        for energy, x in zip(energies, (positions, moves), strict=True)
    ]
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-6, atol=1e-7)


def test_energies_do_not_change_with_the_frame() -> None:
    structures = molecules(2)
    made = network(structures)
    expected = made(RECIPE.compute(structures))[0]
    rotation = torch.from_numpy(Rotation.random(random_state=2).as_matrix())
    for matrix in (rotation, -torch.eye(3).double()):
        moved = structures.positions @ matrix.T + torch.tensor([3.0, -1.0, 0.5])
        found = made(RECIPE.compute(replace(structures, positions=moved)))[0]
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("rounds", [1, 2])
def test_messages_reach_beyond_the_cutoff(rounds: int) -> None:
    """A chain whose ends see its middle but not each other, without a potential."""
    structures = molecules(1)
    chain = torch.tensor([[0.0, 0, 0], [2.5, 0.3, 0], [5.0, 0, 0.2]], dtype=torch.float64)
    structures = replace(structures, positions=chain)
    short = replace(RECIPE, fields={"rho": RECIPE.fields["rho"]})
    made = network(structures, replace(SETTINGS, rounds=rounds), short)
    bent = chain + torch.tensor([[0.0, 0, 0], [0, 0, 0], [0, 0.3, 0]])
    with torch.no_grad():
        ends = [made(short.compute(replace(structures, positions=x)))[0][0] for x in (chain, bent)]
    assert (float((ends[0] - ends[1]).abs()) > 1e-6) == (rounds == 2)


def test_gradients_of_the_loss_are_its_slopes() -> None:
    structures = molecules(2)
    made = network(structures)
    energies, forces = pair_energies(structures)
    fields = together(store(RECIPE, structures, torch.float64))
    parts = forces.split(structures.counts.tolist())
    known = [Reference(float(e), f) for e, f in zip(energies[:, 0], parts, strict=True)]

    def loss() -> torch.Tensor:
        return deviations(made, fields, known, train=True).loss(0.7, 1.0)

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
        assert (ends[0] - ends[1]) / 2e-5 == pytest.approx(expected, rel=1e-4, abs=1e-7)


def fitted(settings: Network, structures: Structures, **more):
    energies, forces = pair_energies(structures)
    return fit_network(settings, RECIPE, structures, energies, forces=Forces(values=forces), **more)


def test_training_learns_energies_and_forces() -> None:
    structures = molecules(12)
    forces = pair_energies(structures)[1]
    settings = replace(SETTINGS, steps=90, validation=0.0, batch_atoms=16, learning_rate=0.02)
    found = fitted(settings, structures)
    positions = structures.positions.clone().requires_grad_()
    predicted = found.predict(RECIPE.compute(replace(structures, positions=positions)))
    (gradient,) = torch.autograd.grad(predicted.sum(), positions)
    error = float((gradient + forces).square().mean().sqrt())
    assert error < 0.1 * float(forces.square().mean().sqrt())
    assert found.history[-1].train < 0.2 * found.history[0].train


class Stopped(Exception):
    """As if the process had been stopped."""


def test_a_stopped_training_goes_on_where_it_was(tmp_path) -> None:
    structures = molecules(9)
    undisturbed = fitted(SETTINGS, structures)
    path = tmp_path / "checkpoint.safetensors"

    def stop(done: int, total: int) -> None:
        if done == 2:
            raise Stopped

    with pytest.raises(Stopped):
        fitted(SETTINGS, structures, checkpoint=path, progress=stop)
    found = fitted(SETTINGS, structures, checkpoint=path)
    assert found.history == undisturbed.history
    for name, weight in undisturbed.weights.items():
        torch.testing.assert_close(found.weights[name], weight, rtol=0, atol=0)


def test_a_training_stopped_within_an_epoch_goes_on_there(tmp_path, monkeypatch) -> None:
    structures = molecules(9)
    undisturbed = fitted(SETTINGS, structures)
    path = tmp_path / "checkpoint.safetensors"
    monkeypatch.setattr("multilode.models.network.training._SECONDS", 0.0)
    write, calls = __import__("multilode.models.network.training", fromlist=["x"]).write_state, []

    def written(*given) -> None:
        write(*given)
        calls.append(given)
        if len(calls) == 7:
            raise Stopped

    monkeypatch.setattr("multilode.models.network.training.write_state", written)
    with pytest.raises(Stopped):
        fitted(SETTINGS, structures, checkpoint=path)
    assert calls[-1][0].batch > 0
    found = fitted(SETTINGS, structures, checkpoint=path)
    for name, weight in undisturbed.weights.items():
        torch.testing.assert_close(found.weights[name], weight, rtol=0, atol=0)


def test_checkpoints_of_others_are_refused(tmp_path) -> None:
    structures = molecules(6)
    path = tmp_path / "checkpoint.safetensors"
    fitted(replace(SETTINGS, steps=3), structures, checkpoint=path)
    with pytest.raises(UserError, match="other settings or data"):
        fitted(replace(SETTINGS, steps=9), structures, checkpoint=path)
    path.write_bytes(b"damaged")
    with pytest.raises(UserError, match="no checkpoint"):
        fitted(SETTINGS, structures, checkpoint=path)


def test_groups_are_set_aside_whole() -> None:
    groups = torch.tensor([0, 0, 1, 1, 2, 2, 3, 3, 4, 4])
    apart = validation_set(10, groups, replace(SETTINGS, validation=0.4))
    assert len(apart) == 4
    assert all(apart.count(k) == 1 and (k ^ 1) in apart for k in apart)
    assert validation_set(10, None, replace(SETTINGS, validation=0.0)) == []
    with pytest.raises(ValueError, match="one group"):
        validation_set(10, torch.zeros(10).long(), SETTINGS)


def test_energies_count_more_at_the_end() -> None:
    shares = [energy_share(done / 10) for done in range(11)]
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert shares[0] == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("channels", 0),
        ("learning_rate", 0.0),
        ("validation", 1.0),
        ("dtype", "half"),
        ("device", "tpu"),
        ("patience", 0),
        ("dipoles", -1),
        ("weight_decay", -1.0),
    ],
)
def test_settings_out_of_range_are_refused(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=name):
        Network(**{name: value})
