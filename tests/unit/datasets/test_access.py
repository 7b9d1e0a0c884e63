"""Data sets: where files are, what is refused, and collections that packages bring along."""

import importlib.metadata
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from multilode.data import Dataset, Origin, read, write
from multilode.datasets import (
    SUMS,
    ChecksumError,
    Collection,
    DatasetError,
    Entry,
    available,
    catalogue,
    file_paths,
    installed,
    load,
    write_sums,
)
from multilode.structures import Structures


def one_atom(label="CC"):
    return Dataset(
        structures=Structures.from_arrays(
            [np.zeros((1, 3))], [np.array([8])], [np.zeros((3, 3))], [np.zeros(3, dtype=bool)]
        ),
        columns={"label": (label,)},
        atom_columns={},
        source=(Origin("made", 0),),
    )


def test_parts_make_the_whole():
    whole, train = load("water-co2"), load("water-co2", "train")
    assert len(train) == 363
    assert (
        whole.labels("split") == ("train",) * 363 + ("dissociated",) * 33 + ("extrapolation",) * 330
    )
    assert [path.name for path in file_paths("water-co2", "train")] == ["water-co2_train.xyz.gz"]


def test_a_folder_is_looked_into_before_what_ships(tmp_path):
    shipped = file_paths("water-co2", "train")
    assert file_paths("water-co2", "train", folder=tmp_path) == shipped
    write(tmp_path / "water-co2.xyz.gz", one_atom())
    assert len(load("water-co2", folder=tmp_path)) == 1


def test_a_changed_file_is_refused(monkeypatch, tmp_path):
    shutil.copytree(installed.OWN.shipped, tmp_path / "shipped")
    copied = replace(installed.OWN, shipped=tmp_path / "shipped")
    monkeypatch.setattr(installed, "collections", lambda: (copied,))
    path = tmp_path / "shipped" / "water-co2_train.xyz.gz"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ChecksumError, match="install multilode again"):
        load("water-co2")
    (tmp_path / "shipped" / SUMS).write_text("")
    with pytest.raises(ChecksumError, match="does not list it"):
        load("water-co2")


def doubled(paths):
    """How a set of the collection below is read: every file twice."""
    return read([*paths, *paths])


def words(*, files=(), **more):
    return Entry(
        description="one atom",
        origin="third-party" if files else "made by us",
        level="none",
        targets={},
        paper="none",
        folder="atoms" if files else "",
        files=files,
        part_key="label",
        **more,
    )


@pytest.fixture
def toys(tmp_path, monkeypatch):
    """A package with one set that ships, one of the user's folder, one with a reader of its own."""
    shipped = tmp_path / "shipped"
    shipped.mkdir()
    write(shipped / "toy-atoms.xyz.gz", one_atom())
    write_sums(shipped, [shipped / "toy-atoms.xyz.gz"])
    entries = {
        "toy-atoms": words(make="nowhere:make"),
        "toy-files": words(files=("a.xyz", "b.xyz"), citation="their authors"),
        "toy-twice": words(files=("a.xyz",), read=f"{__name__}:doubled"),
        "toy-record": words(fetch="nowhere:fetch"),
        "toy-absent": words(make="nowhere:make"),
    }
    toys = Collection(package="toys", entries=entries, shipped=shipped)
    monkeypatch.setattr(
        installed, "entry_points", lambda group: [Point()] if group == installed.GROUP else []
    )

    class Point:
        name = "toys"

        def load(self):
            return toys

    for cached in (installed.collections, installed.catalogue):
        cached.cache_clear()
    yield toys
    for cached in (installed.collections, installed.catalogue):
        cached.cache_clear()


def test_sets_of_a_package_are_listed_and_loaded(toys, tmp_path, monkeypatch):
    monkeypatch.setenv("MULTILODE_CACHE", str(tmp_path / "cache"))
    assert list(catalogue()) == ["water-co2", *toys.entries]
    assert len(load("toy-atoms")) == 1
    assert [name for name in catalogue() if available(name)] == ["water-co2", "toy-atoms"]
    folder = tmp_path / "data" / "atoms"
    folder.mkdir(parents=True)
    write(folder / "a.xyz", one_atom("CC"))
    write(folder / "b.xyz", one_atom("PA"))
    monkeypatch.setenv("MULTILODE_DATA", str(folder.parent))
    assert load("toy-files").labels("label") == ("CC", "PA")
    assert len(load("toy-files", "b")) == len(load("toy-files", "PA")) == 1
    assert len(load("toy-twice")) == 2
    (tmp_path / "cache" / "toy-record").mkdir(parents=True)
    write(tmp_path / "cache" / "toy-record" / "c.xyz", one_atom())
    assert len(load("toy-record")) == 1


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("toy-files", "get it from their authors, and set MULTILODE_DATA"),
        ("toy-record", "fetch it with 'multilode datasets fetch toy-record'"),
        ("toy-absent", "make it with 'multilode datasets make toy-absent'"),
    ],
)
def test_what_is_not_here_says_how_to_get_it(toys, name, said, tmp_path, monkeypatch):
    monkeypatch.delenv("MULTILODE_DATA", raising=False)
    monkeypatch.setenv("MULTILODE_CACHE", str(tmp_path / "cache"))
    with pytest.raises(DatasetError, match=said):
        load(name)


def test_a_changed_file_names_the_package_to_install_again(toys):
    write(toys.shipped / "toy-atoms.xyz.gz", one_atom("other"))
    with pytest.raises(ChecksumError, match="install toys again"):
        load("toy-atoms")


def test_without_the_papers_their_sets_say_what_to_install(toys):
    with pytest.raises(DatasetError, match=r"no data set 'dimers' here.*'pip install multilode-pa"):
        load("dimers")


def test_the_own_set_needs_no_other_package():
    assert list(installed.OWN.entries) == ["water-co2"]
    size = sum(path.stat().st_size for path in Path(installed.OWN.shipped).iterdir())
    assert size < 50e3


def test_the_papers_are_found_by_their_entry_point():
    points = importlib.metadata.entry_points(group=installed.GROUP)
    assert {point.name for point in points} == {"papers"}
