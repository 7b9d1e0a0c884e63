"""What the catalogue says of a data set is what its files hold."""

import hashlib
import os
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from multilode.data import DataError, read
from multilode.datasets import (
    DatasetError,
    available,
    catalogue,
    file_paths,
    installed,
    load,
    read_sums,
)
from multilode_papers.datasets import COLLECTION
from multilode_papers.makers.frames import Frame, dataset_of
from multilode_papers.makers.shipping import write_compact, write_parts
from often import often

DATASETS = catalogue()
THIRD_PARTY = [name for name, entry in DATASETS.items() if entry.origin == "third-party"]
HERE = [name for name in DATASETS if name not in THIRD_PARTY and available(name)]


def check_as_described(name):
    entry, dataset = DATASETS[name], load(name)
    assert len(dataset) == entry.structures
    for key in entry.targets:
        if key in dataset.columns:
            assert np.isfinite(dataset.column(key)).all()
        else:
            assert all(np.isfinite(rows).all() for rows in dataset.atom_columns[key])


# seconds of reading each
LARGE = (
    "polypeptides",
    "neutral-dimers",
    "relaxed-neutral-dimers",
    "dimers",
    "lithium-water",
    "point-charges",
)
LARGE_OF_OTHERS = ("noncovalent-curves", "bulk-water", "side-chain-dimers")


@pytest.mark.parametrize("name", often(HERE, [name for name in HERE if name not in LARGE]))
def test_what_is_here_is_as_described(name):
    check_as_described(name)


@pytest.mark.parametrize(
    "name", often(THIRD_PARTY, [name for name in THIRD_PARTY if name not in LARGE_OF_OTHERS])
)
def test_third_party_data_are_as_described(name):
    if not os.environ.get("MULTILODE_DATA"):
        pytest.skip("MULTILODE_DATA is not set: no third-party data to read")
    check_as_described(name)


def test_all_that_is_made_ships():
    made_here = {name for name, entry in DATASETS.items() if entry.origin.startswith("made by us")}
    assert len(made_here) == 9
    assert made_here <= set(HERE)


ORIGINS = {
    "made by us": "made, ships",
    "made by us, MODEL DATA": "**model data**, ships",
    "third-party": "third-party",
    "fetched from an archive": "fetched",
}
PLACE = re.compile(r"(?:Figs?\.|Table) [\d-]+")  # of a paper


def test_the_table_of_the_documentation_is_that_of_the_catalogue():
    text = (Path(__file__).parents[2] / "docs" / "datasets.md").read_text(encoding="utf-8")
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()]
    rows = {cells[0].strip("`"): cells[1:] for cells in lines if cells and cells[0][0] == "`"}
    assert list(rows) == list(DATASETS)
    for name, (origin, structures, paper, targets) in rows.items():
        entry = DATASETS[name]
        assert origin == ORIGINS[entry.origin]
        assert entry.structures is None or structures.split()[0] == str(entry.structures)
        assert {key.strip(" `") for key in targets.split(",")} == set(entry.targets)
        assert set(PLACE.findall(paper)) == set(PLACE.findall(entry.paper))


@pytest.mark.parametrize("collection", installed.collections(), ids=lambda one: one.package)
def test_files_that_ship_are_those_of_the_sums_and_belong_to_the_catalogue(collection):
    files = {path.name: path for path in collection.shipped.glob("*.gz")}
    sums = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()}
    assert sums == read_sums(collection.shipped)
    named = {path.name for name in HERE if name in collection.entries for path in file_paths(name)}
    assert set(files) == named
    assert sum(path.stat().st_size for path in files.values()) < 25e6


def test_model_data_say_so_and_others_say_where_they_come_from():
    for entry in DATASETS.values():
        assert ("MODEL DATA" in entry.caveat) == (entry.origin.endswith("MODEL DATA"))
        assert entry.citation
        assert entry.paper
        assert bool(entry.files) == bool(entry.folder) == (entry.origin == "third-party")


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: load("water-co3"), "did you mean 'water-co2'"),
        (lambda: available("nonsense"), "choose from water-co2, point-charges"),
        (lambda: load("water-co2", "validation"), "dissociated, extrapolation, train"),
        (lambda: file_paths("water-co2", "validation"), "train, dissociated, extrapolation"),
        (lambda: load("bulk-water"), "set MULTILODE_DATA (or give the folder) to where bulk_water"),
        (lambda: load("bulk-water", folder="/nowhere"), "/nowhere/bulk_water/bulk_water.xyz.gz"),
        (lambda: load("dimers-2021", folder="/nowhere"), "multilode datasets fetch dimers-2021"),
    ],
)
def test_what_is_missing_is_said_in_one_line(call, said, monkeypatch):
    monkeypatch.delenv("MULTILODE_DATA", raising=False)
    with pytest.raises(DatasetError) as caught:
        call()
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_set_that_does_not_ship_says_how_it_is_made(monkeypatch, tmp_path):
    empty = replace(COLLECTION, shipped=tmp_path)
    monkeypatch.setattr(installed, "collections", lambda: (installed.OWN, empty))
    assert not available("dimers")
    with pytest.raises(DatasetError, match="'multilode datasets make dimers' and give its folder"):
        load("dimers")
    with pytest.raises(DatasetError, match=r"/nowhere holds no dimers\.xyz\.gz or dimers_PART"):
        load("dimers", folder="/nowhere")


def made(parts):
    frames = [
        Frame(species=np.array([1, 8]), positions=np.eye(3)[:2], values={"label": part, "e": 1.5})
        for part in parts
    ]
    return dataset_of(frames)


def test_parts_without_a_file_are_chosen_by_their_key(tmp_path):
    folder = tmp_path / "bfdb_ssi"
    folder.mkdir()
    write_compact(folder / "bfdb_ssi.xyz.gz", made(["CC", "PA", "CC"]))
    assert len(load("side-chain-dimers", "CC", folder=tmp_path)) == 2
    with pytest.raises(DatasetError, match="has no part 'AA'; it has CC, PA"):
        load("side-chain-dimers", "AA", folder=tmp_path)
    write_compact(tmp_path / "dimers.xyz.gz", made(["CC"]))
    with pytest.raises(DatasetError, match="'dimers' has no parts"):
        load("dimers", "train", folder=tmp_path)


def test_a_part_of_several_files_is_one_of_them(tmp_path):
    folder = tmp_path / "ncia"
    folder.mkdir()
    for file in DATASETS["noncovalent-curves"].files:
        write_compact(folder / file, made(["CP", "AA"]))
    assert len(load("noncovalent-curves", folder=tmp_path)) == 8
    assert len(load("noncovalent-curves", "D442x10", folder=tmp_path)) == 2
    assert len(load("noncovalent-curves", "AA", folder=tmp_path)) == 4


def test_a_broken_file_names_itself(tmp_path):
    (tmp_path / "dimers.xyz.gz").write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"dimers\.xyz\.gz"):
        load("dimers", folder=tmp_path)


@given(seed=st.integers(0, 99), decimals=st.integers(1, 8))
def test_compact_files_lose_nothing(tmp_path_factory, seed, decimals):
    rng = np.random.default_rng(seed)
    folder = tmp_path_factory.mktemp("compact")
    frames = [
        Frame(
            species=np.array([1, 8, 6]),
            positions=np.round(rng.normal(scale=30.0, size=(3, 3)), decimals),
            values={"energy": rng.normal(), "name": "a 1.500 b", "split": part},
            atom_values={"q": np.round(rng.normal(size=3), decimals)},
            cell=np.diag(rng.uniform(5, 9, 3)),
            pbc=(True, True, True),
        )
        for part in ("train", "test", "train")
    ]
    whole = dataset_of(frames)
    write_compact(folder / "a.xyz.gz", whole)
    write_compact(folder / "b.xyz.gz", whole)
    assert (folder / "a.xyz.gz").read_bytes() == (folder / "b.xyz.gz").read_bytes()
    again = read(folder / "a.xyz.gz")
    for name in ("positions", "cell", "pbc", "species"):
        before, after = getattr(whole.structures, name), getattr(again.structures, name)
        np.testing.assert_allclose(after.numpy(), before.numpy(), rtol=0, atol=1e-14)
    assert again.columns["energy"] == whole.columns["energy"]
    assert again.columns["name"] == whole.columns["name"]
    for before, after in zip(*(d.atom_columns["q"] for d in (whole, again)), strict=True):
        np.testing.assert_allclose(after, before, rtol=0, atol=1e-14)
    assert [p.name for p in write_parts(folder, "x", whole)] == [
        "x_train.xyz.gz",
        "x_test.xyz.gz",
    ]
