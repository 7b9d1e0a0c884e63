"""Plots for exploring: what is in the page, which points are drawn, and what they are called."""

import json
import re

import numpy as np
import torch
from ase import Atoms

from multilode.data.inputs import as_dataset
from multilode.models.targets import Target
from multilode.prediction.comparison import compare
from multilode.prediction.evaluated import Evaluated
from multilode.prediction.learning import LearningCurve
from multilode.prediction.predictor import Prediction
from multilode.report.advice import advice_of_curve, advice_of_errors
from multilode.report.document import Section, Table, render_report
from multilode.report.error_plots import (
    derivative_sections,
    formula,
    prediction_section,
    residual_plot,
    worst_structures,
)
from multilode.report.interactive import Plot, Series, chosen_points, plot_html
from multilode.report.points import force_points, target_points

RNG = np.random.default_rng(2)
TARGET = Target(key="energy", unit="eV")


def evaluated(n: int = 30, outlier: float = 0.0) -> Evaluated:
    """Structures of two sizes with energies, forces and small errors."""
    images = []
    for k in range(n):
        atoms = Atoms("NaCl" if k % 2 else "NaClO", RNG.normal(size=(2 if k % 2 else 3, 3)))
        atoms.info |= {"distance": float(k), "name": f"n{k}", "constant": 1.0}
        images.append(atoms)
    dataset = as_dataset(images)
    reference = torch.from_numpy(RNG.normal(size=(n, 1)))
    errors = torch.from_numpy(1e-3 * RNG.normal(size=(n, 1)))
    errors[min(7, n - 1)] += outlier
    forces = torch.from_numpy(RNG.normal(size=(dataset.structures.n_atoms, 3)))
    found = Prediction(values=(reference + errors)[:, 0], forces=forces + 0.01)
    more = {"structures": dataset.structures, "forces": forces}
    return Evaluated(
        dataset=dataset,
        target=TARGET,
        reference=reference,
        predicted=found,
        errors=compare(found, reference, TARGET, model="m", split="test", **more),
        forces=forces,
    )


def data_of(page: str) -> list[dict]:
    found = re.findall(r'<script type="application/json">(.*?)</script>', page, flags=re.S)
    return [json.loads(text) for text in found]


def test_points_are_the_numbers_with_their_frames():
    part = evaluated()
    page = render_report("t", "l", [prediction_section({"test": part}, TARGET)])
    parity, errors, _ = data_of(page)
    (series,) = parity["series"]
    assert series["name"] == "test (30)"
    assert series["labels"][3] == "structures in memory frame 3"
    expected = part.predicted.values.numpy()
    np.testing.assert_allclose(series["columns"]["predicted energy (eV)"], expected, rtol=1e-7)
    assert errors["x"] == ["reference energy (eV)", "distance", "atoms"]
    np.testing.assert_allclose(
        errors["series"][0]["columns"]["error of energy (eV)"],
        expected - part.reference[:, 0].numpy(),
        rtol=1e-7,
    )
    assert errors["series"][0]["columns"]["distance"] == list(range(30))


def test_components_of_forces_know_atom_and_axis():
    points = force_points(evaluated())
    first = [label.removeprefix("structures in memory ") for label in points.labels()[:4]]
    assert first == [
        "frame 0, atom 0 (Na), x",
        "frame 0, atom 0 (Na), y",
        "frame 0, atom 0 (Na), z",
        "frame 0, atom 1 (Cl), x",
    ]
    (section,) = derivative_sections({"test": evaluated()}, TARGET)
    by_element = next(p for p in section.plots if p.name == "errors by element forces")
    assert [s.name for s in by_element.series] == ["Cl (90)", "Na (90)", "O (45)"]


def test_of_many_points_the_largest_are_kept_in_their_order():
    sizes = np.abs(RNG.normal(size=5000))
    kept = chosen_points(sizes, 500)
    assert len(kept) <= 500
    assert (np.diff(kept) > 0).all()
    assert set(np.argsort(-sizes)[:100]) <= set(kept.tolist())
    assert chosen_points(sizes, 500).tolist() == kept.tolist()
    np.testing.assert_array_equal(chosen_points(sizes[:10], 500), np.arange(10))
    assert np.bincount(kept // 1000, minlength=5).min() > 50  # from all parts


def test_names_of_users_do_not_leave_the_script():
    x = np.array([1.0, np.nan, 1e-300, -3.0])
    series = Series(name="</script><b>", columns={"x<": x, "y": x}, labels=["<!--"] * 4)
    figure = plot_html(Plot(name="a/b c", caption="<i>", x=("x<",), y="y", series=(series,)))
    assert figure.count("</script>") == 1
    assert "<i>" not in figure
    (data,) = data_of(figure)
    assert data["series"][0]["name"] == "</script><b>"
    assert data["series"][0]["columns"]["y"] == [1, None, 1e-300, -3]
    assert data["file"] == "a_b_c"


def test_pages_without_plots_have_no_script_and_equal_ones_are_equal():
    table = Table(header=("a", "n"), rows=(("x", 2.0), ("y", 4.0)), bar="n")
    page = render_report("t", "l", [Section(heading="h", points=("one",), tables=(table,))])
    assert "<script" not in page
    assert "--share:50.0%" in page
    assert "<li>one</li>" in page
    part = evaluated()
    first, second = (
        render_report("t", "l", [prediction_section({"a": part}, TARGET)]) for _ in range(2)
    )
    assert first == second
    assert "Leon Sorokin" in first  # whose library is in it


def test_errors_are_shown_against_what_varies_and_sets_may_differ():
    part, other = target_points(evaluated()), target_points(evaluated(4))
    plot = residual_plot({"train": part, "test": other}, "energy", "eV")
    assert plot.x == ("reference energy (eV)", "distance", "atoms")
    assert all("constant" not in series.columns for series in plot.series)


def test_worst_structures_and_what_is_said_of_them():
    part = evaluated(outlier=5.0)
    without = Evaluated(
        dataset=part.dataset,
        target=TARGET,
        reference=part.reference,
        predicted=part.predicted,
        errors=part.errors,
    )
    (number, size), *_ = worst_structures(without)
    assert number == 7
    assert abs(size - 5) < 0.1
    said = advice_of_errors(without, name="test")
    assert any("1 of 30 structures of the test set make half" in s for s in said)
    assert any("frame 7)" in s for s in said)
    assert not advice_of_errors(evaluated(), name="test")
    assert formula(torch.tensor([1, 8, 1, 11])) == "H2ONa"


def test_a_learning_curve_says_whether_more_data_pay():
    def curve(slope: float) -> LearningCurve:
        sizes = (10, 20, 40, 80)
        rmse = torch.tensor([[n**slope] * 2 for n in sizes], dtype=torch.float64)
        return LearningCurve(sizes=sizes, rmse=rmse, test_deviation=1.0)

    assert "more data of the same kind pay" in advice_of_curve(curve(-0.5))[0]
    assert "29 %" in advice_of_curve(curve(-0.5))[0]
    assert "not the data" in advice_of_curve(curve(-0.02))[0]
    assert "slow" in advice_of_curve(curve(-0.15))[0]
