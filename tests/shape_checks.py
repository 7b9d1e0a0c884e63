"""Checks of types and shapes while tests run, at half of the time that they took.

What a check says depends on types, shapes and words only. Of a function, those that passed once
pass again: only what it has not been called with, or has not returned for it, is checked.
"""

import inspect
from collections.abc import Callable
from dataclasses import is_dataclass
from functools import partial, wraps
from types import CodeType
from typing import Any

import jaxtyping
import numpy as np
import torch
from beartype import BeartypeConf, beartype

# an int may stand for a float, as in PEP 484
checked = beartype(conf=BeartypeConf(is_pep484_tower=True))
_checked_always = jaxtyping.jaxtyped
# what the letters of shapes stand for is forgotten: an `isinstance` within begins anew
_own_letters = jaxtyping.jaxtyped("context")
_SOME = 8  # elements of a long list that are told apart; beartype looks at one
_Passed = dict[object, set[object]]
# by identity: equal code, such as that of two dataclasses with the same names, has other types
_passed_by_code: dict[int, tuple[CodeType, _Passed]] = {}


def install() -> None:
    """For what is imported from now on."""
    jaxtyping.jaxtyped = checked_once


def checked_once(function: Any = None, *, typechecker: Any) -> Any:
    """In the place of `jaxtyping.jaxtyped`, with which the import hook decorates all it imports."""
    if function is None:
        return partial(checked_once, typechecker=typechecker)
    if not inspect.isclass(function):
        return _remembering(function, typechecker)
    if is_dataclass(function) and not hasattr(vars(function).get("__init__"), "__wrapped__"):
        function.__init__ = _remembering(function.__init__, typechecker)
    return function


def _remembering(function: Callable[..., Any], typechecker: Any) -> Callable[..., Any]:
    passed = _passed_of(function)
    results: list[object] = []
    check: list[Callable[..., Any]] = []  # made when it is needed: most functions are not

    def checking() -> Callable[..., Any]:
        if not check:

            @wraps(function)
            def body(*args: object, **kwargs: object) -> object:
                return results.pop() if results else function(*args, **kwargs)

            check.append(_checked_always(body, typechecker=typechecker))
        return check[0]

    @wraps(function)
    def once(*args: object, **kwargs: object) -> object:
        given = tuple(map(kind_of, args)), *((name, kind_of(x)) for name, x in kwargs.items())
        if given not in passed:
            result = checking()(*args, **kwargs)
            passed[given] = {kind_of(result)}
            return result
        with _own_letters:
            result = function(*args, **kwargs)
        kind = kind_of(result)
        if kind not in passed[given]:
            results.append(result)
            checking()(*args, **kwargs)
            passed[given].add(kind)
        return result

    return once


def _passed_of(function: Callable[..., Any]) -> _Passed:
    """What passed before: of a function within another, by all that were made of its code."""
    code = getattr(function, "__code__", None)
    if code is None:
        return {}
    return _passed_by_code.setdefault(id(code), (code, {}))[1]


def kind_of(value: object, depth: int = 4) -> object:
    """All that a check sees of a value, in containers of containers so deep."""
    kind = type(value)
    if isinstance(value, torch.Tensor | np.ndarray):
        return kind, value.dtype, value.shape
    if kind is str:
        return value
    if not depth or kind not in (tuple, list, dict):
        return kind
    items = list(value.items() if kind is dict else value)  # type: ignore[attr-defined]
    some = [*items[:_SOME], *items[_SOME:][-1:]]
    return kind, len(items), tuple([kind_of(item, depth - 1) for item in some])
