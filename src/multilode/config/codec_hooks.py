"""Hooks of the codec: each kind of annotation, read from plain data and written to it."""

import functools
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np
from cattrs import Converter
from cattrs.errors import BaseValidationError, IterableValidationError
from jaxtyping import AbstractArray
from torch import Tensor

from multilode.config.codec_errors import Bounds, CodecError, WrongValueError

Reader = Callable[[Any, Any], Any]  # from plain data and the annotation to the value
Writer = Callable[[Any], Any]
_NULL = "input should be null"
_LARGEST_WHOLE = 10**300  # that is taken for a real number


def _is_plain_object(t: Any) -> bool:
    return t is Any or t is object


def _is_union(t: Any) -> bool:
    return get_origin(t) in (Union, types.UnionType)


def _is_array(t: Any) -> bool:
    return t in (Tensor, np.ndarray) or (isinstance(t, type) and issubclass(t, AbstractArray))


def _is_named_tuple(t: Any) -> bool:
    return isinstance(t, type) and issubclass(t, tuple) and hasattr(t, "_fields")


def _is_sequence(t: Any) -> bool:
    origin = get_origin(t) or t
    return origin in (tuple, list) or origin is Sequence


def _is_mapping(t: Any) -> bool:
    return (get_origin(t) or t) in (dict, Mapping)


def _as_it_is(value: Any, _: Any) -> Any:
    return value


def _scalar(value: Any, t: type, *, name: str) -> Any:
    """Exactly this type; only an integer also counts as a number."""
    value = value.item() if isinstance(value, np.generic) else value
    if type(value) is t or (t is float and type(value) is int and abs(value) < _LARGEST_WHOLE):
        return t(value)
    quoted = " (YAML takes No, Yes, On and Off for these unless they are quoted)"
    more = quoted if t is str and isinstance(value, bool) else ""
    raise WrongValueError(f"input should be a valid {name}{more}", value)


def _none(value: Any, _: Any) -> None:
    if value is not None:
        raise WrongValueError(_NULL, value)


def _literal(value: Any, t: Any) -> Any:
    allowed = get_args(t)
    for choice in allowed:
        if type(choice) is type(value) and choice == value:
            return choice
    shown = [repr(choice) for choice in allowed]
    listed = " or ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)
    raise WrongValueError(f"input should be {listed}", value)


def _array(value: Any, _: Any, *, t: Any) -> Any:
    if not isinstance(value, Tensor):
        raise WrongValueError("input should be a tensor", value)
    wanted = t if t in (Tensor, np.ndarray) else t.array_type
    if wanted is np.ndarray:
        return value.numpy()
    if isinstance(t, type) and issubclass(t, AbstractArray) and not isinstance(value, t):
        shape = list(value.shape)
        raise WrongValueError(f"the tensor of {value.dtype} and shape {shape} is no {t.__name__}")
    return value


def _read_annotated(t: Any, converter: Converter) -> Reader:
    inner, *metadata = get_args(t)
    bounds = [item for item in metadata if isinstance(item, Bounds)]

    def structure(value: Any, _: Any) -> Any:
        found = converter.structure(value, inner)
        for item in bounds:
            item.check(found)
        return found

    return structure


def _write_annotated(t: Any, converter: Converter) -> Writer:
    inner = get_args(t)[0]
    return lambda value: converter.unstructure(value, unstructure_as=inner)


def _read_union(t: Any, converter: Converter) -> Reader:
    arms = get_args(t)

    def structure(value: Any, _: Any) -> Any:
        if value is None and type(None) in arms:
            return None
        allowed = [arm for arm in arms if _is_array(arm) == isinstance(value, Tensor)] or arms
        refused = []
        for arm in [arm for arm in allowed if type(value) is arm] or allowed:
            try:
                return converter.structure(value, arm)
            except (BaseValidationError, ValueError, TypeError, KeyError) as error:
                refused.append(error)
        plain = [error for error in refused if isinstance(error, WrongValueError)]
        if len(plain) < len(refused):  # the inside of one arm is what went wrong
            raise next(error for error in refused if not isinstance(error, WrongValueError))
        said = dict.fromkeys(error.problem for error in plain if error.problem != _NULL)
        raise WrongValueError(" or ".join(said), value)

    return structure


def _write_union(t: Any, converter: Converter) -> Writer:
    arms = get_args(t)

    def unstructure(value: Any) -> Any:
        if isinstance(value, Tensor) and value.dim() == 0 and float in arms:
            return value.item()  # a parameter that was learned is a number for the reader
        arm = next((arm for arm in arms if _belongs(value, arm)), type(value))
        return converter.unstructure(value, unstructure_as=arm)

    return unstructure


def _belongs(value: Any, arm: Any) -> bool:
    origin = get_origin(arm) or arm
    return isinstance(origin, type) and isinstance(value, origin)


def _read_sequence(t: Any, converter: Converter) -> Reader:
    build: Callable[[list[Any]], Any] = list if (get_origin(t) or t) is list else tuple
    args = get_args(t) or (Any, ...)
    fixed = _is_fixed(t) and args[-1] is not Ellipsis

    def structure(value: Any, _: Any) -> Any:
        if not isinstance(value, list | tuple):
            raise WrongValueError("input should be a list", value)
        if fixed and len(value) != len(args):
            raise WrongValueError(f"list should have {len(args)} items, not {len(value)}")
        wanted = args if fixed else [args[0]] * len(value)
        return build(_each(enumerate(value), wanted, converter))

    return structure


def _is_fixed(t: Any) -> bool:
    return (get_origin(t) or t) is tuple


def _write_sequence(t: Any, converter: Converter) -> Writer:
    args = get_args(t) or (Any, ...)
    fixed = _is_fixed(t) and args[-1] is not Ellipsis

    def unstructure(value: Any) -> list[Any]:
        wanted = args if fixed else [args[0]] * len(value)
        pairs = zip(value, wanted, strict=True)
        return [converter.unstructure(v, unstructure_as=w) for v, w in pairs]

    return unstructure


def _read_mapping(t: Any, converter: Converter) -> Reader:
    key_type, value_type = get_args(t) or (str, Any)

    def structure(value: Any, _: Any) -> dict[Any, Any]:
        if not isinstance(value, Mapping):
            raise WrongValueError("input should be a mapping of settings", value)
        values = _each(value.items(), [value_type] * len(value), converter)
        return {_key(k, key_type): v for k, v in zip(value, values, strict=True)}

    return structure


def _write_mapping(t: Any, converter: Converter) -> Writer:
    _, value_type = get_args(t) or (str, Any)

    def unstructure(value: Any) -> dict[str, Any]:
        return {
            _key_text(k): converter.unstructure(v, unstructure_as=value_type)
            for k, v in value.items()
        }

    return unstructure


def _read_named_tuple(t: Any, converter: Converter) -> Reader:
    types_of = list(get_type_hints(t).values())

    def structure(value: Any, _: Any) -> Any:
        if not isinstance(value, list | tuple) or len(value) != len(types_of):
            raise WrongValueError(f"input should be a list of {len(types_of)} items", value)
        return t(*_each(enumerate(value), types_of, converter))

    return structure


def _each(
    items: Iterable[tuple[Any, Any]], wanted: Sequence[Any], converter: Converter
) -> list[Any]:
    """Structure the items of a container; errors know the index or key of the item."""
    found, errors = [], []
    for (key, value), t in zip(items, wanted, strict=True):
        try:
            found.append(converter.structure(value, t))
        except (BaseValidationError, ValueError, TypeError, KeyError) as error:
            errors.append(CodecError.below(str(key), error))
    if errors:
        # exception groups are declared for tuples of errors only, and take any sequence
        raise IterableValidationError("items of a container", errors, list)  # pyright: ignore
    return found


def _key_text(key: Any) -> str:
    """A key as text: 2 as "2", and an irrep (2, -1) as "2,-1"."""
    return ",".join(map(str, key)) if isinstance(key, tuple) else str(key)


def _key(text: Any, t: Any) -> Any:
    """The key back from its text."""
    try:
        if _is_named_tuple(t):
            return t(*(int(part) for part in str(text).split(",")))
        return t(text) if t in (int, str) else text
    except (TypeError, ValueError):
        raise WrongValueError(f"the key '{text}' is no {t.__name__}") from None


_HOOKS: tuple[tuple[Callable[[Any], bool], Any, Any], ...] = (
    (_is_plain_object, lambda *_: _as_it_is, lambda *_: lambda value: value),
    (_is_sequence, _read_sequence, _write_sequence),
    (_is_mapping, _read_mapping, _write_mapping),
    (_is_named_tuple, _read_named_tuple, lambda *_: list),
    (_is_array, lambda t, _: functools.partial(_array, t=t), lambda *_: lambda value: value),
    (lambda t: get_origin(t) is Annotated, _read_annotated, _write_annotated),
    (_is_union, _read_union, _write_union),
)


def add_hooks(converter: Converter) -> None:
    """Teach a converter all annotations of plain types, containers and tensors."""
    for cls, name in ((int, "integer"), (float, "number"), (str, "string"), (bool, "boolean")):
        converter.register_structure_hook(cls, functools.partial(_scalar, name=name))
    converter.register_structure_hook(type(None), _none)
    converter.register_structure_hook_func(lambda t: get_origin(t) is Literal, _literal)
    for hook in _HOOKS:
        add_hook(converter, *hook)


def add_hook(
    converter: Converter,
    predicate: Callable[[Any], bool],
    reader: Callable[[Any, Converter], Reader],
    writer: Callable[[Any, Converter], Writer],
) -> None:
    """Teach a converter the annotations that fulfil a predicate.

    Args:
        converter: asks the hooks that were added last first.
        predicate: whether an annotation is of this kind.
        reader: makes the reader of an annotation.
        writer: makes its writer.
    """
    converter.register_structure_hook_factory(predicate, lambda t: reader(t, converter))
    converter.register_unstructure_hook_factory(predicate, lambda t: writer(t, converter))
