"""The unit of an energy that drives other programs."""

from multilode.data.units import ASE_UNITS, UnitError, energy_in_ev, factor
from multilode.models.targets import Target


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
