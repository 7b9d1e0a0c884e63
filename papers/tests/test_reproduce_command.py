"""`multilode reproduce`: what it writes, what it prints, and what it refuses."""

import json

import pytest

from multilode.cli.main import run
from multilode_papers.expected import comparison
from multilode_papers.systems import SYSTEMS


def test_a_system_writes_metrics_page_figures_and_text(tmp_path, capsys):
    folder = tmp_path / "out"
    assert run(["reproduce", "multipoles", "--quick", "--check", "-o", str(folder)]) == 0
    said = capsys.readouterr().out
    assert "Features as multipoles" in said
    assert "16 rows agree with the results that are kept" in said
    metrics = json.loads((folder / "multipoles" / "metrics.json").read_text())
    assert metrics["system"] == "multipoles"
    assert metrics["quick"] is True
    assert len(metrics["rows"]) == 16
    text = (folder / "results.md").read_text()
    assert "## Features as multipoles (2021, Eqs. 11-19)" in text
    assert "figures/multipoles-degrees.png" in text
    assert (folder / "figures" / "multipoles-degrees.png").stat().st_size > 10_000
    page = (folder / "multipoles" / "page.html").read_text()
    assert "<svg" not in page
    assert "data:image/svg+xml" in page
    assert "octupole, l &lt;= 3" in page
    assert not list(folder.rglob(".unfinished*"))


def test_a_difference_is_one_line_and_an_exit_code(tmp_path, capsys, monkeypatch):
    kept = comparison.expected_metrics("multipoles", quick=True)
    kept["rows"][4]["rmse"] *= 1.5
    monkeypatch.setattr(comparison, "expected_metrics", lambda *_, **__: kept)
    command = ["reproduce", "multipoles", "--quick", "--check", "-o", str(tmp_path / "out")]
    assert run(command) == 2
    said = capsys.readouterr().err
    assert said.startswith("multilode: 'multipoles' differs from the results that are kept: dipole")
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["waterco2"], "no system 'waterco2'; known are point-charges"),
        (["all", "waterco2"], "no system 'all'"),
        (["water-co2", "-o", "/dev/null/x"], "cannot write"),
        (["water-co2", "--check", "--seed", "1"], "kept for seed 0, this run has seed 1"),
    ],
)
def test_wrong_commands_are_refused_before_any_work(
    arguments, words, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert run(["reproduce", *arguments]) == 2
    assert words in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_every_system_says_which_part_of_a_paper_it_is():
    assert list(SYSTEMS) == [
        "point-charges",
        "charged-dimers",
        "bulk-water",
        "water-co2",
        "multipoles",
        "dimer-classes",
        "relaxed-dimers",
        "lithium-water",
        "polypeptides",
        "sapt10k",
        "tensors",
    ]
    *papers, dimers, tensors = SYSTEMS.values()
    assert all(s.paper.startswith(("2019", "2021")) for s in papers)
    assert all("in no figure of the two papers" in s.paper for s in (dimers, tensors))
