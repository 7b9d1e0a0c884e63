"""Serialize frozen dataclasses to plain data and tensors, and back: for YAML and model files.

The annotations of the fields are the schema. Tensors leave the plain data and stand under their
dotted path; an abstract class is written as the dictionary of its final class with its name in the
table of that class, `kind`.
"""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

import numpy as np
import torch
from cattrs import Converter
from cattrs.errors import BaseValidationError
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn
from torch import Tensor

from multilode.config.codec_errors import (
    CodecError,
    WrongValueError,
    first_problem,
)
from multilode.config.codec_hooks import Reader, Writer, add_hook, add_hooks
from multilode.config.errors import nearest

Plain = Any  # None, bool, int, float, str, and lists and dictionaries of them
_MARK = "tensor at"  # the one key of a dictionary that stands for a tensor
_TABLES: dict[type, Mapping[str, type]] = {}


def register(abstract: type, table: Mapping[str, type]) -> None:
    """Name the table of an abstract class, so that values of its classes can be saved and read.

    Args:
        abstract: the abstract class, as it stands in annotations.
        table: its final classes by name; classes that are added later count too.
    """
    _TABLES[abstract] = table
    _converter.cache_clear()


def is_tagged(annotation: object) -> bool:
    """Whether values of an annotation are told by their `kind`."""
    return isinstance(annotation, type) and annotation in _TABLES


def final_classes(abstract: type) -> Mapping[str, type]:
    """The table of an abstract class."""
    return _TABLES[abstract]


def class_of(abstract: type, plain: Mapping[str, Plain], *, where: str = "") -> type:
    """The final class that plain data name by their `kind`.

    Args:
        abstract: the abstract class, which has a table.
        plain: the plain data.
        where: their dotted path, for error messages.

    Raises:
        CodecError: if the kind is missing or stands in no table.
    """
    table = _TABLES[abstract]
    path = f"{where}.kind" if where else "kind"
    if "kind" not in plain:
        raise CodecError(path, kind="missing")
    kind = plain["kind"]
    if not isinstance(kind, str) or kind not in table:
        close = nearest(str(kind), table)
        hint = f"; did you mean '{close}'?" if close else ""
        raise CodecError(path, f"is '{kind}'; allowed are {', '.join(map(repr, table))}{hint}")
    return table[kind]


def kind_of(value: object, table: Mapping[str, type]) -> str:
    """The name under which the class of a value stands in a table.

    Raises:
        CodecError: if the class is not in the table.
    """
    for kind, cls in table.items():
        if type(value) is cls:
            return kind
    raise CodecError(
        "",
        f"{type(value).__name__} is in no table; known are {', '.join(table)}; add the class to "
        "the table under a name",
    )


def encode(value: object, cls: Any = None) -> tuple[Plain, dict[str, Tensor]]:
    """A value as plain data that JSON knows, and its tensors by dotted path.

    Args:
        value: an instance of a frozen dataclass, or a container of them.
        cls: its declared type, if that is an abstract class whose `kind` is to be written.

    Raises:
        CodecError: if a part cannot be written, as an instance of a class that is in no table.
    """
    tensors: dict[str, Tensor] = {}
    plain = _converter().unstructure(value, unstructure_as=cls or type(value))
    return _without_tensors(plain, "", tensors), tensors


def decode(
    cls: Any, plain: Plain, tensors: Mapping[str, Tensor] | None = None, *, where: str = ""
) -> Any:
    """The value from the result of `encode`, perhaps after a trip through JSON or YAML.

    Args:
        cls: the declared type, as for `encode`.
        plain: the plain data; nothing is guessed, a number is not read from text.
        tensors: the tensors by dotted path.
        where: dotted path of the value itself, for error messages.

    Raises:
        CodecError: one sentence with the dotted path, if a key is unknown or missing, a value has
            the wrong type, or a constructor refuses it.
    """
    try:
        return _converter().structure(_with_tensors(plain, tensors or {}), cls)
    except (BaseValidationError, ValueError, TypeError, KeyError) as error:
        raise first_problem(error, where) from error


def tensor_at(path: str) -> dict[str, str]:
    """The placeholder in plain data of the tensor at this path."""
    return {_MARK: path}


def _without_tensors(plain: object, path: str, tensors: dict[str, Tensor]) -> Plain:
    """Plain data in which tensors are replaced by their paths, and tuples by lists."""
    if isinstance(plain, np.ndarray):
        plain = torch.from_numpy(plain)
    if isinstance(plain, Tensor):
        tensors[path] = plain.detach()
        return tensor_at(path)
    if isinstance(plain, np.generic):
        return plain.item()
    if plain is None or isinstance(plain, bool | int | float | str):
        return plain
    prefix = f"{path}." if path else ""
    if isinstance(plain, Mapping):
        if set(plain) == {_MARK}:
            raise CodecError(path, f"the key '{_MARK}' is taken; choose another name")
        if any(not isinstance(key, str) for key in plain):
            raise CodecError(path, "has keys that are not text; annotate them, as in Mapping[int,")
        return {k: _without_tensors(v, f"{prefix}{k}", tensors) for k, v in plain.items()}
    if isinstance(plain, Sequence | AbstractSet):
        return [_without_tensors(v, f"{prefix}{k}", tensors) for k, v in enumerate(plain)]
    raise CodecError(
        path,
        f"a {type(plain).__name__} cannot be written; annotate the field with its class, or "
        "register the table of its abstract class",
    )


def _with_tensors(plain: Plain, tensors: Mapping[str, Tensor]) -> Any:
    """The inverse: tensors where their paths stand."""
    if isinstance(plain, Mapping):
        if set(plain) == {_MARK}:
            path = plain[_MARK]
            if path not in tensors:
                raise CodecError(str(path), kind="missing")
            return tensors[path]
        return {key: _with_tensors(value, tensors) for key, value in plain.items()}
    if isinstance(plain, list | tuple):
        return [_with_tensors(value, tensors) for value in plain]
    return plain


@functools.cache
def _converter() -> Converter:
    """Hooks for every kind of annotation; those that were registered last are asked first."""
    converter = Converter(forbid_extra_keys=True, detailed_validation=True)
    add_hook(converter, dataclasses.is_dataclass, _read_class, _write_class)
    add_hooks(converter)
    add_hook(converter, lambda t: t in _TABLES, _read_tagged, _write_tagged)
    return converter


def _read_class(cls: Any, converter: Converter) -> Reader:
    @functools.cache
    def read() -> Reader:  # when it is needed: a class may have fields of its own kind
        return make_dict_structure_fn(
            cls, converter, _cattrs_forbid_extra_keys=True, _cattrs_detailed_validation=True
        )

    def structure(value: Any, t: Any) -> Any:
        if not isinstance(value, Mapping):
            raise WrongValueError("input should be a mapping of settings", value)
        return read()(value, t)

    return structure


def _write_class(cls: Any, converter: Converter) -> Writer:
    @functools.cache
    def write() -> Writer:
        return make_dict_unstructure_fn(cls, converter, _cattrs_use_linecache=False)

    return lambda value: write()(value)


def _read_tagged(abstract: Any, converter: Converter) -> Reader:
    def structure(value: Any, _: Any) -> Any:
        if not isinstance(value, Mapping):
            raise WrongValueError("input should be a mapping of settings", value)
        cls = class_of(abstract, value)
        return converter.structure({k: v for k, v in value.items() if k != "kind"}, cls)

    return structure


def _write_tagged(abstract: Any, converter: Converter) -> Writer:
    def unstructure(value: Any) -> dict[str, Any]:
        plain = converter.unstructure(value, unstructure_as=type(value))
        return {"kind": kind_of(value, _TABLES[abstract]), **plain}

    return unstructure
