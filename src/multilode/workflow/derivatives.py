"""References of forces and stresses that a configuration learns from."""

import warnings

from multilode.config.config import Config
from multilode.data.dataset import Dataset
from multilode.errors import DataWarning
from multilode.models.targets import Forces, Stress
from multilode.prediction.reference_values import force_values, stress_values
from multilode.workflow.sets import Sets

Derivatives = tuple[Forces | None, Stress | None]


def derivatives_of(config: Config, sets: Sets) -> dict[str, Derivatives]:
    """References of forces and stresses of each set, if there are any to learn from.

    A test set whose files have none at all is used for its energies.
    """
    found: dict[str, Derivatives] = {}
    for name, part in sets.named.items():
        forces, stress = config.forces, config.stress
        if forces is not None and name == "test" and not part.has_atom_column(forces.key):
            forces = _left_out(forces.key, "forces")
        if stress is not None and name == "test" and not part.has_column(stress.key):
            stress = _left_out(stress.key, "stresses")
        found[name] = (
            None if forces is None else forces_of(config, part),
            None if stress is None else _stress_of(config, part),
        )
    return found


def _left_out(key: str, noun: str) -> None:
    """Warn that a test set has no such references."""
    warnings.warn(
        DataWarning(
            f"the test set has no '{key}'; predicted {noun} are compared with those of the "
            "training set only"
        ),
        stacklevel=4,
    )


def forces_of(config: Config, dataset: Dataset) -> Forces | None:
    """References of forces of one set in the unit of the energy per Å, if they are learned from."""
    asked = config.forces
    if asked is None:
        return None
    unit = config.target.unit
    factor = asked.factor(unit)
    return Forces(
        values=factor * force_values(dataset, asked.key, asked.given_unit(unit)),
        weight=asked.weight,
        directions=asked.directions,
        seed=asked.seed,
    )


def _stress_of(config: Config, dataset: Dataset) -> Stress | None:
    asked = config.stress
    if asked is None:
        return None
    unit = config.target.unit
    values = asked.factor(unit) * stress_values(dataset, asked.key, asked.given_unit(unit))
    return Stress(values=values, weight=asked.weight)
