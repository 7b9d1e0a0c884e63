"""`multilode init`: a configuration from data, with the reasons beside its lines."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import final

import yaml

from multilode.cli.output import OutputError, output_file
from multilode.cli.progress import progress_stages
from multilode.config.config import Config, config_from_dict
from multilode.config.yaml_text import parse_yaml
from multilode.data.dataset import DataError, Dataset
from multilode.data.io import read
from multilode.errors import UserError, one_line
from multilode.files import write_text
from multilode.progress import duration
from multilode.workflow.doubts import doubts_of_data
from multilode.workflow.doubts_of_units import force_units_that_fit
from multilode.workflow.forecast import forecast
from multilode.workflow.guesses import (
    TargetGuess,
    forces_key,
    fragments_key,
    group_key,
    is_interaction,
    radius,
    split_key,
    targets,
    test_files,
)
from multilode.workflow.sets import Sets, load_sets

_FRACTION = 0.2  # of the structures, for the test
_FEWEST = 10  # structures, for a test set among them
_FOR_A_NETWORK = 50  # structures with forces
_RADIUS_OF_NETWORKS = 3.5  # Å
_SEEDS = 20  # splits that are tried where an element is rare


@final
@dataclass(frozen=True, kw_only=True)
class _Plan:
    """What goes into the file.

    Args:
        train: files.
        test: files of a test set of its own.
        dataset: the structures of `train`.
        target: the property.
        others: keys of more properties that could be meant.
        forces: key of forces.
        fragments: key of the numbers of fragments.
        cutoff: in Å.
        seed: of a random split.
        fraction: of a random test set; 0 for none.
        forces_units: what forces may be in, where it is not the unit of the energy per Å.
    """

    train: tuple[Path, ...]
    test: tuple[Path, ...]
    dataset: Dataset
    target: TargetGuess
    others: tuple[str, ...]
    forces: str | None
    fragments: str | None
    cutoff: float
    seed: int = 0
    fraction: float = 0.0
    forces_units: tuple[str, ...] = ()

    @property
    def fast(self) -> bool:
        """Whether there are forces, and too few structures for a network."""
        return self.forces is not None and len(self.dataset) < _FOR_A_NETWORK


def run_init(data: Sequence[Path], output: Path, *, target: str | None, overwrite: bool) -> None:
    """Write a configuration that can be checked and trained, and say what is a guess.

    Args:
        data: files with structures; those with `test` in their name are the test set.
        output: the configuration.
        target: key of the property; by default the most likely.
        overwrite: whether an older configuration is replaced.

    Raises:
        UserError: if a file cannot be used, holds nothing that can be learned, or the
            configuration is there already.
    """
    if output.exists() and not overwrite:
        raise OutputError(
            f"'{output}' exists; choose another name with -o, or replace it with --overwrite"
        )
    with output_file(output, inputs=data):
        with progress_stages() as stage:
            test = tuple(test_files(data))
            train = tuple(path for path in data if path not in test)
            dataset = read(list(train), progress=stage("reading structures"))
            plan = _plan(train, test, dataset, target)
            plan, config, sets = _with_split(plan, output.parent)
            stage("computing a few structures")
            size, cost = _cost(config, sets)
        write_text(output, _text(plan, output.parent, size))
    for doubt in doubts_of_data(config, sets):
        print(f"note: {doubt}")
    if plan.target.doubt:
        print(f"note: target.unit is {plan.target.unit}: {plan.target.doubt}; correct it if wrong")
    written = one_line(str(output))
    print(f"Written to {written}: {plan.target.key} of {dataset.structures.summary()}.")
    print(f"The fit: {cost}.")
    print(f"Next: multilode check {written}; multilode train {written}")


def _plan(
    train: tuple[Path, ...], test: tuple[Path, ...], dataset: Dataset, key: str | None
) -> _Plan:
    found = targets(dataset)
    chosen = next((guess for guess in found if key in (None, guess.key)), None)
    names = ", ".join(guess.key for guess in found)
    if chosen is None and key is not None:
        raise UserError(
            f"{train[0]}: '{key}' is nothing that every structure has as a number or tensor; "
            f"such are {names or 'none'}"
        )
    if chosen is None:
        raise UserError(
            f"{train[0]}: no structure has a property that can be learned; add one, such as "
            "energy=-1.5 in the comment line of each frame"
        )
    forces = forces_key(dataset, chosen.key) if chosen.energy else None
    units = ()
    if forces is not None:
        energies = dataset.column(chosen.key).reshape(len(dataset))
        units = force_units_that_fit(dataset, forces, energies, chosen.unit)
    plan = _Plan(
        train=train,
        test=test,
        dataset=dataset,
        target=chosen,
        forces_units=units,
        others=tuple(guess.key for guess in found if guess.key != chosen.key),
        forces=forces,
        fragments=fragments_key(dataset, chosen.key) if chosen.energy else None,
        cutoff=radius(dataset),
    )
    linear = forces is None or plan.fast
    return plan if linear else replace(plan, cutoff=max(_RADIUS_OF_NETWORKS, plan.cutoff - 1))


def _with_split(plan: _Plan, folder: Path) -> tuple[_Plan, Config, Sets]:
    """The plan with a test set that has no element alone, and what it means."""
    drawn = not plan.test and split_key(plan.dataset) is None and len(plan.dataset) >= _FEWEST
    plan = replace(plan, fraction=_FRACTION if drawn else 0.0)
    for seed in range(_SEEDS if drawn else 0):
        one = replace(plan, seed=seed)
        config = _config(one, folder)
        try:
            return one, config, load_sets(config)
        except (DataError, UserError):  # an element in the test set only, or one group
            continue
    plan = replace(plan, fraction=0.0)
    config = _config(plan, folder)
    return plan, config, load_sets(config)


def _config(plan: _Plan, folder: Path) -> Config:
    text = _text(plan, folder, "")
    return config_from_dict(parse_yaml(text, source="init"), source="init", folder=folder)


def _cost(config: Config, sets: Sets) -> tuple[str, str]:
    """Size of the fit, and with its time on this machine as it is now."""
    try:
        found = forecast(config, sets)
    except ValueError as error:
        raise UserError(f"cannot train: {error}") from error
    if found.way:
        return found.size, found.way
    return found.size, (
        f"{found.size}, {duration(found.feature_seconds)} for features and up to "
        f"{duration(found.fit_seconds)} for the fit, more on a busy machine"
    )


def _text(plan: _Plan, folder: Path, size: str) -> str:
    """The configuration with its comments."""
    lines = [
        "# A proposal of `multilode init`: look at the lines with a reason, and train with",
        "# `multilode train`. All settings: docs/configuration.md and `multilode schema`.",
        *([f"# The fit: {size}."] if size else []),
        *_data_lines(plan, folder),
        *_target_lines(plan),
    ]
    if plan.forces is not None:
        n = len(plan.dataset)
        reason = f"{n} structures are few for a network, which is what forces get otherwise"
        lines += (
            _line("preset", "fast", reason)
            if plan.fast
            else _line(
                "preset", "balanced", "forces are learned by a network; fast: a linear model"
            )
        )
    lines += _line("cutoff", plan.cutoff, "Å, a few shells of neighbors; farther atoms act by V")
    return "\n".join(lines) + "\n"


def _data_lines(plan: _Plan, folder: Path) -> list[str]:
    place = os.path.realpath(folder)
    train, test = (
        [os.path.relpath(os.path.realpath(path), place) for path in paths]
        for paths in (plan.train, plan.test)
    )
    lines = ["data:", *_line("  train", train, f"{len(plan.dataset)} structures")]
    split, group = split_key(plan.dataset), group_key(plan.dataset)
    if test:
        lines += _line("  test", test, "never trained on")
    elif split is not None:
        lines += _line("  split", split, "which says train or test of each structure")
    elif plan.fraction:
        lines += _line("  test_fraction", plan.fraction, "drawn at random, never trained on")
        lines += _line("  seed", plan.seed, "of that draw")
    else:
        lines.append("  # no test set: there are too few structures; data.test names one")
    if group is not None:
        n = len(set(plan.dataset.labels(group)))
        lines += _line("  group", group, f"{n} groups, kept together; null if they mean nothing")
    return lines


def _target_lines(plan: _Plan) -> list[str]:
    target = plan.target
    others = f"others: {', '.join(plan.others[:6])}" if plan.others else ""
    lines = ["target:", *_line("  key", target.key, others)]
    if target.unit:
        lines += _line("  unit", target.unit, target.doubt and f"CHECK: {target.doubt}")
    else:
        lines.append("  # unit: ...  (nothing tells it; errors are in that of the data)")
    if target.per == "atom":
        lines += _line("  per", "atom", "one for each atom")
    if target.tensor is not None:
        lines += _line("  tensor", target.tensor, "predictions rotate with the structure")
    if target.per == "structure" and target.tensor is None and target.reduce == "mean":
        lines += _line("  reduce", "mean", "it does not grow with the number of atoms; else sum")
    if is_interaction(target.key) and plan.fragments is None:
        lines += _line("  baseline", "none", "it is zero for separate molecules")
    if plan.fragments is not None:
        lines += _line("  fragments", plan.fragments, "energy of the whole less its fragments")
    if plan.forces is not None and plan.forces_units:
        forces = {"key": plan.forces, "unit": plan.forces_units[0]}
        reason = f"CHECK: energies in {plan.target.unit} fit {' or '.join(plan.forces_units)}"
        lines += _line("  forces", forces, reason)
    elif plan.forces is not None:
        lines += _line("  forces", plan.forces, "learned from too; null for energies alone")
    return lines


def _line(key: str, value: object, reason: str = "") -> list[str]:
    text = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=10_000)
    text = text.removesuffix("...\n").strip()
    return [f"{key}: {text}{f'  # {reason}' if reason else ''}"]
