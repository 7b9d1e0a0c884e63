"""Tables and figures of what the jobs have found."""

import json
from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import numpy as np

FIGURES = Path(__file__).parents[2] / "docs" / "figures"
KINDS = {"salt": "molten salt", "layer": "layer at a charged wall", "water": "heavy water"}
Results = dict[tuple[str, str, str], dict]


def found_in(folder: Path, engines: list[str]) -> Results:
    """What was found, by job, kind and engine, in the order of the engines."""
    results = {}
    for engine in engines:
        name = engine.replace(" ", "-").replace(",", "")
        for path in sorted(folder.glob(f"*_{name}.json")):
            job, kind, _ = path.stem.split("_", 2)
            results[job, kind, engine] = json.loads(path.read_text())
    return results


def tables(folder: Path, engines: list[str]) -> str:
    """All of them as Markdown."""
    results = found_in(folder, engines)
    parts = []
    for kind, words in KINDS.items():
        parts += [f"**{words}**", _table(_moving(results, kind), engines)]
        if ("npt", kind, "ASE") in results:
            parts += [f"**{words}, constant pressure**", _table(_pressed(results, kind), engines)]
    parts += ["**cells**", _table(_cells(results), engines)]
    parts += ["**higher cells**", _table(_higher(results), engines)]
    return "\n\n".join(parts)


def _table(rows: dict[str, dict[str, str]], engines: list[str]) -> str:
    known = [one for one in engines if any(one in row for row in rows.values())]
    lines = ["| | " + " | ".join(known) + " |", "|---" * (len(known) + 1) + "|"]
    for name, row in rows.items():
        lines.append(f"| {name} | " + " | ".join(row.get(one, "") for one in known) + " |")
    return "\n".join(lines)


def _row(
    results: Results, job: str, kind: str, shown: Callable[[dict], str | None]
) -> dict[str, str]:
    row = {}
    for (one, other, engine), found in results.items():
        text = shown(found) if (one, other) == (job, kind) else None
        if text is not None:
            row[engine] = text
    return row


def fluctuation(energies: list[float], n: int) -> float:
    """Standard deviation in meV per atom."""
    return float(1e3 * np.std(energies) / n)


def drift(found: dict) -> tuple[float, float]:
    """Slope of the energy in meV per atom and ps, and its error from eight parts of the path."""
    energies = 1e3 * np.array(found["energies"]) / found["atoms"]
    times = found["step"] * found["every"] * np.arange(len(energies)) / 1000
    slope, constant = np.polyfit(times, energies, 1)
    parts = np.array_split(energies - slope * times - constant, 8)
    error = np.std([part.mean() for part in parts], ddof=2) / np.sqrt(8)
    return float(slope), float(error * np.sqrt(12) / np.ptp(times))


def _moving(results: Results, kind: str) -> dict[str, dict[str, str]]:
    first = results.get(("nve", kind, "ASE"))

    def apart(found: dict) -> str | None:
        if first is None or found is first:
            return None
        return f"{np.abs(np.subtract(found['early'], first['early'])).max():.0e}".replace(
            "0e+00", "0"
        )

    def ratio(found: dict) -> str:
        coarse, fine = (fluctuation(one["energies"], found["atoms"]) for one in found["tracks"])
        return f"{coarse / fine:.2f}"

    def slope(found: dict) -> str:
        return "{:.4f} ± {:.4f}".format(*drift(found))

    def wave(found: dict) -> str:
        return f"{fluctuation(found['energies'], found['atoms']):.4f}"

    return {
        "path after 20 steps beside ASE (Å)": _row(results, "nve", kind, apart),
        "fluctuation over that of half the step": _row(results, "ratio", kind, ratio),
        "fluctuation (meV/atom)": _row(results, "nve", kind, wave),
        "drift (meV/atom/ps)": _row(results, "nve", kind, slope),
        "processor time of a step (ms)": _row(
            results, "nve", kind, lambda found: f"{found['spent']:.0f}"
        ),
    }


def _pressed(results: Results, kind: str) -> dict[str, dict[str, str]]:
    def mean(name: str, digits: int) -> Callable[[dict], str]:
        def shown(found: dict) -> str:
            values = np.array(found["long"][name])[len(found["long"][name]) // 4 :]
            parts = [part.mean() for part in np.array_split(values, 5)]
            error = np.std(parts, ddof=1) / np.sqrt(5)
            return f"{values.mean():.{digits}f} ± {error:.{digits}f}"

        return shown

    def conserved(found: dict) -> str | None:
        if not found["long"]["conserved"]:
            return None
        return f"{fluctuation(found['long']['conserved'], found['atoms']):.4f}"

    def ratio(found: dict) -> str | None:
        if "half" not in found:
            return None
        fine = found["half"]["conserved"]
        coarse = found["long"]["conserved"][: len(fine)]
        waves = [fluctuation(one, found["atoms"]) for one in (coarse, fine)]
        return f"{waves[0] / waves[1]:.2f}"

    def virials(found: dict) -> str | None:
        both = np.array(found["long"]["virials"])
        if not len(both):
            return None
        return f"{np.abs(both[:, 0] - both[:, 1]).max():.1e} of {np.abs(both).max():.0f}"

    return {
        "pressure (MPa)": _row(results, "npt", kind, mean("pressures", 0)),
        "volume (Å^3)": _row(results, "npt", kind, mean("volumes", 0)),
        "fluctuation of the conserved quantity (meV/atom)": _row(results, "npt", kind, conserved),
        "the same over that of half the step": _row(results, "npt", kind, ratio),
        "virial beside differences of the energy (eV)": _row(results, "npt", kind, virials),
    }


def _cells(results: Results) -> dict[str, dict[str, str]]:
    def shown(found: dict) -> str:
        one, many = found["energies"]
        return f"{many - one:.1e}"

    names = {"salt": "per ion (eV)", "water": "per molecule (eV)"}
    return {words: _row(results, "cells", kind, shown) for kind, words in names.items()}


def _higher(results: Results) -> dict[str, dict[str, str]]:
    def energies(found: dict) -> str:
        low, high = (value for name, value in found.items() if name.startswith("energy"))
        return f"{high - low:.1e}"

    def forces(found: dict) -> str:
        low, high = (value for name, value in found.items() if name.startswith("forces"))
        return f"{np.abs(np.subtract(low, high)).max():.1e}"

    def across(found: dict) -> str:
        own = next(value for name, value in found.items() if name.startswith("forces"))
        wall = found["across"][0][0]
        return f"{max(abs(own[k - wall][2] - slope) for k, slope in found['across']):.1e}"

    exact = {key: found for key, found in results.items() if "socket" not in key[2]}  # six digits
    return {
        "energies of both cells (eV)": _row(results, "height", "layer", energies),
        "forces of both cells (eV/Å)": _row(exact, "height", "layer", forces),
        "forces across, beside differences (eV/Å)": _row(exact, "height", "layer", across),
    }


def figures(folder: Path, engines: list[str]) -> None:
    """Distributions of distances, and energies in the course of time."""
    mpl.use("agg")
    results = found_in(folder, engines)
    path = folder / "distances_salt_both.json"
    if path.exists():
        _plot_distances(json.loads(path.read_text()))
    _plot_energies(results, engines)


def _plot_distances(found: dict) -> None:
    from matplotlib import pyplot as plt

    names = ("Na-Cl", "Na-Na", "Cl-Cl")
    figure, (upper, lower) = plt.subplots(
        2, 1, figsize=(6, 4.6), layout="constrained", sharex=True, height_ratios=(3, 1)
    )
    for k, (name, color) in enumerate(zip(names, ("#1f77b4", "#d62728", "#2ca02c"), strict=True)):
        own, known = np.array(found["model"][k]), np.array(found["classical"][k])
        r = found["width"] * (np.arange(len(own)) + 0.5)
        upper.plot(r, own, color=color, label=name)
        upper.plot(r, known, "o", color=color, markersize=2.5, alpha=0.6)
        lower.plot(r, own - known, color=color, linewidth=0.8)
    upper.plot([], [], "o", color="0.5", markersize=2.5, label="classical model")
    upper.set(ylabel="g(r)", xlim=(1.8, None))
    lower.set(xlabel="distance (Å)", ylabel="difference")
    upper.legend(frameon=False)
    for axes in (upper, lower):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(FIGURES / "dynamics-distances.png", dpi=120)
    plt.close(figure)


def _plot_energies(results: Results, engines: list[str]) -> None:
    from matplotlib import pyplot as plt

    figure, all_axes = plt.subplots(1, 3, figsize=(10, 3), layout="constrained")
    for axes, (kind, words) in zip(all_axes, KINDS.items(), strict=True):
        for (job, other, engine), found in results.items():
            if (job, other) != ("nve", kind):
                continue
            energies = np.array(found["energies"])
            times = found["step"] * found["every"] * np.arange(len(energies)) / 1000
            change = 1e3 * (energies - energies[0]) / found["atoms"]
            color = f"C{engines.index(engine)}"
            axes.plot(times, change, linewidth=0.7, label=engine, color=color)
        axes.set(title=words, xlabel="time (ps)")
        axes.spines[["top", "right"]].set_visible(False)
    all_axes[0].set_ylabel("energy less the first (meV/atom)")
    handles, labels = all_axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, frameon=False, loc="outside lower center", ncols=4, fontsize=8)
    figure.savefig(FIGURES / "dynamics-energies.png", dpi=120)
    plt.close(figure)
