"""`multilode datasets`: what each command prints, writes and returns."""

import gzip
import sys
from pathlib import Path

import pytest

from multilode.cli.main import run
from multilode.datasets import catalogue, load
from multilode_papers.datasets import download
from multilode_papers.makers import water_co2


@pytest.fixture(autouse=True)
def alone(tmp_path, monkeypatch):
    """No data folder, an empty cache, and an empty working folder."""
    monkeypatch.delenv("MULTILODE_DATA", raising=False)
    monkeypatch.setenv("MULTILODE_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


def said(capsys, arguments, code=0):
    assert run(["datasets", *arguments]) == code
    printed = capsys.readouterr()
    assert printed.err.count("\n") == (1 if code else 0)
    return printed.err if code else printed.out


def test_list_shows_every_set_and_whether_it_is_here(capsys):
    lines = said(capsys, ["list"]).splitlines()
    rows = {line.split()[0]: line.split() for line in lines[1:]}
    assert set(rows) == set(catalogue())
    assert rows["water-co2"][1] == "726"
    assert rows["water-co2"][-1] == "yes"
    assert rows["bulk-water"][-1] == rows["dimers-2021"][-1] == "no"
    assert "MODEL DATA" in next(line for line in lines if line.startswith("lithium-water"))


def test_without_a_command_there_is_help(capsys):
    assert "fetch" in said(capsys, [])


def test_show_tells_origin_targets_and_what_is_missing(capsys):
    shown = " ".join(said(capsys, ["show", "bulk-water"]).split())
    for words in ("third-party", "epsilon (no unit)", "Phys. Rev. Lett. 120", "MULTILODE_DATA"):
        assert words in shown
    assert "NOT RUN on the real files" in " ".join(said(capsys, ["show", "dimers-2021"]).split())


def test_path_prints_files_that_can_be_read(capsys, tmp_path):
    paths = said(capsys, ["path", "water-co2"]).split()
    assert len(paths) == 3
    assert all(gzip.decompress(Path(path).read_bytes()).startswith(b"6\n") for path in paths)
    (tmp_path / "data" / "bfdb_ssi").mkdir(parents=True)
    (tmp_path / "data" / "bfdb_ssi" / "bfdb_ssi.xyz.gz").write_bytes(b"x")
    out = said(capsys, ["path", "side-chain-dimers", "--data", str(tmp_path / "data")])
    assert out.strip() == str(tmp_path / "data" / "bfdb_ssi" / "bfdb_ssi.xyz.gz")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["show", "dimer"], "did you mean 'dimers'?"),
        (["path", "bulk-water"], "set MULTILODE_DATA"),
        (["path", "dimers-2021"], "multilode datasets fetch dimers-2021"),
        (["fetch", "bulk-water"], "cannot be fetched: get it from"),
        (["make", "bulk-water"], "is not made by multilode; choose from water-co2, point-charges"),
        (["make", "water-co2", "--count", "0"], "--count"),
        (["make", "water-co2", "-o", "taken"], "choose another place with -o"),
    ],
)
def test_what_cannot_be_done_is_one_line(capsys, tmp_path, arguments, words):
    (tmp_path / "taken").write_text("")
    assert words in said(capsys, arguments, code=2)


def test_fetch_without_network_is_one_line(capsys, monkeypatch, tmp_path):
    original = download.fetch_record

    def offline(folder, *, stage):
        return original(folder, record="http://127.0.0.1:9/record", stage=stage)

    monkeypatch.setattr(download, "fetch_record", offline)
    line = said(capsys, ["fetch", "dimers-2021"], code=2)
    assert "no connection" in line
    assert str(tmp_path / "cache" / "dimers-2021") in line


def test_what_ships_need_not_be_fetched(capsys):
    assert "ships with multilode" in said(capsys, ["fetch", "water-co2"])


def test_make_writes_a_file_for_each_part_that_load_reads(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(water_co2, "interaction", lambda _: {"interaction_energy": 0.5})
    out = said(capsys, ["make", "water-co2", "-o", "made", "--count", "2"])
    assert "44 structures" in out
    made = tmp_path / "made"
    names = ["parts", *[f"water-co2_{p}.xyz.gz" for p in ("dissociated", "extrapolation", "train")]]
    assert sorted(path.name for path in made.iterdir()) == names
    assert len(list((made / "parts" / "water-co2").iterdir())) == 2
    data = load("water-co2", "train", folder=made)
    assert len(data) == 22
    assert set(data.columns["interaction_energy"]) == {0.5}


@pytest.mark.parametrize("name", ["water-co2", "made/here"])
def test_a_missing_engine_is_one_line_and_leaves_nothing(capsys, monkeypatch, tmp_path, name):
    monkeypatch.setitem(sys.modules, "pyscf.gto", None)
    line = said(capsys, ["make", "water-co2", "-o", name], code=2)
    assert "multilode-papers[reference]" in line
    assert not list(tmp_path.iterdir())


def test_a_folder_that_was_there_stays_without_an_engine(capsys, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "pyscf.gto", None)
    (tmp_path / "water-co2").mkdir()
    said(capsys, ["make", "water-co2"], code=2)
    assert [path.name for path in tmp_path.rglob("*")] == ["water-co2"]
