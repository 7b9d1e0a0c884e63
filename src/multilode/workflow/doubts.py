"""Doubts about data and errors: what can be used, but is probably not what its user means."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Int

from multilode.config.config import Config
from multilode.data.dataset import Dataset
from multilode.data.properties import known_property
from multilode.data.stated_units import stated_unit
from multilode.data.units import UnitError, parsed
from multilode.data.vacuum import VACUUM, empty_layers
from multilode.models.targets import Target
from multilode.prediction.reference_values import target_values
from multilode.workflow.doubt import Doubt, doubt_of
from multilode.workflow.doubts_of_units import (
    doubts_of_derivatives,
    doubts_of_lengths,
    doubts_of_two_sets,
)
from multilode.workflow.experiment import TrainingRun
from multilode.workflow.likeness import fingerprints, same
from multilode.workflow.sets import Sets

_FAR_OFF = 25.0  # robust standard deviations of one value from all others
_FEW = 10  # structures
_AXES = {1: "one of them", 2: "two of them", 3: "all three"}
_EMPTY = {1: ("layers", "T T F"), 2: ("wires", "T F F"), 3: ("molecules", "F F F")}
_LOOKED = 300  # crystals, whose vacuum is looked for
_MEMORISED = 1e-3  # of the error in cross-validation, the error of the training set
_UNITS = {
    "energy": "eV",
    "free_energy": "eV",
    "dipole": "e*Å",
    "dipole_moment": "e*Å",
    "charges": "e",
}  # one of each kind
_KINDS = {3: "vector", 6: "symmetric", 9: "symmetric"}


def doubts_of_data(config: Config, sets: Sets) -> list[Doubt]:
    """Doubts about the sets of a configuration, before anything is computed.

    Raises:
        DataError: if a value is missing or not finite.
    """
    target = config.target
    wanted = (target.key, config.component, target.tensor, target.per, config.centers)
    y = target_values(sets.train, *wanted, unit=target.unit).numpy()
    if target.per == "atom":  # those that are no centers may have none
        y = y[~np.isnan(y).any(axis=1)]
    found = [*doubts_of_structures(sets.train), *_of_settings(target, sets.train, y, config)]
    found += _of_values(target, sets.train, y)
    known = fingerprints(sets.train.structures)
    found += _of_twins(sets.train, known, y, target)
    if sets.test is not None:
        found += _of_overlap(known, sets.test)
        tested = target_values(sets.test, *wanted, unit=target.unit).numpy()
        found += doubts_of_two_sets(target, (sets.train, y), (sets.test, tested))
    return [*found, *doubts_of_derivatives(config, sets.train, y)]


def doubts_of_structures(dataset: Dataset) -> Iterator[Doubt]:
    """Doubts about structures alone."""
    yield from doubts_of_lengths(dataset)
    structures = dataset.structures
    periodic = structures.pbc.any(dim=1).numpy()
    if periodic.any() and not periodic.all():
        rare = periodic if 2 * periodic.sum() <= len(periodic) else ~periodic
        words = ("periodic", "not") if rare is periodic else ("not periodic", "so")
        yield doubt_of(
            "periodicity",
            f"{rare.sum()} of {len(rare)} structures are {words[0]}, the others are {words[1]}; "
            "check pbc",
            dataset,
            rare,
        )
    cells = structures.cell.abs().amax(dim=(1, 2)).numpy() > 0
    if (cells & ~periodic).any():
        yield doubt_of(
            "cell without periods",
            "structures have a cell but pbc F F F, and are computed as molecules",
            dataset,
            cells & ~periodic,
        )
    yield from _of_vacuum(dataset)


def _of_vacuum(dataset: Dataset) -> Iterator[Doubt]:
    """Crystals that are rather layers, wires or molecules in a box."""
    structures = dataset.structures
    crystals = np.flatnonzero(structures.pbc.all(dim=1).numpy())
    looked = np.linspace(0, len(crystals) - 1, _LOOKED).round().astype(int)
    counts = np.zeros(len(structures), dtype=int)
    for number in crystals[np.unique(looked)] if len(crystals) else ():
        one = structures.select([int(number)])
        layers = empty_layers(one.positions.numpy(), one.cell[0].numpy())
        counts[number] = (layers > VACUUM).sum()
    for n_axes, (noun, flags) in _EMPTY.items():
        if (counts == n_axes).any():
            yield doubt_of(
                "vacuum",
                "structures are periodic along all axes and have more than "
                f"{VACUUM:g} Å of vacuum along {_AXES[n_axes]}, so that their images act on each "
                f"other over it; if they are {noun}, say so by pbc, such as {flags}",
                dataset,
                counts == n_axes,
            )


def doubts_of_errors(run: TrainingRun) -> Iterator[Doubt]:
    """Doubts about a trained model, from its errors."""
    known = {name: part.errors for name, part in run.splits.items() if name != "train"}
    if run.cross_validation is not None:
        known["cross-validation"] = run.cross_validation
    for name, errors in known.items():
        row = errors.rows[0]
        parts = [("the target", row.rmse_percent)]
        if errors.forces is not None:
            parts.append(("forces", errors.forces.rmse_percent))
        for what, percent in parts:
            if percent >= 100:
                yield Doubt(
                    kind="no better than the mean",
                    text=f"{what} in {name}: RMSE {percent:.4g} %, no better than to say the mean; "
                    "check units, signs and references, or add structures",
                )
    own = run.splits["train"].errors.rows[0].rmse
    crossed = run.cross_validation
    if crossed is not None and own < _MEMORISED * crossed.rows[0].rmse:
        yield Doubt(
            kind="memorised",
            text=f"the error of the training set ({own:.2g}) is far below that in cross-validation "
            f"({crossed.rows[0].rmse:.2g}): the model has learned its structures by heart; judge "
            "it by a test set",
        )


def _of_settings(
    target: Target, train: Dataset, y: Float[np.ndarray, "row _"], config: Config
) -> Iterator[Doubt]:
    if not target.unit:
        yield Doubt(
            kind="unit",
            text=f"target.unit is not given, so that the unit of '{target.key}' is unknown: errors "
            "are in that of the data",
        )
    elif (problem := _of_unit(target) or _of_energy_unit(target, train)) is not None:
        yield Doubt(kind="unit", text=f"target.unit is '{target.unit}', {problem}")
    if len(train) < _FEW:
        yield Doubt(
            kind="few structures",
            text=f"the training set has {len(train)} structures; errors of so few say little",
        )
    folds = getattr(config.regression, "folds", None)
    if isinstance(folds, int) and len(train) < folds:
        yield Doubt(
            kind="fewer structures than folds",
            text=f"cross-validation wants {folds} folds, and there are {len(train)} structures",
        )
    if target.tensor is None and config.component is None and y.shape[1] in _KINDS:
        yield Doubt(
            kind="scalars",
            text=f"'{target.key}' has {y.shape[1]} numbers, learned as so many that do not rotate; "
            f"of a tensor say target.tensor: {_KINDS[y.shape[1]]}",
        )


def _of_unit(target: Target) -> str | None:
    """What is doubtful of the unit of a target."""
    try:
        kind = parsed(target.unit).kind
    except UnitError as error:
        return f"which only labels the numbers: {error}"
    found = known_property(target.key)
    wanted = None if found is None else _UNITS.get(found[0])
    if wanted is None or kind == parsed(wanted).kind:
        return None
    return f"which is no unit of what is named '{target.key}'; one is {wanted}"


def _of_energy_unit(target: Target, train: Dataset) -> str | None:
    """What is doubtful of a unit if the files name another one for energies."""
    stated = stated_unit(train, "energy")
    own = parsed(target.unit)
    if stated is None or parsed(stated).kind != own.kind or parsed(stated).equals(own):
        return None
    return f"but the files name {stated} for energies: is '{target.key}' in another unit?"


def _of_values(target: Target, train: Dataset, y: Float[np.ndarray, "row _"]) -> Iterator[Doubt]:
    y = y[np.isfinite(y).all(axis=1)]  # atoms that are no centers have none
    if len(y) > 1 and not (np.ptp(y, axis=0) > 1e-12 * np.abs(y).max(axis=0)).any():
        yield Doubt(
            kind="constant",
            text=f"'{target.key}' has the same value everywhere, {y[0, 0]:g}: there is nothing to "
            "learn; check the key",
        )
    elif target.per == "structure":
        far = _far_off(_rest(train, y, target))
        if far.any():
            yield doubt_of(
                "far off",
                f"'{target.key}' is far off all other values, more than {_FAR_OFF:g} times their "
                "spread",
                train,
                far,
            )


def twins(dataset: Dataset, pairs: Int[np.ndarray, "pair 2"]) -> Iterator[Doubt]:
    """Structures that are there twice.

    Args:
        dataset: the structures.
        pairs: of equal ones, from `same`.
    """
    if len(pairs):
        later = np.zeros(len(dataset), dtype=bool)
        later[pairs[:, 1]] = True
        yield doubt_of(
            "duplicates",
            f"{later.sum()} of {len(dataset)} structures are copies of earlier ones; a "
            "cross-validation finds them again: remove them, or give equal ones one data.group",
            dataset,
            later,
        )


def _of_twins(
    train: Dataset,
    known: Float[np.ndarray, "structure number"],
    y: Float[np.ndarray, "row _"],
    target: Target,
) -> Iterator[Doubt]:
    pairs = same(known)
    yield from twins(train, pairs)
    if not len(pairs) or target.per != "structure":
        return
    differ = np.abs(y[pairs[:, 0]] - y[pairs[:, 1]]).max(axis=1) > 1e-6 * max(1e-30, np.std(y))
    if differ.any():
        again = np.zeros(len(train), dtype=bool)
        again[pairs[differ].flatten()] = True
        yield doubt_of(
            "contradiction",
            f"structures of one geometry have different values of '{target.key}'",
            train,
            again,
        )


def _of_overlap(known: Float[np.ndarray, "structure number"], test: Dataset) -> Iterator[Doubt]:
    both = same(np.concatenate([known, fingerprints(test.structures)]))
    shared = np.zeros(len(test), dtype=bool)
    mixed = (both[:, 0] < len(known)) & (both[:, 1] >= len(known))
    shared[both[mixed, 1] - len(known)] = True
    if shared.any():
        yield doubt_of(
            "overlap",
            f"{shared.sum()} of {len(test)} structures of the test set are in the training set; "
            "their errors are those of the training",
            test,
            shared,
        )


def _rest(
    train: Dataset, y: Float[np.ndarray, "row _"], target: Target
) -> Float[np.ndarray, "row _"]:
    """What the composition leaves, by a fit that few wrong values do not move."""
    structures = train.structures
    numbers = structures.species.numpy()
    kinds, index = np.unique(numbers, return_inverse=True)
    counts = np.zeros((len(train), len(kinds)))
    np.add.at(counts, (structures.structure_index.numpy(), index), 1)
    columns = counts if target.reduce == "sum" and target.tensor is None else np.ones((len(y), 1))
    rest = y - np.median(y, axis=0)
    if len(y) <= columns.shape[1]:
        return rest
    weights = np.ones(len(y))
    for _ in range(30):
        scaled = np.sqrt(weights)[:, None]
        rest = y - columns @ np.linalg.lstsq(scaled * columns, scaled * y, rcond=None)[0]
        size = np.linalg.norm(rest, axis=1)
        weights = 1 / np.maximum(size, 1e-6 * max(size.max(), 1e-300))
    return rest - np.median(rest, axis=0)


def _far_off(rest: Float[np.ndarray, "row _"]) -> np.ndarray:
    size = np.linalg.norm(rest, axis=1)
    spread = 1.4826 * float(np.median(size))
    far = size > _FAR_OFF * spread if spread > 0 else np.zeros(len(size), dtype=bool)
    return far if 0 < far.sum() <= max(1, len(far) // 20) else np.zeros(len(far), dtype=bool)
