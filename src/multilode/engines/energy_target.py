"""Models that are energies, and the unit of these: what every engine asks of a model first."""

from pathlib import Path

from multilode.config.store import load
from multilode.data.units import ASE_UNITS, UnitError, energy_in_ev, factor
from multilode.errors import UserError
from multilode.models.targets import Target
from multilode.prediction.predictor import Predictor


class EngineError(UserError):
    """An engine that is not there, or cannot use a model; the message says what to do."""


def energy_predictor(model: Predictor | str | Path, unit: str | None) -> tuple[Predictor, float]:
    """A model of an energy that has forces, and the size of its unit in eV.

    Args:
        model: a trained model, or the file that holds one.
        unit: of its energies, where the model names none itself.

    Raises:
        ModelFileError: if the file cannot be used.
        EngineError: if its target is no energy.
        UnitError: if its unit is none of an energy, or nobody says which it is.
    """
    predictor = model if isinstance(model, Predictor) else load(model)
    target = predictor.target
    whole = target.reduce == "sum" and target.per == "structure"
    if not whole or predictor.model.n_targets != 1:
        raise EngineError(
            f"'{target.key}' is no energy, and has no forces: these need a target of structures "
            "with reduce='sum' and one column; train on an energy, or use TensorCalculator for "
            "dipoles and polarizabilities"
        )
    return predictor, size_in_ev(target, unit)


def size_in_ev(target: Target, given: str | None) -> float:
    """The unit of an energy in eV, as the model names it, or else the user, or ASE.

    Raises:
        UnitError: if it is no energy, two are named, or none is.
    """
    unit = target.unit or given or ASE_UNITS.get(target.key)
    if unit is None:
        raise UnitError(
            f"the model does not name the unit of '{target.key}', and other programs want eV; say "
            "which it is, as unit='eV' or --unit eV"
        )
    if target.unit and given is not None and factor(given, target.unit) != 1:
        raise UnitError(
            f"the model has '{target.key}' in {target.unit}, but unit is {given!r}; leave it out"
        )
    try:
        return energy_in_ev(unit)
    except UnitError as error:
        raise UnitError(
            f"{error}: '{target.key}' cannot be converted to eV; train on energies in eV, Hartree, "
            "Ry, kcal/mol or kJ/mol, and name the unit"
        ) from error
