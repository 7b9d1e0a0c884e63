"""Several networks and their mean: error bars from their spread."""

from dataclasses import replace

import pytest
import torch

from multilode.config.store import load, save
from multilode.expansion import FieldExpansion
from multilode.fields import GaussianDensity
from multilode.models.network import Network, NetworkCommittee, fit_network
from multilode.models.targets import Target
from multilode.prediction import Predictor, train
from multilode.radial import GaussianTypeOrbitals
from multilode.representation import FieldSet, Representation
from multilode.structures.batch import Structures

BASIS = GaussianTypeOrbitals(n_radial=2, radius=3.0)
FEATURES = Representation(
    fields={"rho": FieldExpansion(GaussianDensity(smearing=0.6), BASIS, 1, neighbor_cutoff=3.0)},
    products=(("rho",),),
    species=(1,),
    centers=(1,),
)
ONE = Network(
    channels=3, hidden=4, charges=1, dipoles=0, dtype="float64", steps=6, batch_atoms=9, average=5,
    validation=0.4,
)  # fmt: skip
THREE = replace(ONE, n_members=3)


class Stopped(Exception):
    """As of Ctrl-C."""


def trimers(n: int) -> Structures:
    generator = torch.Generator().manual_seed(0)
    corners = torch.tensor([[0.0, 0, 0], [1.5, 0, 0], [0, 1.5, 0]]).double().repeat(n, 1)
    noise = torch.randn(3 * n, 3, generator=generator, dtype=torch.float64)
    return Structures(
        positions=corners + 0.2 * noise,
        species=torch.ones(3 * n, dtype=torch.int64),
        cell=torch.zeros(n, 3, 3, dtype=torch.float64),
        pbc=torch.zeros(n, 3, dtype=torch.bool),
        structure_index=torch.arange(n).repeat_interleave(3),
    )


def energies(structures: Structures) -> torch.Tensor:
    return structures.positions.square().sum(dim=1).unflatten(0, (-1, 3)).sum(dim=1)[:, None]


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    structures = trimers(16)
    y = energies(structures)
    return train(FEATURES, structures, Target(key="energy", unit="eV"), y=y, estimator=THREE)


def test_the_first_of_several_is_the_one_of_the_same_seed_and_the_others_differ() -> None:
    structures, recipe = trimers(12), FieldSet.of(FEATURES)
    three = fit_network(THREE, recipe, structures, energies(structures))
    one = fit_network(ONE, recipe, structures, energies(structures))
    assert isinstance(three, NetworkCommittee)
    fields = recipe.compute(structures)
    every = three.every(fields)[:, :, 0]
    torch.testing.assert_close(every[:, 0], one.predict(fields)[:, 0], rtol=0, atol=0)
    torch.testing.assert_close(three.predict(fields)[:, 0], every.mean(dim=1))
    assert float(every.std(dim=1).min()) > 0


def test_bars_are_the_scaled_spread_of_energies_and_forces(predictor: Predictor) -> None:
    structures = trimers(3)
    found = predictor.predict(structures, forces=True, std=True)
    model = predictor.model
    assert isinstance(model, NetworkCommittee)
    alpha = float(model.calibration.scale)

    def every(structures: Structures) -> torch.Tensor:
        return model.every(predictor.representation.compute(structures))[:, :, 0]

    spread = every(structures).std(dim=1)
    torch.testing.assert_close(found.std, alpha * spread)
    moved = []
    for step in (1e-4, -1e-4):
        positions = structures.positions.clone()
        positions[4, 1] += step
        moved.append(every(replace(structures, positions=positions))[1])
    slopes = (moved[0] - moved[1]) / 2e-4
    assert float(found.forces[4, 1]) == pytest.approx(-float(slopes.mean()), rel=1e-5, abs=1e-7)
    assert float(found.forces_std[4, 1]) == pytest.approx(alpha * float(slopes.std()), rel=1e-4)


def test_several_survive_the_file(tmp_path, predictor: Predictor) -> None:
    structures = trimers(3)
    found = predictor.predict(structures, std=True)
    save(predictor, tmp_path / "model.safetensors")
    again = load(tmp_path / "model.safetensors").predict(structures, std=True)
    torch.testing.assert_close(again.values, found.values)
    torch.testing.assert_close(again.std, found.std)


def test_a_training_of_several_goes_on_with_the_second(tmp_path) -> None:
    structures, recipe = trimers(12), FieldSet.of(FEATURES)
    y = energies(structures)
    undisturbed = fit_network(THREE, recipe, structures, y)
    path = tmp_path / "checkpoint.safetensors"

    def stop(done: int, total: int) -> None:
        if total != 12 and done == total // 2:  # 12 are the structures that are stored
            raise Stopped

    with pytest.raises(Stopped):
        fit_network(THREE, recipe, structures, y, checkpoint=path, progress=stop)
    assert (tmp_path / "checkpoint-2.safetensors").exists()
    found = fit_network(THREE, recipe, structures, y, checkpoint=path)
    for one, other in zip(found.members, undisturbed.members, strict=True):
        for name, weight in one.weights.items():
            torch.testing.assert_close(weight, other.weights[name], rtol=0, atol=0)


def test_the_settings_say_what_is_wrong() -> None:
    with pytest.raises(ValueError, match="n_members is 0; use 1 or more"):
        Network(n_members=0)
