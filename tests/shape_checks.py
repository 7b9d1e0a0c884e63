"""Checks of types and shapes while tests run, at half of the time that they took.

What a check says depends on types, shapes and words only. Of a function, those that passed once
pass again: only what it has not been called with, or has not returned for it, is checked. Of what
is called very often, and takes no tensors, every tenth call is looked at.
"""

import inspect
from collections.abc import Callable
from dataclasses import is_dataclass
from functools import partial, wraps
from itertools import count
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
# by code: a function within another is made anew in every call, and decorated again. The code
# itself is kept, so that no other one gets its number
_PASSED: dict[int, tuple[CodeType, dict[object, set[object]]]] = {}
_ALWAYS, _SOMETIMES = 500, 10  # calls that are all looked at; of more, each of so many
_SOME = 8  # elements of a long list that are told apart; beartype looks at one


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
    passed = _PASSED.setdefault(id(function.__code__), (function.__code__, {}))[1]
    results: list[object] = []
    check: list[Callable[..., Any]] = []  # made when it is needed: most functions are not

    def checked_call(*args: object, **kwargs: object) -> object:
        if not check:

            @wraps(function)
            def body(*args: object, **kwargs: object) -> object:
                return results.pop() if results else function(*args, **kwargs)

            check.append(_checked_always(body, typechecker=typechecker))
        return check[0](*args, **kwargs)

    calls, plain = count(), "Tensor" not in str(function.__annotations__)

    @wraps(function)
    def once(*args: object, **kwargs: object) -> object:
        number = next(calls)
        if plain and number > _ALWAYS and number % _SOMETIMES:
            with _own_letters:
                return function(*args, **kwargs)
        given = tuple(map(kind_of, args)), *((name, kind_of(x)) for name, x in kwargs.items())
        if given not in passed:
            result = checked_call(*args, **kwargs)
            passed[given] = {kind_of(result)}
            return result
        with _own_letters:
            result = function(*args, **kwargs)
        kind = kind_of(result)
        if kind not in passed[given]:
            results.append(result)
            checked_call(*args, **kwargs)
            passed[given].add(kind)
        return result

    return once


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
