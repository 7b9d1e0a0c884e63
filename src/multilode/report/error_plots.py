"""Errors point by point: against references, and against what they may depend on."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from multilode.models.targets import Target, force_unit, stress_unit, with_unit
from multilode.prediction.evaluated import Evaluated
from multilode.report.document import Section, Table
from multilode.report.interactive import MOST_POINTS, Guide, Plot, Series, chosen_points
from multilode.report.points import (
    Points,
    by_set,
    force_points,
    frame_name,
    squared_errors,
    stress_points,
    target_points,
)
from multilode.structures.elements import chemical_symbol

_DIAGONAL, _ZERO = Guide(1.0), Guide(0.0)
_QUANTILES = 200  # points of a distribution
_WORST = 10  # structures
_MOST_ELEMENTS = 7  # as many as there are colours
_REST = (
    "The same less the baseline, which is what the model learns: where the baseline describes most "
    "of the target, only here one sees how good the model is."
)


def prediction_section(splits: Mapping[str, Evaluated], target: Target) -> Section:
    """The target: predictions against references, errors, and how many are how large.

    Args:
        splits: evaluated sets by name.
        target: their property.
    """
    points = by_set(splits, target_points)
    plots = [parity_plot(points, target.key, target.unit)]
    rest = {name: _less_baseline(splits[name], p) for name, p in points.items()}
    if any(r is not None for r in rest.values()):
        known = {name: r for name, r in rest.items() if r is not None}
        plots.append(parity_plot(known, f"{target.key} less baseline", target.unit, _REST))
    plots.append(residual_plot(points, target.key, target.unit))
    if target.per == "atom":
        plots += _by_element(points, target.key, target.unit)
    plots.append(distribution_plot(points, target.key, target.unit))
    return Section(heading="Predictions", plots=tuple(plots))


def derivative_sections(splits: Mapping[str, Evaluated], target: Target) -> list[Section]:
    """Forces and stresses, where they were compared."""
    sections = []
    forces = by_set(splits, force_points)
    if forces:
        unit, key = force_unit(target.unit), "forces"
        bases = {name: _less_base_forces(splits[name], points) for name, points in forces.items()}
        known = {name: rest for name, rest in bases.items() if rest is not None}
        plots = [parity_plot(forces, "forces", unit)]
        plots += [parity_plot(known, "forces less baseline", unit, _REST)] if known else []
        plots += [residual_plot(forces, key, unit), *_by_element(forces, key, unit)]
        plots.append(distribution_plot(forces, key, unit))
        sections.append(Section(heading="Forces", plots=tuple(plots)))
    stress = by_set(splits, stress_points)
    if stress:
        unit = stress_unit(target.unit)
        plots = (parity_plot(stress, "stress", unit), residual_plot(stress, "stress", unit))
        sections.append(Section(heading="Stresses", plots=plots))
    return sections


def parity_plot(points: Mapping[str, Points], key: str, unit: str, caption: str = "") -> Plot:
    """Predictions against references, with the line on which both are equal."""
    x, y = with_unit(f"reference {key}", unit), with_unit(f"predicted {key}", unit)
    series = []
    for name, whole in points.items():
        some = whole.select(chosen_points(np.abs(whole.errors)))
        columns = {x: some.reference, y: some.predicted, with_unit("error", unit): some.errors}
        series.append(_series(name, whole, some, columns))
    told = caption or f"Predicted {key} against references."
    return Plot(
        name=f"parity {key}",
        caption=f"{told}{_thinned(points)}",
        x=(x,),
        y=y,
        series=tuple(series),
        equal=True,
        guides=(_DIAGONAL,),
    )


def residual_plot(points: Mapping[str, Points], key: str, unit: str) -> Plot:
    """Errors against the reference, the number of atoms, and numbers that the files have."""
    x, y = with_unit(f"reference {key}", unit), with_unit(f"error of {key}", unit)
    chosen = {n: p.select(chosen_points(np.abs(p.errors))) for n, p in points.items()}
    each = {name: some.dependences() for name, some in chosen.items()}
    names = list(dict.fromkeys(name for found in each.values() for name in found))
    values = {n: np.concatenate([found[n] for found in each.values() if n in found]) for n in names}
    # distances before the number of atoms, and nothing that is one number everywhere
    others = [n for n in names if n != key and len(np.unique(values[n])) > 1]
    others.sort(key=lambda n: n == "atoms")
    series = []
    for name, some in chosen.items():
        more = {n: each[name].get(n, np.full(len(some.errors), np.nan)) for n in others}
        columns = {x: some.reference, y: some.errors, **more}
        if some.bars is not None:
            columns[with_unit("error bar", unit)] = some.bars
        series.append(_series(name, points[name], some, columns))
    choice = "; choose what is on the horizontal axis above the plot" if others else ""
    return Plot(
        name=f"errors {key}",
        caption=f"Predictions less references{choice}.{_thinned(points)}",
        x=(x, *others),
        y=y,
        series=tuple(series),
        guides=(_ZERO,),
    )


def distribution_plot(points: Mapping[str, Points], key: str, unit: str) -> Plot:
    """Which part of the errors is smaller than a given one."""
    x, y = with_unit("|error|", unit), "smaller errors (%)"
    series = []
    for name, whole in points.items():
        share = np.linspace(0, 1, min(_QUANTILES, len(whole.errors)))
        sizes = np.quantile(np.abs(whole.errors), share) if len(share) else share
        series.append(Series(name=name, columns={x: sizes, y: 100 * share}, line=True))
    return Plot(
        name=f"distribution {key}",
        caption=f"How many errors of {key} are smaller than the one on the horizontal axis.",
        x=(x,),
        y=y,
        series=tuple(series),
        log=frozenset({x}),
    )


def worst_structures(part: Evaluated) -> list[tuple[int, float]]:
    """Structures with the largest errors of the target, or of forces if they were compared.

    Returns:
        Their number in the set and that error, the root of the mean square over its numbers.
    """
    points = force_points(part) or target_points(part)
    counts = np.bincount(points.structure, minlength=len(part.dataset))
    sizes = np.sqrt(squared_errors(part) / np.maximum(1, counts))
    order = np.argsort(-sizes, kind="stable")[:_WORST]
    return [(int(k), float(sizes[k])) for k in order if sizes[k] > 0]


def worst_section(
    splits: Mapping[str, Evaluated], target: Target, *, viewer: str = ""
) -> list[Section]:
    """The structures with the largest errors of the test set, or of whatever set there is.

    Args:
        splits: evaluated sets by name.
        target: their property.
        viewer: HTML that shows them.
    """
    name = "test" if "test" in splits else next(iter(splits))
    part = splits[name]
    found = worst_structures(part)
    if not found:
        return []
    learned = part.forces is not None
    unit = force_unit(target.unit) if learned else target.unit
    what = "force components" if learned else target.key
    single = target.per == "structure" and part.reference.shape[1] == 1
    numbers = part.predicted.values.reshape(len(part.reference), -1)
    rows = []
    for k, error in found:
        values = (float(part.reference[k, 0]), float(numbers[k, 0])) if single else ()
        row = (frame_name(part.dataset, k), formula(part.dataset.structures.select([k]).species))
        rows.append((*row, *values, error))
    header = with_unit(f"RMSE of {what}" if not single or learned else "|error|", unit)
    more = tuple(with_unit(n, target.unit) for n in ("reference", "predicted")) if single else ()
    table = Table(header=("structure", "atoms", *more, header), rows=tuple(rows), bar=header)
    heading = f"Largest errors of the {name} set"
    return [Section(heading=heading, tables=(table,), inserted=viewer)]


def formula(species: Int[Tensor, " atom"]) -> str:
    """Elements with their numbers, as in H4C1O3; of atomic numbers."""
    numbers, counts = np.unique(species.numpy(), return_counts=True)
    pairs = zip(numbers, counts, strict=True)
    return "".join(f"{chemical_symbol(int(z))}{int(n) if n > 1 else ''}" for z, n in pairs)


def _by_element(points: Mapping[str, Points], key: str, unit: str) -> list[Plot]:
    """Errors of atoms with one colour for each element; none where there is only one."""
    name = "test" if "test" in points else next(iter(points))
    whole = points[name]
    elements = np.array(whole.elements)
    kinds, counts = np.unique(elements, return_counts=True)
    if len(kinds) < 2:
        return []
    common = kinds[np.argsort(-counts, kind="stable")][:_MOST_ELEMENTS]
    x, y = with_unit(f"reference {key}", unit), with_unit(f"error of {key}", unit)
    series = []
    for kind in common:
        own = whole.select(np.flatnonzero(elements == kind))
        some = own.select(chosen_points(np.abs(own.errors), MOST_POINTS // 2))
        series.append(_series(str(kind), own, some, {x: some.reference, y: some.errors}))
    caption = f"Errors of the {name} set by element."
    if len(kinds) > len(common):
        caption += f" The {len(common)} most frequent of {len(kinds)}."
    plot = Plot(
        name=f"errors by element {key}",
        caption=caption,
        x=(x,),
        y=y,
        series=tuple(series),
        guides=(_ZERO,),
    )
    return [plot]


def _series(
    name: str, whole: Points, some: Points, columns: dict[str, Float[np.ndarray, " point"]]
) -> Series:
    n = len(whole.errors)
    return Series(name=f"{name} ({n})", columns=columns, labels=some.labels())


def _thinned(points: Mapping[str, Points]) -> str:
    largest = max((len(p.errors) for p in points.values()), default=0)
    if largest <= MOST_POINTS:
        return ""
    return f" Of more than {MOST_POINTS} points the largest errors are shown, and some of the rest."


def _less_baseline(part: Evaluated, points: Points) -> Points | None:
    """The same less the baseline, where there is one that varies."""
    base = part.predicted.baseline
    if base is None:
        return None
    flat = base.values.detach().double().flatten().numpy()
    known = flat[np.isfinite(flat)]
    if not len(known) or np.ptp(known) <= 1e-9 * np.abs(known).max():
        return None
    return _shifted(points, flat)


def _less_base_forces(part: Evaluated, points: Points) -> Points | None:
    base = part.predicted.baseline
    if base is None or base.forces is None:
        return None
    return _shifted(points, base.forces.detach().double().flatten().numpy())


def _shifted(points: Points, base: Float[np.ndarray, " number"]) -> Points:
    """Points less what a baseline says of all numbers, those without prediction too."""
    rows = np.where(points.atom >= 0, points.atom, points.structure)
    own = base[rows * points.n_components + np.maximum(points.component, 0)]
    return Points(
        dataset=points.dataset,
        reference=points.reference - own,
        predicted=points.predicted - own,
        structure=points.structure,
        atom=points.atom,
        component=points.component,
        n_components=points.n_components,
        bars=points.bars,
    )
