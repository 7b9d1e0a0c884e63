"""From the parts of a configuration to the objects that compute, and back to complete parts.

The tables and constructors say what is allowed; this file adds the defaults that only a
configuration has, and the layout: the basis of a field stands beside the settings of the field.
"""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from typing import Any, get_type_hints

from multilode.config.codec import class_of, decode, encode
from multilode.config.codec_errors import CodecError, WrongValueError, unknown_key
from multilode.config.settings import CommitteeSettings, Products, Radius, Seed
from multilode.data.units import ASE_UNITS
from multilode.expansion import FieldExpansion, check_method
from multilode.fields import AbstractField
from multilode.models import AbstractEstimator, AbstractKernel, Network, polynomial_kernels
from multilode.models.targets import Target
from multilode.prediction.baseline import AbstractBaseline
from multilode.prediction.model_baselines import AbstractModelBaseline, CalculatorBaseline
from multilode.radial import AbstractRadialBasis
from multilode.radial.tables import check_tolerance
from multilode.representation.channel_fit import check_channels
from multilode.representation.feature_recipe import (
    DEFAULT_PRODUCTS,
    FeatureRecipe,
    default_fields,
    parse_products,
)
from multilode.representation.sources.recipes import AbstractSourceRecipe

Plain = dict[str, Any]
_DEFAULT_KINDS = {"rho": "density", "V": "potential"}
# What a configuration bounds more narrowly than the classes do
_LIMITS = {"radius": Radius, "neighbor_cutoff": Radius, "near_radius": Radius, "seed": Seed}
_NOT_OPTIONS = ("field", "basis", "max_angular")  # of an expansion: they have their own place
_POLYNOMIAL = ("zeta", "normalize")  # which stand for the polynomial kernel that they make
_MODELS = ("column", "calculator")  # kinds of baselines that their first setting tells
_SPECIES, _RESPONDING = "species", "responding"  # kinds of sources beside those in the table
_NOT_OF_TARGET = ("baseline", "component", "forces", "stress")


@contextmanager
def under(path: str) -> Iterator[None]:
    """Raise what a constructor in the block refuses as a `CodecError` of the setting `path`."""
    try:
        yield
    except CodecError:
        raise
    except (ValueError, TypeError) as error:
        raise CodecError(path, str(error)) from error


def mapping(raw: Any, where: str) -> Plain:
    """A group of settings; None is an empty one.

    Raises:
        CodecError: if it is no mapping.
    """
    if raw is None:
        return {}
    if not isinstance(raw, Mapping):
        raise CodecError(where, str(WrongValueError("input should be a mapping of settings", raw)))
    return dict(raw)


def check_keys(raw: Mapping[str, Any], allowed: Collection[str], where: str) -> None:
    """Refuse a setting that does not exist, and one out of the bounds of a configuration."""
    for key in raw:
        if key not in allowed:
            raise unknown_key(f"{where}.{key}" if where else key, allowed)
    for key, bounds in _LIMITS.items():
        if raw.get(key) is not None:
            decode(bounds, raw[key], where=f"{where}.{key}")


def build_recipe(raw: Mapping[str, Any], cutoff: float) -> FeatureRecipe:
    """The fields that are multiplied, each on its basis.

    Args:
        raw: the parts `fields`, `features`, `channels`, `method` and `tolerance` of a
            configuration.
        cutoff: radius in Å that fields have by default.

    Raises:
        CodecError: if a setting cannot be used.
    """
    given = {**{name: {} for name in _DEFAULT_KINDS}, **mapping(raw.get("fields"), "fields")}
    made = {name: _field(part, name, cutoff) for name, part in given.items()}
    sources = {name: _sources(part, name) for name, part in given.items()}
    products = raw.get("features", parse_products(DEFAULT_PRODUCTS))
    products = decode(Products, products, where="features")
    used = {name for names in products for name in names}
    for name in sorted(used - set(made)):
        hint = str(unknown_key(name, made)).partition("; ")[2].replace("known are", "defined are")
        raise CodecError("", f"'features' names the field '{name}'; {hint}")
    for name in sorted(set(made) - used - set(_DEFAULT_KINDS)):
        raise CodecError("", f"'features' does not use the field '{name}'; add or remove it")
    method = decode(str, raw.get("method", "auto"), where="method")
    tolerance = decode(float | None, raw.get("tolerance"), where="tolerance")
    channels = raw.get("channels", "auto")
    channels = None if channels == "none" else channels
    with under("channels"):
        check_channels(channels)
    with under("method"):
        check_method(method)
    with under("tolerance"):
        if tolerance is not None:
            check_tolerance(tolerance)
    return FeatureRecipe(
        fields={name: field for name, field in made.items() if name in used},
        products=products,
        method=method,
        tolerance=tolerance,
        channels=channels,
        sources={name: one for name, one in sources.items() if one is not None and name in used},
    )


def plain_recipe(recipe: FeatureRecipe) -> Plain:
    """The complete parts `fields`, `features`, `channels`, `method` and `tolerance`."""
    return {
        "fields": {
            name: {**_plain_field(part), "sources": plain_sources(recipe.sources.get(name))}
            for name, part in recipe.fields.items()
        },
        "features": [list(names) for names in recipe.products],
        "channels": "none" if recipe.channels is None else recipe.channels,
        "method": recipe.method,
        "tolerance": recipe.tolerance,
    }


def build_estimator(raw: Any) -> tuple[AbstractEstimator | Network, CommitteeSettings | None]:
    """The estimator of the part `estimator`, and the committee of such estimators, if any.

    Raises:
        CodecError: if a setting cannot be used.
    """
    part = {"kind": "ridge", **mapping(raw, "estimator")}
    own = _arguments(class_of(AbstractEstimator, part, where="estimator"))
    words = _POLYNOMIAL if "kernel" in own else ()
    check_keys(part, ["kind", "committee", *own, *words], "estimator")
    committee = part.pop("committee", None)
    given = {key: part.pop(key) for key in words if key in part}
    if given:
        if "kernel" in part:
            raise CodecError("estimator.kernel", f"leave out {' and '.join(given)} beside a kernel")
        part["kernel"] = _polynomial(given)
    estimator = decode(AbstractEstimator, part, where="estimator")
    where = "estimator.committee"
    return estimator, decode(CommitteeSettings | None, committee, where=where)


def plain_estimator(
    estimator: AbstractEstimator | Network, committee: CommitteeSettings | None
) -> Plain:
    """The complete part `estimator`."""
    plain, _ = encode(estimator, AbstractEstimator)
    return {**plain, "committee": encode(committee)[0]}


def check_kernel_words(raw: Any, n_products: int) -> None:
    """Refuse lists of words of a polynomial kernel that do not have one value for each product."""
    for key in _POLYNOMIAL:
        value = mapping(raw, "estimator").get(key)
        if isinstance(value, list) and len(value) != n_products:
            raise CodecError(
                f"estimator.{key}",
                f"has {len(value)} values for {n_products} features; give one for each entry of "
                "'features'",
            )


def _polynomial(given: Plain) -> Any:
    """The kernel, or one per term, that the words of a polynomial kernel stand for."""
    types = {"zeta": int | tuple[int, ...], "normalize": bool | tuple[bool, ...]}
    read = {k: decode(types[k], value, where=f"estimator.{k}") for k, value in given.items()}
    with under(f"estimator.{next(iter(given))}"):
        kernels = polynomial_kernels(**read)
    if isinstance(kernels, tuple):
        return [encode(kernel, AbstractKernel)[0] for kernel in kernels]
    return encode(kernels, AbstractKernel)[0]


def build_target(raw: Any) -> Target:
    """The target of the part `target`.

    Raises:
        CodecError: if a setting cannot be used.
    """
    part = mapping(raw, "target")
    if part.get("unit") is None:  # of what has a name of ASE the unit is known, of no other
        part["unit"] = ASE_UNITS.get(str(part.get("key")), "")
    check_keys(part, [*_arguments(Target), *_NOT_OF_TARGET], "target")
    own = {key: value for key, value in part.items() if key not in _NOT_OF_TARGET}
    return decode(Target, own, where="target")


def build_baseline(raw: Any, target: Target, *, forces: bool) -> AbstractBaseline | None:
    """The baseline of the part `target.baseline`: its kind alone, or settings that imply it.

    Args:
        target: that it is to be subtracted from.
        forces: whether forces are learned too.

    Raises:
        CodecError: if a setting cannot be used.
    """
    part = {"kind": raw} if isinstance(raw, str) else raw
    if isinstance(part, Mapping):
        named = next((kind for kind in _MODELS if kind in part), None)
        part = {**({} if named is None else {"kind": named}), **part}
    where = "target.baseline"
    baseline = decode(AbstractBaseline | None, part, where=where)
    with under(where):
        if isinstance(baseline, CalculatorBaseline):
            baseline = baseline.made()
        if isinstance(baseline, AbstractModelBaseline):
            baseline.check(target, forces=forces)
    return baseline


def plain_baseline(baseline: AbstractBaseline | None) -> Any:
    """The part `target.baseline`: its kind alone if it has no settings."""
    plain, _ = encode(baseline, AbstractBaseline | None)
    return plain["kind"] if plain is not None and set(plain) == {"kind"} else plain


def _field(raw: Any, name: str, cutoff: float) -> FieldExpansion:
    where = f"fields.{name}"
    part = mapping(raw, where)
    if name in _DEFAULT_KINDS:
        part = {"kind": _DEFAULT_KINDS[name], **part}
    own = _arguments(class_of(AbstractField, part, where=where))
    options = [key for key in _arguments(FieldExpansion) if key not in _NOT_OPTIONS]
    check_keys(part, ["kind", "basis", "sources", *own, *options], where)
    given = {key: part[key] for key in ("kind", *own) if key in part}
    settings = {**_default_settings().get(part["kind"], {}), **given}
    field = decode(AbstractField, settings, where=where)
    basis, max_angular = _basis(part.get("basis"), f"{where}.basis", cutoff)
    chosen = {key: part[key] for key in options if key in part}
    if field.neighbors_within_cutoff and chosen.get("neighbor_cutoff") is None:
        chosen["neighbor_cutoff"] = cutoff
    if chosen.get("range", "all") != "all" and chosen.get("near_radius") is None:
        chosen["near_radius"] = cutoff
    if isinstance(chosen.get("cutoff_function"), dict):
        chosen["cutoff_function"] = {"kind": "shifted_cosine", **chosen["cutoff_function"]}
    hints = get_type_hints(FieldExpansion)
    chosen = {k: decode(hints[k], v, where=f"{where}.{k}") for k, v in chosen.items()}
    with under(where):
        return FieldExpansion(field=field, basis=basis, max_angular=max_angular, **chosen)


def _sources(raw: Any, name: str) -> AbstractSourceRecipe | None:
    """Sources of a field by their kind alone, or by settings; None if each species is one."""
    where = f"fields.{name}.sources"
    part = mapping(raw, f"fields.{name}").get("sources", _SPECIES)
    part = {"kind": part} if isinstance(part, str) else mapping(part, where)
    kind = part.get("kind")
    if kind == _SPECIES:
        check_keys(part, ["kind"], where)
        return None
    if kind == _RESPONDING:
        part = {**part, "kind": "fitted", "responding": True}
    return decode(AbstractSourceRecipe, part, where=where)


def plain_sources(sources: AbstractSourceRecipe | None) -> Any:
    """The complete part `sources` of a field."""
    return _SPECIES if sources is None else encode(sources, AbstractSourceRecipe)[0]


def _basis(raw: Any, where: str, cutoff: float) -> tuple[AbstractRadialBasis, int]:
    """The radial basis, and the largest angular momentum that stands beside its settings."""
    part = {"kind": "gto", "max_angular": 4, **mapping(raw, where)}
    own = _arguments(class_of(AbstractRadialBasis, part, where=where))
    check_keys(part, ["kind", "max_angular", *own], where)
    max_angular = decode(int, part.pop("max_angular"), where=f"{where}.max_angular")
    if "n_radial" in own:
        part.setdefault("n_radial", 6)
    if "radius" in own and part.get("radius") is None:
        part["radius"] = cutoff
    return decode(AbstractRadialBasis, part, where=where), max_angular


def _plain_field(expansion: FieldExpansion) -> Plain:
    basis, _ = encode(expansion.basis, AbstractRadialBasis)
    options, _ = encode(expansion)
    return {
        **encode(expansion.field, AbstractField)[0],
        "basis": {**basis, "max_angular": expansion.max_angular},
        **{key: value for key, value in options.items() if key not in _NOT_OPTIONS},
    }


def _default_settings() -> dict[str, Plain]:
    """Settings of the fields that exist without being defined, by kind."""
    found = (encode(part.field, AbstractField)[0] for part in default_fields().values())
    return {plain["kind"]: plain for plain in found}


def _arguments(cls: Any) -> list[str]:
    return [field.name for field in fields(cls) if field.init]
