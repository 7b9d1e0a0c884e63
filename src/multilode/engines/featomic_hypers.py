"""Hyper-parameters of featomic as fields on bases of ours."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from multilode.errors import UserError
from multilode.expansion import FieldExpansion
from multilode.fields import AbstractField, GaussianDensity, SmearedPotential
from multilode.fields.cutoffs import AbstractCutoff, RadialScaling, ShiftedCosine, StepCutoff
from multilode.radial import GaussianTypeOrbitals

Hypers = Mapping[str, Any]


def from_featomic(hypers: Hypers | str) -> FieldExpansion:
    """The same field on the same basis: coefficients are equal, up to the accuracies of both.

    What sets the accuracy of numbers in featomic (`k_cutoff`, `spline_accuracy`) is left out; here
    that is the `tolerance`.

    Args:
        hypers: of its `SphericalExpansion` or `SoapPowerSpectrum`, which have a cutoff, or of its
            `LodeSphericalExpansion`, which has none; or the `parameters` of such a calculator, as
            JSON.

    Raises:
        UserError: for what has no equivalent here, such as tabulated radial functions, and for
            unknown and missing keys.
    """
    plain = _read(hypers)
    local = "cutoff" in plain
    _check_keys(plain, "", ["density", "basis", *(["cutoff"] if local else ["k_cutoff"])])
    density = _part(plain, "density")
    cutoff = _part(plain, "cutoff") if local else {}
    more: dict[str, Any] = {}
    if local:
        _check_keys(cutoff, "cutoff", ["radius", "smoothing"])
        more["neighbor_cutoff"] = _number(cutoff, "cutoff", "radius")
        more["cutoff_function"] = _weight(cutoff, density.get("scaling"))
    elif density.get("scaling") is not None:
        raise UserError("density.scaling: the field of all atoms has no radial scaling; remove it")
    basis, max_angular = _basis(_part(plain, "basis"), more.get("neighbor_cutoff"))
    if "center_atom_weight" in density:
        more["center_weight"] = _number(density, "density", "center_atom_weight")
    try:
        return FieldExpansion(_field(density), basis, max_angular, **more)
    except ValueError as error:
        raise UserError(f"these hyper-parameters have no equivalent: {error}") from error


def _read(hypers: Hypers | str) -> Hypers:
    if not isinstance(hypers, str):
        return hypers
    try:
        return json.loads(hypers)
    except json.JSONDecodeError as error:
        raise UserError(
            f"the hyper-parameters are no JSON ({error}); give a dictionary, or the 'parameters' "
            "of a calculator"
        ) from error


def _field(density: Hypers) -> AbstractField:
    kind = density.get("type")
    beside = ["type", "center_atom_weight", "scaling"]
    if kind == "Gaussian":
        _check_keys(density, "density", ["width", *beside])
        return GaussianDensity(_number(density, "density", "width"))
    if kind == "SmearedPowerLaw":
        _check_keys(density, "density", ["smearing", "exponent", *beside])
        smearing = _number(density, "density", "smearing")
        exponent = _number(density, "density", "exponent")
        return SmearedPotential(smearing, exponent) if exponent else GaussianDensity(smearing)
    raise _no_equivalent("density.type", kind, ["Gaussian", "SmearedPowerLaw"])


def _basis(basis: Hypers, cutoff: Any) -> tuple[GaussianTypeOrbitals, int]:
    """The radial basis, which has the radius of the cutoff unless it names one; the largest l."""
    if basis.get("type") != "TensorProduct":
        raise _no_equivalent("basis.type", basis.get("type"), ["TensorProduct"])
    _check_keys(basis, "basis", ["type", "max_angular", "radial", "spline_accuracy"])
    radial = {"radius": cutoff, **_part(basis, "radial", "basis")}
    if radial.get("type") != "Gto":
        raise _no_equivalent("basis.radial.type", radial.get("type"), ["Gto"])
    _check_keys(radial, "basis.radial", ["type", "max_radial", "radius"])
    functions = int(_number(radial, "basis.radial", "max_radial")) + 1
    radius = _number(radial, "basis.radial", "radius")
    try:
        made = GaussianTypeOrbitals(functions, radius)
    except ValueError as error:
        raise UserError(f"basis.radial has no equivalent: {error}") from error
    return made, int(_number(basis, "basis", "max_angular"))


def _weight(cutoff: Hypers, scaling: Any) -> AbstractCutoff:
    """The weight of neighbors: smoothing and scaling are one function here."""
    smoothing = _part(cutoff, "smoothing", "cutoff")
    kind = smoothing.get("type")
    if kind not in ("ShiftedCosine", "Step"):
        raise _no_equivalent("cutoff.smoothing.type", kind, ["ShiftedCosine", "Step"])
    if kind == "Step":
        _check_keys(smoothing, "cutoff.smoothing", ["type"])
    else:
        _check_keys(smoothing, "cutoff.smoothing", ["type", "width"])
    width = _number(smoothing, "cutoff.smoothing", "width") if kind != "Step" else 0.0
    try:
        if scaling is None:
            return ShiftedCosine(width) if kind != "Step" else StepCutoff()
        return _scaled(scaling, width)
    except UserError:
        raise
    except ValueError as error:
        raise UserError(f"the weight of neighbors has no equivalent: {error}") from error


def _scaled(scaling: Any, width: float) -> RadialScaling:
    where = "density.scaling"
    if not isinstance(scaling, Mapping) or scaling.get("type") != "Willatt2018":
        kind = scaling.get("type") if isinstance(scaling, Mapping) else scaling
        raise _no_equivalent(f"{where}.type", kind, ["Willatt2018"])
    _check_keys(scaling, where, ["type", "exponent", "rate", "scale"])
    if width == 0:
        raise UserError(
            f"{where}: a radial scaling goes to zero smoothly here; take a ShiftedCosine smoothing"
        )
    names = ("scale", "exponent", "rate")
    return RadialScaling(**{name: _number(scaling, where, name) for name in names}, width=width)


def _part(plain: Hypers, key: str, where: str = "") -> Hypers:
    """A dictionary within."""
    path = f"{where}.{key}" if where else key
    found = plain.get(key)
    if not isinstance(found, Mapping):
        raise UserError(f"{path}: {'is missing' if found is None else 'is no dictionary'}; give it")
    return found


def _number(plain: Hypers, where: str, key: str) -> float:
    found = plain.get(key)
    if isinstance(found, bool) or not isinstance(found, int | float) or not math.isfinite(found):
        raise UserError(f"{where}.{key}: is {found!r}; give a number")
    return float(found)


def _check_keys(plain: Hypers, where: str, known: Sequence[str]) -> None:
    """Nothing is passed over in silence."""
    for key in plain:
        if key not in known:
            path = f"{where}.{key}" if where else key
            raise UserError(f"{path}: is not known; known are {', '.join(known)}")


def _no_equivalent(path: str, found: Any, known: Sequence[str]) -> UserError:
    return UserError(f"{path}: {found!r} has no equivalent here; use {' or '.join(known)}")
