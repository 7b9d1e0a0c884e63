"""Stored fields in files are those that are computed, whatever is in the folder before."""

from pathlib import Path

import pytest
import torch
from ase.build import molecule

from crystals import structures_of, water_box
from multilode.errors import DataWarning
from multilode.expansion import FieldExpansion
from multilode.fields import GaussianDensity, SmearedPotential
from multilode.models.network import field_store
from multilode.models.network.field_store import FieldStore
from multilode.models.network.stored import StoredFields, store, together
from multilode.radial import GaussianTypeOrbitals
from multilode.representation import FieldSet

BASIS = GaussianTypeOrbitals(n_radial=2, radius=3.0)
RECIPE = FieldSet(
    fields={
        "rho": FieldExpansion(GaussianDensity(smearing=0.6), BASIS, 2, neighbor_cutoff=3.0),
        "V": FieldExpansion(SmearedPotential(exponent=1, smearing=1.0), BASIS, 1),
    },
    species=(1, 6, 8),
)
STRUCTURES = structures_of(*[molecule(name) for name in ("H2O", "CO2", "CH4", "H2CO")])
DTYPE = torch.float32


def assert_same(found: StoredFields, expected: StoredFields) -> None:
    assert torch.equal(found.kinds, expected.kinds)
    assert torch.equal(found.structure_index, expected.structure_index)
    assert set(found.fields) == set(expected.fields)
    for name, field in expected.fields.items():
        for part in ("source", "values", "slopes"):
            assert torch.equal(getattr(found.fields[name], part), getattr(field, part)), part
        assert found.fields[name].components == field.components


def expected(numbers: list[int]) -> StoredFields:
    return together([store(RECIPE, STRUCTURES, DTYPE)[k] for k in numbers])


@pytest.mark.parametrize("given", [True, False], ids=["folder", "temporary folder"])
def test_files_hold_what_is_computed(tmp_path: Path, given: bool) -> None:
    found = FieldStore(RECIPE, STRUCTURES, DTYPE, tmp_path / "fields" if given else None)
    reports = []
    found.fill(lambda done, total: reports.append((done, total)))
    assert reports[-1] == (4, 4)
    assert len(list(found.folder.iterdir())) == 4
    assert_same(found.together([2, 0, 3]), expected([2, 0, 3]))
    found.remove()
    assert not found.folder.exists()
    assert list(tmp_path.iterdir()) == []


def test_second_start_computes_what_is_missing(tmp_path: Path) -> None:
    first = FieldStore(RECIPE, STRUCTURES, DTYPE, tmp_path)
    first.fill()
    files = sorted(first.folder.iterdir())
    files[1].unlink()
    times = {path: path.stat().st_mtime_ns for path in files if path.exists()}
    second = FieldStore(RECIPE, STRUCTURES, DTYPE, tmp_path)
    assert second.folder == first.folder
    second.fill()
    assert sorted(second.folder.iterdir()) == files
    assert times == {path: path.stat().st_mtime_ns for path in times}
    assert_same(second.together([0, 1]), expected([0, 1]))


def test_damaged_file_is_computed_again(tmp_path: Path) -> None:
    found = FieldStore(RECIPE, STRUCTURES, DTYPE, tmp_path)
    found.fill()
    path = sorted(found.folder.iterdir())[3]
    path.write_bytes(path.read_bytes()[:100])
    assert_same(found.together([3, 1]), expected([3, 1]))


def test_other_structures_have_other_files(tmp_path: Path) -> None:
    folders = {
        FieldStore(RECIPE, structures, dtype, tmp_path).folder
        for structures in (STRUCTURES, structures_of(water_box()))
        for dtype in (torch.float32, torch.float64)
    }
    assert len(folders) == 4


def test_a_full_disk_is_told_and_done_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(field_store, "_DISK_SHARE", 0.0)
    monkeypatch.setattr(field_store, "_BATCH_ATOMS", 6)
    found = FieldStore(RECIPE, STRUCTURES, DTYPE, tmp_path)
    with pytest.warns(DataWarning, match="computed anew in every epoch"):
        found.fill()
    assert list(tmp_path.iterdir()) == []
    assert_same(found.together([3, 1]), expected([3, 1]))
