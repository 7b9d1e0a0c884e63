"""Doubts about units, by the size of numbers: of lengths, forces, stresses, and between sets."""

import math
from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float

from multilode.config.config import Config
from multilode.data.bonds import unit_of_lengths
from multilode.data.dataset import Dataset
from multilode.data.properties import is_virial
from multilode.data.stated_units import unit_of_stress
from multilode.data.units import UnitError, factor, likely_units
from multilode.models.targets import Target, force_unit, stress_unit
from multilode.prediction.evaluated import Evaluated
from multilode.prediction.reference_values import force_values, stress_values
from multilode.workflow.doubt import Doubt
from multilode.workflow.likeness import Changes, contradictions, strain_contradictions

_OTHER_UNIT = 8.0  # ratio of the values of test and training set that is never their content
_ALIKE, _CLOSE = 0.9, (0.75, 1.35)  # correlation and slope of references and predictions
_EXACT = 0.03  # of a ratio of energies that compositions tell
_HELD = 1.0  # eV/Å^3; 160 GPa is more than most of what is computed holds
_SPREAD, _SPREAD_WIDE = 0.1, 0.25  # of a slope that is named by a unit
Values = tuple[Dataset, Float[np.ndarray, "_ _"]]


def doubts_of_lengths(dataset: Dataset) -> Iterator[Doubt]:
    """Structures whose nearest neighbors are all as far as if bohr or nm were taken for Å."""
    found = unit_of_lengths(dataset.structures)
    if found is not None:
        times, unit = found
        yield Doubt(
            kind="unit of lengths",
            text=f"atoms are {times:.2g} times as far from their nearest neighbors as bonds are "
            f"long, as if positions were in {unit}; they are read in Å: multiply positions and "
            f"cells by {factor(unit, 'Å'):.6g}",
        )


def doubts_of_two_sets(target: Target, train: Values, test: Values) -> Iterator[Doubt]:
    """Values of a test set in another unit than those of the training set."""
    if target.per == "atom":
        return
    sizes = [
        float(np.median(np.abs(y).max(axis=1) / np.maximum(1, part.structures.counts.numpy())))
        for part, y in (train, test)
    ]
    ratio = sizes[1] / sizes[0] if min(sizes) > 0 else 1.0
    told = _told_by_composition(train, test) if target.tensor is None else None
    told_units = likely_units(1 / told, target.unit, _EXACT) if told is not None else ()
    if told_units or not 1 / _OTHER_UNIT < ratio < _OTHER_UNIT:
        text = (
            f"'{target.key}' per atom is about {sizes[1]:.3g} in the test set and {sizes[0]:.3g} "
            "in the training set; check that they have one unit and one reference"
        )
        named = " or ".join(told_units or likely_units(1 / ratio, target.unit))
        fits = f" ({named} in the test set would fit)" if named else ""
        yield Doubt(kind="other unit", text=text + fits)


def _told_by_composition(train: Values, test: Values) -> float | None:
    """The ratio of values to what the compositions of the training set say, if it is one number."""
    kinds = np.unique(train[0].structures.species.numpy())
    counts = [_composition(part, kinds) for part, _ in (train, test)]
    y, other = (values[:, 0] for _, values in (train, test))
    said = counts[1] @ np.linalg.lstsq(counts[0], y, rcond=None)[0]
    size, norm = float(np.linalg.norm(other)), float(said @ said)
    if norm == 0 or size == 0:
        return None
    slope = float(said @ other) / norm
    sure = np.linalg.norm(other - slope * said) < _EXACT * size
    return slope if sure and slope > 0 else None


def _composition(dataset: Dataset, kinds: np.ndarray) -> Float[np.ndarray, "structure kind"]:
    structures = dataset.structures
    counts = np.zeros((len(dataset), len(kinds)))
    index = np.searchsorted(kinds, structures.species.numpy()).clip(max=len(kinds) - 1)
    np.add.at(counts, (structures.structure_index.numpy(), index), 1)
    return counts


def doubts_of_derivatives(
    config: Config, train: Dataset, y: Float[np.ndarray, "row _"]
) -> Iterator[Doubt]:
    """Forces and stresses that are not the slope of the energies, in size or sign.

    Args:
        config: the settings.
        train: the training set.
        y: its energies.

    Raises:
        DataError: if a value is missing or not finite.
    """
    target, forces = config.target, None
    if config.forces is not None:
        key = config.forces.key
        forces = force_values(train, key).double().numpy() * config.forces.factor(target.unit)
        found = contradictions(train.structures, y[:, 0], forces)
        if found is not None:
            given = config.forces.unit or _own_unit("forces", key, target)
            yield from _of_slope(found, "forces", key, given, target)
    if config.stress is None:
        return
    key, size = config.stress.key, config.stress.factor(target.unit)
    stress = stress_values(train, key).double().numpy() * size
    found = strain_contradictions(train.structures, y[:, 0], forces, stress)
    if found is not None:
        given = config.stress.unit or _own_unit("stress", key, target)
        yield from _of_slope(found, "stress", key, given, target)
    elif target.unit:
        yield from _of_size(stress, key, target)


def force_units_that_fit(
    dataset: Dataset, key: str, energies: Float[np.ndarray, " structure"], unit: str
) -> tuple[str, ...]:
    """The units of forces that make them the slope of the energies, the nearest first.

    Args:
        dataset: structures with forces.
        key: of the forces.
        energies: of the structures.
        unit: of the energies.

    Returns:
        None if theirs is that of the energies per Å, or nothing tells it.
    """
    forces = force_values(dataset, key).double().numpy()
    found = contradictions(dataset.structures, energies, forces)
    if found is None or not unit or not found.other_unit:
        return ()
    return likely_units(found.slope, force_unit(unit), _spread(found))


def _spread(found: Changes) -> float:
    return _SPREAD if found.is_sure else _SPREAD_WIDE


def _own_unit(noun: str, key: str, target: Target) -> str:
    """The unit of derivatives beside energies whose unit may be unknown."""
    if noun == "forces":
        return force_unit(target.unit)
    return unit_of_stress(key, target.unit) or stress_unit("")


def _of_slope(found: Changes, noun: str, key: str, given: str, target: Target) -> Iterator[Doubt]:
    if found.correlation < -0.5:
        words = ("fall with", "rising")
        if noun == "forces" or is_virial(key):
            words = ("rise along" if noun == "forces" else "rise with", "falling")
        yield Doubt(
            kind=f"sign of {noun}",
            text=f"energies {words[0]} '{key}' instead of {words[1]}: between neighboring "
            f"structures of the training set their correlation is {found.correlation:.2f}; "
            "change the sign",
        )
    elif found.other_unit:
        wanted = _own_unit(noun, key, target)
        yield Doubt(
            kind=f"unit of {noun}",
            text=f"energies change {found.slope:.3g} times as much as '{key}' in {given} says "
            f"between neighboring structures; {_remedy(found, noun, given, wanted, target)}",
        )


def _remedy(found: Changes, noun: str, given: str, wanted: str, target: Target) -> str:
    """The units that would fit, of the derivatives or of the energies."""
    slope, spread = found.slope, _spread(found)
    try:
        size = slope * (factor(given, wanted) if target.unit else 1.0)
    except UnitError:
        size = slope
    known = target.unit or "eV"
    with_unit = "" if target.unit else "target.unit: eV with "
    derived = likely_units(size, wanted if target.unit else wanted.replace("1/", "eV/"), spread)
    fits = [f"{with_unit}target.{noun}.unit: {unit}" for unit in derived]
    fits += [f"energies in {unit}" for unit in likely_units(1 / slope, known, spread)]
    if fits:
        return f"{' or '.join(fits)} would fit"
    return f"they have to be in {wanted}, or target.{noun}.unit has to say in which unit they are"


def _of_size(
    stress: Float[np.ndarray, "structure 3 3"], key: str, target: Target
) -> Iterator[Doubt]:
    """Stresses that no matter holds, where nothing else tells their unit."""
    try:
        size = factor(stress_unit(target.unit), "eV/Å^3")
    except UnitError:
        return
    typical = size * float(np.median(np.abs(stress).max(axis=(1, 2))))
    if typical > _HELD:
        yield Doubt(
            kind="unit of stress",
            text=f"the largest component of '{key}' is typically "
            f"{typical / factor('GPa', 'eV/Å^3'):.3g} GPa, more than matter holds; if the numbers "
            "are in another unit, name it as target.stress.unit, for instance GPa or kbar",
        )


def doubts_of_comparison(part: Evaluated, name: str) -> Iterator[Doubt]:
    """References that are what a model predicts, but for a factor that a unit would explain.

    Args:
        part: predictions beside references.
        name: of the set.
    """
    target, predicted = part.target, part.predicted
    pairs = [("", part.reference, predicted.values, target.unit)]
    if part.forces is not None and predicted.forces is not None:
        pairs.append(("forces", part.forces, predicted.forces, force_unit(target.unit)))
    if part.stress is not None and predicted.stress is not None:
        pairs.append(("stress", part.stress, predicted.stress, stress_unit(target.unit)))
    for noun, reference, values, unit in pairs:
        slope = _slope(reference.reshape(-1), values.reshape(-1))
        option = f"--{noun}-unit" if noun else "--unit"
        others = () if slope is None else likely_units(1 / slope, unit if target.unit else "")
        if slope is None or (not noun and not others):
            continue
        fits = f" ({option} {' or '.join(others)} would fit)" if others else ""
        yield Doubt(
            kind=f"other unit of {noun}" if noun else "other unit",
            text=f"references of {noun or target.key} in {name} are {slope:.3g} times what is "
            f"predicted, each of them; check their {'unit' if slope > 0 else 'sign'}{fits}",
        )


def _slope(
    reference: Float[torch.Tensor, " n"], predicted: Float[torch.Tensor, " n"]
) -> float | None:
    """What predictions have to be multiplied with, if that is all and far from nothing."""
    known = reference.isfinite() & predicted.isfinite()
    y, x = reference[known].double(), predicted[known].double()
    norm, size = float(x @ x), float(y.norm())
    if len(y) < 3 or norm == 0 or size == 0:
        return None
    slope = float(x @ y) / norm
    rest = float((y - slope * x).norm()) / size
    correlation = math.sqrt(max(0.0, 1 - rest**2))
    return slope if correlation > _ALIKE and not _CLOSE[0] < slope < _CLOSE[1] else None
