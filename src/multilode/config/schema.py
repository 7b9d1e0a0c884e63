"""The configuration as JSON Schema (2020-12), for editors: its keys, their types and bounds.

What classes say by their annotations and docstrings is taken from them; this file adds the layout,
as `build` does. Whatever the schema refuses a configuration refuses too, but for words of earlier
versions; what depends on several settings only `multilode check` knows.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import MISSING
from typing import Any

import multilode.config.tables  # noqa: F401 - what can be configured
from multilode.config.annotations import Schema, schema_of, with_kinds
from multilode.config.codec import final_classes
from multilode.config.presets import NAMES
from multilode.config.settings import (
    AtLeastOne,
    CommitteeSettings,
    CurveSettings,
    DataSettings,
    ForceSettings,
    Names,
    Products,
    Radius,
    StressSettings,
    TuneSettings,
)
from multilode.correlations import ContractionSettings
from multilode.correlations.contraction import SELECTIONS
from multilode.expansion import FieldExpansion
from multilode.expansion.table import METHODS
from multilode.fields import AbstractField
from multilode.models import AbstractEstimator
from multilode.models.targets import Target
from multilode.prediction.baseline import AbstractBaseline
from multilode.radial import AbstractRadialBasis
from multilode.representation.sources.recipes import AbstractSourceRecipe
from multilode.symmetry.cartesian import TENSORS

_NULL: Schema = {"type": "null"}
_TEXT: Schema = {"type": "string"}
_DEFAULT_KINDS = {"rho": "density", "V": "potential"}
_ABOUT = {
    "preset": "What is not given below: see networks.md. Default balanced.",
    "data": "Files with the structures; a text alone is the file to train on.",
    "target": "The property to learn.",
    "cutoff": "Å; radius of the environments, of all bases unless they have their own.",
    "centers": "Elements that carry features, such as [O]; default all.",
    "fields": "rho and V exist without being named; name more as needed.",
    "features": "Products of fields: one name, the coefficients themselves; two, a power spectrum.",
    "channels": "Mixtures of element and radial function in each field: auto, none or a number.",
    "contraction": "Where three fields or more are multiplied, after each product.",
    "method": "Of fields without a cutoff.",
    "tolerance": "Relative accuracy of the expansion; null: 1e-8.",
    "estimator": "The model, by its kind, with the arguments of its class.",
    "learning_curve": "Sizes and repeats of `multilode learning-curve`.",
    "tune": "What `multilode tune` tries, see tuning.md.",
    "memory": "GB that a training may take at most, or a text such as 8 GB; null: what is free.",
}
_OF_TARGET = {
    "baseline": "Subtracted before the fit: composition, mean, none, or another model.",
    "component": "Index into a flat property, or trace of a 3x3 tensor.",
    "forces": "Forces to learn from too: their key, true for the key forces, or settings.",
    "stress": "Stresses of periodic structures to learn from too, likewise.",
}


def config_schema() -> Schema:
    """The schema of a configuration."""
    parts = {
        "preset": {"enum": list(NAMES)},
        "data": _data(),
        "target": _target(),
        "cutoff": schema_of(Radius),
        "centers": schema_of(Names | None),
        "fields": _or_null(_fields()),
        "features": schema_of(Products),
        "channels": {"anyOf": [{"enum": ["auto", "none", None]}, schema_of(AtLeastOne)]},
        "contraction": _or_null(_contraction()),
        "method": {"enum": ["auto", *METHODS]},
        "tolerance": {"anyOf": [{"type": "number", "minimum": 1e-12, "maximum": 1e-2}, _NULL]},
        "estimator": _or_null(_estimator()),
        "learning_curve": _or_null(_settings(CurveSettings)),
        "tune": _or_null(_settings(TuneSettings)),
        "memory": {"anyOf": [{"type": "number", "exclusiveMinimum": 0}, _TEXT, _NULL]},
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Configuration of multilode",
        "type": "object",
        "properties": {key: {"description": _ABOUT[key], **part} for key, part in parts.items()},
        "required": ["data", "target"],
        "additionalProperties": False,
    }


def _settings(
    cls: Any, own: Mapping[str, Schema] | None = None, without: Iterable[str] = ()
) -> Schema:
    """A group of settings: the arguments of a class, some of them replaced or left out."""
    made = schema_of(cls)
    properties = {k: v for k, v in made["properties"].items() if k not in without}
    for key, part in (own or {}).items():
        about = properties.get(key, {}).get("description")
        properties[key] = {**({"description": about} if about else {}), **part}
    required = [key for key in made.get("required", ()) if key in properties]
    return {
        **made,
        "properties": properties,
        **({"required": required} if required else {}),
    }


def _or_null(schema: Schema) -> Schema:
    arms = schema.get("anyOf", [schema])
    return {"anyOf": [*arms, _NULL]}


def _data() -> Schema:
    files = {"type": "array", "items": _TEXT}
    train = {"anyOf": [_TEXT, {**files, "minItems": 1}]}
    made = _settings(DataSettings, {"train": train, "test": {"anyOf": [_TEXT, files, _NULL]}})
    return {"anyOf": [*train["anyOf"], made]}


def _target() -> Schema:
    named = {"anyOf": [_TEXT, {"type": "boolean"}, _NULL]}
    more = {
        "unit": {"anyOf": [_TEXT, _NULL]},
        "tensor": {"enum": [*TENSORS, None]},
        "baseline": _baseline(),
        "component": {"anyOf": [{"type": "integer"}, {"const": "trace"}, _NULL]},
        "forces": {"anyOf": [*named["anyOf"], _settings(ForceSettings)]},
        "stress": {"anyOf": [*named["anyOf"], _settings(StressSettings)]},
    }
    made = _settings(Target, more)
    for key, about in _OF_TARGET.items():
        made["properties"][key]["description"] = about
    return made


def _baseline() -> Schema:
    classes = final_classes(AbstractBaseline)
    free = [name for name, cls in classes.items() if not _required(cls)]
    made = with_kinds(AbstractBaseline, optional=("column", "calculator"))
    return {"anyOf": [{"enum": free}, *made["anyOf"], _NULL]}


def _fields() -> Schema:
    return {
        "type": "object",
        "properties": {name: _or_null(_field(kind)) for name, kind in _DEFAULT_KINDS.items()},
        "additionalProperties": _field(None),
    }


def _field(usual: str | None) -> Schema:
    """A field of any kind; the kind may be left out where there is a usual one."""
    options = schema_of(FieldExpansion)["properties"]
    shared = {k: v for k, v in options.items() if k not in ("field", "basis", "max_angular")}
    shared["neighbor_cutoff"] = shared["near_radius"] = schema_of(Radius | None)
    shared["cutoff_function"] = _cutoff_function(shared["cutoff_function"])
    shared = {"basis": _or_null(_basis()), "sources": _sources(), **shared}
    # what a field needs has a default where it is one of those that exist without being named
    return with_kinds(AbstractField, optional=(usual,), more=shared, needed=False)


def _cutoff_function(schema: Schema) -> Schema:
    """A shifted cosine by its settings alone."""
    arms = [dict(arm) for arm in schema["anyOf"]]
    for arm in arms:
        if arm["properties"]["kind"]["const"] == "shifted_cosine":
            arm.pop("required", None)
    return {**schema, "anyOf": arms}


def _basis() -> Schema:
    angular = {"type": "integer", "minimum": 0, "description": "Largest l, inclusive."}
    made = with_kinds(
        AbstractRadialBasis, optional=("gto",), more={"max_angular": angular}, needed=False
    )
    for arm in made["anyOf"]:
        if "radius" in arm["properties"]:
            about = arm["properties"]["radius"].get("description", "")
            arm["properties"]["radius"] = {"description": about, **schema_of(Radius | None)}
    return made


def _sources() -> Schema:
    classes = final_classes(AbstractSourceRecipe)
    free = [name for name, cls in classes.items() if not _required(cls)]
    arms = with_kinds(AbstractSourceRecipe)["anyOf"]
    fitted = next(arm for arm in arms if arm["properties"]["kind"]["const"] == "fitted")
    responding = {**fitted, "title": "responding", "properties": {**fitted["properties"]}}
    responding["properties"]["kind"] = {"const": "responding"}
    species = {"title": "species", "type": "object", "properties": {"kind": {"const": "species"}}}
    species |= {"required": ["kind"], "additionalProperties": False}
    return {
        "description": "What makes the field: each species, or strengths of atoms.",
        "anyOf": [{"enum": ["species", "responding", *free]}, *arms, responding, species],
    }


def _contraction() -> Schema:
    atoms = {"description": "Of the training set, to which it is fitted.", **schema_of(AtLeastOne)}
    own = {"selection": {"enum": list(SELECTIONS)}, "atoms": atoms}
    return _settings(ContractionSettings, own)


def _estimator() -> Schema:
    committee = {
        "description": "Error bars from members that are trained on parts of the data.",
        "anyOf": [_settings(CommitteeSettings), _NULL],
    }
    made = with_kinds(AbstractEstimator, optional=("ridge",), more={"committee": committee})
    one_or_more = {
        "zeta": {"anyOf": [{"type": "integer"}, {"type": "array", "items": {"type": "integer"}}]},
        "normalize": {
            "anyOf": [{"type": "boolean"}, {"type": "array", "items": {"type": "boolean"}}]
        },
    }
    about = {
        "zeta": "Power of the polynomial kernel; one value, or one for each entry of features.",
        "normalize": "Of the polynomial kernel, likewise.",
    }
    for arm in made["anyOf"]:
        if arm["title"] == "network":  # which has n_members
            arm["properties"]["committee"] = _NULL
        if "kernel" in arm["properties"]:
            words = {key: {"description": about[key], **one_or_more[key]} for key in one_or_more}
            arm["properties"] = {**arm["properties"], **words}
            if "required" in arm:
                arm["required"] = [key for key in arm["required"] if key != "kernel"]
    return made


def _required(cls: Any) -> list[str]:
    return [
        f.name
        for f in dataclasses.fields(cls)
        if f.init and f.default is MISSING and f.default_factory is MISSING
    ]
