"""Plots of the summary, for docs/performance.md."""

import json
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

FOLDER = Path(__file__).parents[1] / "docs" / "figures"
COLORS = {"sum over waves": "#1b6ca8", "mesh": "#c8553d", "Ewald split": "#588157"}


def draw(summary: Path) -> None:
    entries = json.loads(summary.read_text())
    for name, plot in (
        ("performance_sizes.png", _sizes),
        ("performance_errors.png", _errors),
        ("performance_ratios.png", _ratios),
    ):
        figure = plot(entries)
        if figure is not None:
            figure.savefig(FOLDER / name, dpi=130, bbox_inches="tight")
            plt.close(figure)


def _sizes(entries: list[dict]) -> plt.Figure | None:
    rows = [e for e in entries if e["case"].startswith("time per atom")]
    if not rows:
        return None
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.8), sharey=True)
    for axis, smearing in zip(axes, (1.0, 0.5), strict=True):
        for method, color in COLORS.items():
            for what, style in (("values", "o-"), ("values + derivatives", "s--")):
                points = [
                    (e["atoms"], e["value"])
                    for e in rows
                    if (e["method"], e["what"], e["smearing"]) == (method, what, smearing)
                ]
                axis.loglog(*zip(*points, strict=True), style, color=color, ms=4,
                            label=f"{method}, {what}")  # fmt: skip
        axis.set_title(f"smearing {smearing} Å", fontsize=10)
        axis.set_xlabel("atoms")
        axis.grid(alpha=0.3, which="both")
    axes[0].set_ylabel("time per atom (µs)")
    figure.legend(*axes[0].get_legend_handles_labels(), ncols=3, fontsize=8, frameon=False,
                  loc="upper center", bbox_to_anchor=(0.5, -0.03))  # fmt: skip
    return figure


def _errors(entries: list[dict]) -> plt.Figure | None:
    rows = [e for e in entries if e["case"].startswith("error, ")]
    if not rows:
        return None
    figure, axis = plt.subplots(figsize=(4.8, 4))
    for method, color in COLORS.items():
        for smearing, style in ((1.0, "o-"), (0.5, "s--")):
            points = [
                (e["tolerance"], e["value"])
                for e in rows
                if (e["method"], e["smearing"]) == (method, smearing)
            ]
            axis.loglog(*zip(*points, strict=True), style, color=color, ms=4,
                        label=f"{method}, smearing {smearing} Å")  # fmt: skip
    ends = axis.get_xlim()
    axis.loglog(ends, ends, color="0.5", lw=1, label="tolerance")
    axis.set_xlabel("tolerance that was asked for")
    axis.set_ylabel("largest error over largest coefficient")
    axis.grid(alpha=0.3)
    axis.legend(fontsize=7, frameon=False)
    return figure


def _ratios(entries: list[dict]) -> plt.Figure | None:
    rows = [e for e in entries if "ratio" in e and _headline(e)]
    if not rows:
        return None
    figure, axis = plt.subplots(figsize=(7.5, 0.3 * len(rows) + 0.8))
    names = [f"{e['case']} ({e['peer']}, {e['tolerance']:.0e})" for e in rows]
    bars = axis.barh(names, [e["ratio"] for e in rows], color="#1b6ca8", height=0.65)
    axis.bar_label(bars, fmt="%.3g", fontsize=7, padding=2)
    axis.axvline(1, color="0.3", lw=1)
    axis.set_xscale("log")
    axis.set_xlabel("time of the peer over ours, at equal accuracy")
    axis.invert_yaxis()
    axis.tick_params(axis="y", labelsize=7)
    axis.margins(x=0.12)
    return figure


def _headline(entry: dict) -> bool:
    """At equal accuracy, and one tolerance for the expansions."""
    if entry["suite"] == "step":
        return False
    return entry["tolerance"] == 1e-4 or not entry["case"].startswith(("LODE", "6144"))
