"""Annotations as JSON Schema: what the codec reads, said in the words of editors."""

import dataclasses
import inspect
import re
import types
from collections.abc import Mapping, Sequence
from dataclasses import MISSING
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np
from jaxtyping import AbstractArray
from torch import Tensor

from multilode.config.codec import final_classes, is_tagged
from multilode.config.codec_errors import Bounds

Schema = dict[str, Any]
_PLAIN = {int: "integer", float: "number", str: "string", bool: "boolean"}
_DEEPEST = 2  # kernels within kernels that are described one by one
_ENTRY = re.compile(r"    (\w+): (.*)")


class NoSchemaError(TypeError):
    """An annotation that no text file can fill, such as a tensor."""


def schema_of(annotation: Any, depth: int = 0) -> Schema:
    """The schema of the values of an annotation.

    Args:
        annotation: a plain type, a container or union of such, a dataclass, or an abstract class
            with a table.
        depth: how many classes with tables it is within.

    Raises:
        NoSchemaError: if it is none of them.
    """
    if annotation in _PLAIN:
        return {"type": _PLAIN[annotation]}
    if annotation in (Any, object):
        return {}
    if annotation in (None, type(None)):
        return {"type": "null"}
    if is_tagged(annotation):
        return with_kinds(annotation, depth=depth) if depth < _DEEPEST else {"type": "object"}
    if dataclasses.is_dataclass(annotation):
        return _group(annotation, depth)
    return _composed(annotation, depth)


def with_kinds(
    abstract: type,
    *,
    optional: Sequence[str | None] = (),
    more: Mapping[str, Schema] | None = None,
    needed: bool = True,
    depth: int = 0,
) -> Schema:
    """Any class in the table of an abstract one, told by its `kind`.

    Args:
        abstract: the abstract class.
        optional: kinds that need not be named.
        more: settings that all have beside their arguments.
        needed: whether arguments without a default must be given.
        depth: as for `schema_of`.
    """
    arms = []
    for kind, cls in final_classes(abstract).items():
        try:
            own = _group(cls, depth + 1)
        except NoSchemaError:  # of those that Python alone makes
            continue
        required = [] if kind in optional else ["kind"]
        required += own.get("required", []) if needed else []
        properties = {"kind": {"const": kind}, **own["properties"], **(more or {})}
        arm = {**own, "title": kind, "properties": properties, "required": required}
        arms.append({key: value for key, value in arm.items() if value != []})
    return {"anyOf": arms}


def described_arguments(cls: Any) -> dict[str, str]:
    """What the docstring of a class says of each argument."""
    lines = inspect.cleandoc(cls.__doc__ or "").splitlines()  # as compiled since Python 3.13
    found: dict[str, str] = {}
    name = None
    inside = False
    for line in lines:
        if line.strip() in ("Args:", "Raises:"):
            inside, name = line.strip() == "Args:", None
        elif inside and (entry := _ENTRY.fullmatch(line)):
            name = entry[1]
            found[name] = entry[2]
        elif inside and name is not None and line.strip():
            found[name] += f" {line.strip()}"
    return {key: text[:1].upper() + text[1:] for key, text in found.items()}


def summary(cls: Any) -> str:
    """The first paragraph of the docstring of a class."""
    paragraph = (cls.__doc__ or "").strip().split("\n\n")[0]
    return " ".join(paragraph.split())


def _group(cls: Any, depth: int) -> Schema:
    """The arguments of a dataclass."""
    hints = get_type_hints(cls, include_extras=True)
    about, properties, required = described_arguments(cls), {}, []
    for one in dataclasses.fields(cls):
        if not one.init:
            continue
        own = schema_of(hints[one.name], depth)
        if one.name in about:
            own = {"description": about[one.name], **own}
        if one.default is MISSING and one.default_factory is MISSING:
            required.append(one.name)
        elif isinstance(one.default, bool | int | float | str) or one.default is None:
            own = {**own, "default": one.default}
        properties[one.name] = own
    group = {"type": "object", "description": summary(cls), "properties": properties}
    group["additionalProperties"] = False
    return {**group, "required": required} if required else group


def _composed(annotation: Any, depth: int) -> Schema:
    origin, args = get_origin(annotation) or annotation, get_args(annotation)
    if origin is Annotated:
        return _bounded(schema_of(args[0], depth), [a for a in args[1:] if isinstance(a, Bounds)])
    if origin is Literal:
        return {"enum": list(args)}
    if origin in (Union, types.UnionType):
        return {"anyOf": [schema_of(arm, depth) for arm in args if not _is_array(arm)]}
    if origin is tuple and args and args[-1] is not Ellipsis:
        size = {"minItems": len(args), "maxItems": len(args)}
        return {"type": "array", "prefixItems": [schema_of(a, depth) for a in args], **size}
    if origin in (tuple, list, Sequence):
        return {"type": "array", "items": schema_of(args[0], depth) if args else {}}
    if origin in (dict, Mapping):
        return {"type": "object", "additionalProperties": schema_of(args[1], depth)}
    raise NoSchemaError(f"{annotation!r} has no schema; annotate it with plain types")


def _is_array(annotation: Any) -> bool:
    arrays = (Tensor, np.ndarray)
    return annotation in arrays or (
        isinstance(annotation, type) and issubclass(annotation, AbstractArray)
    )


def _bounded(schema: Schema, bounds: Sequence[Bounds]) -> Schema:
    names = {
        "above": "exclusiveMinimum",
        "at_least": "minimum",
        "below": "exclusiveMaximum",
        "at_most": "maximum",
    }
    found = dict(schema)
    for bound in bounds:
        for name, word in names.items():
            if getattr(bound, name) is not None:
                found[word] = getattr(bound, name)
        if bound.items is not None:
            low, high = bound.items
            found["minItems"] = low
            found |= {} if high is None else {"maxItems": high}
    return found
