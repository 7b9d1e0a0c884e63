"""What a training takes is foreseen by a few steps like its own."""

import tempfile
from pathlib import Path

import pytest
import torch

from crystals import random_structures
from multilode.expansion import FieldExpansion
from multilode.fields import GaussianDensity, SmearedPotential
from multilode.models.network import (
    FieldNetwork,
    Network,
    NetworkCommittee,
    TensorOutput,
    fit_network,
    probe_network,
)
from multilode.models.network.field_store import FieldStore
from multilode.models.targets import Forces, Stress
from multilode.radial import GaussianTypeOrbitals
from multilode.representation import FieldSet

BASIS = GaussianTypeOrbitals(n_radial=2, radius=2.5)
FIELDS = {
    "rho": FieldExpansion(GaussianDensity(smearing=0.6), BASIS, 2, neighbor_cutoff=2.5),
    "V": FieldExpansion(SmearedPotential(exponent=1, smearing=1.0), BASIS, 1),
}
RECIPE = FieldSet(fields=FIELDS, species=(1, 8))
SMALL = {"channels": 4, "hidden": 8, "charges": 2, "dipoles": 2, "validation": 0.2}
SETTINGS = Network(**SMALL, steps=21, batch_atoms=15, n_members=2)


@pytest.mark.parametrize("strained", [True, False], ids=["stresses", "forces"])
def test_counts_are_those_of_the_training(
    strained: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    structures = random_structures((1, 8), 1, periodic=3).select([0] * 10)
    zeros = torch.zeros(10, 1, dtype=torch.float64)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    found = probe_network(SETTINGS, RECIPE, structures, forces=True, stress=strained)
    assert list(tmp_path.glob("multilode*")) == []
    model = fit_network(
        SETTINGS,
        RECIPE,
        structures,
        zeros,
        forces=Forces(values=torch.zeros_like(structures.positions)),
        stress=Stress(values=torch.zeros_like(structures.cell)) if strained else None,
    )
    assert isinstance(model, NetworkCommittee)
    history = [len(member.history) for member in model.members]
    assert history == [found.passes] * 2
    network = FieldNetwork(model.members[0].size)
    assert found.weights == sum(weight.numel() for weight in network.parameters())
    store = FieldStore(RECIPE, structures, torch.float32, tmp_path, strains=strained)
    store.fill()
    stored = sum(path.stat().st_size for path in tmp_path.rglob("*.safetensors"))
    assert found.stored == pytest.approx(stored, rel=1e-12)
    assert 0 < found.step_seconds < 600
    assert 0 < found.field_seconds < 600
    assert found.peak > 1e7


def test_steps_are_those_of_all_members() -> None:
    structures = random_structures((1, 8), 10, periodic=3)
    found = probe_network(SETTINGS, RECIPE, structures)
    size = max(1, round(15 * 10 / structures.n_atoms))
    batches = -(-8 // size)
    assert found.passes == -(-21 // batches)
    assert found.steps == 2 * found.passes * batches


@pytest.mark.parametrize("per", ["structure", "atom"])
def test_tensors(per) -> None:
    output = TensorOutput(kind="symmetric", reduce="sum", per=per)
    settings = Network(**SMALL, steps=21)
    found = probe_network(settings, RECIPE, random_structures((1, 8), 4), output=output)
    assert found.weights > 100
