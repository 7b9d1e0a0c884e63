"""Figures carry their units, and the report is one file that needs nothing else."""

import re
from html.parser import HTMLParser

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure

from multilode.report.document import (
    Picture,
    Section,
    Table,
    render_report,
    save_figure,
    write_report,
)
from multilode.report.plots import (
    CurveSeries,
    binding_curve,
    error_bars,
    learning_curves,
)


@pytest.fixture
def figures() -> dict[str, Figure]:
    curve = CurveSeries(sizes=[10, 20, 40], errors=[0.3, 0.2, 0.05], spreads=[0.02, 0.01, 0.0])
    distance = np.linspace(8, 3, 12)
    return {
        "curve": learning_curves({"local": curve, "multi-scale": curve}, unit="%"),
        "binding": binding_curve(
            distance,
            -1 / distance**3,
            {"local": 0 * distance, "multi-scale": -1.1 / distance**3},
            quantity="binding energy",
            unit="eV",
            training_range=(3, 5),
        ),
        "bars": error_bars({"local": {"CC": 1.0, "CP": 2.0}, "V": {"CC": 0.5}}, unit="meV"),
    }


def test_axes_have_units_and_legends_have_names(figures):
    shown = {key: figure.axes[0] for key, figure in figures.items()}
    assert shown["curve"].get_ylabel() == "test RMSE (%)"
    assert (shown["curve"].get_xscale(), shown["curve"].get_yscale()) == ("log", "log")
    assert shown["binding"].get_xlabel() == "distance (Å)"
    assert shown["bars"].get_xlabel() == "RMSE (meV)"
    names = [text.get_text() for text in shown["binding"].get_legend().get_texts()]
    assert names == ["training range", "local", "multi-scale", "reference"]


def test_lines_follow_the_distance_whatever_the_order(figures):
    lines = {line.get_label(): line for line in figures["binding"].axes[0].lines}
    x, y = lines["multi-scale"].get_data()
    assert (np.diff(x) > 0).all()
    np.testing.assert_allclose(y, -1.1 / x**3)


def test_no_global_state_and_nothing_drawn_twice(figures, tmp_path):
    before = dict(mpl.rcParams)
    for name, figure in figures.items():
        save_figure(tmp_path / f"{name}.png", figure)
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert dict(mpl.rcParams) == before
    assert len(list(tmp_path.iterdir())) == len(figures)


def test_degenerate_data_still_plot():
    one = CurveSeries(sizes=[10], errors=[0.5], spreads=[0.0])
    learning_curves({"one": one}, unit="eV").savefig("/dev/null", format="png")


class Page(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.links, self.cells = [], [], []

    def handle_starttag(self, tag, attrs):
        if tag not in ("meta", "img"):
            self.open.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "href")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("td", "th"):
            self.cells.append(data)


def test_the_report_is_one_well_formed_file(figures, tmp_path):
    path = tmp_path / "report.html"
    sections = [
        Section(
            heading="Errors & more",
            text="RMSE% < 5",
            tables=(Table(header=("model", "rmse"), rows=(("<a>", 0.123456), ("b", None))),),
            pictures=tuple(Picture(figure=f, caption=k) for k, f in figures.items()),
        ),
        Section(heading="Configuration", listing="data: {train: <x>}\n"),
    ]
    write_report(path, "Title <1>", "lead", sections)
    text = path.read_text()
    assert "<h1>Title &lt;1&gt;</h1>" in text
    assert len(render_report("Title <1>", "lead", sections[1:])) < len(text)
    page = Page()
    page.feed(text)
    assert page.open == []
    assert page.cells == ["model", "rmse", "<a>", "0.1235", "b", "–"]
    assert len(page.links) == len(figures)
    assert all(link.startswith("data:image/svg+xml;base64,") for link in page.links)
    assert not re.search(r"https?://", text)


def test_no_two_learning_curves_look_alike():
    curve = CurveSeries(sizes=(5, 10, 1000, 1500), errors=[8.0, 4.0, 2.0, 1.0], spreads=[0.1] * 4)
    figure = learning_curves({f"model {k}": curve for k in range(10)}, unit="%")
    axes = figure.axes[0]
    lines = [container.lines[0] for container in axes.containers]
    looks = {(line.get_color(), line.get_marker(), line.get_linestyle()) for line in lines}
    assert len(looks) == 10
    assert axes.get_xticks().tolist() == [5, 10, 1500]  # 1000 would touch the last
