"""Checks that are not repeated notice what the repeated ones did."""

import pytest
import torch
from jaxtyping import Float, TypeCheckError
from torch import Tensor

from shape_checks import checked, checked_once, kind_of


def product(x: Float[Tensor, "a b"], y: Float[Tensor, "b c"], columns: int) -> Float[Tensor, "a c"]:
    return (x @ y)[:, :columns]


def test_arguments_and_results_of_a_new_shape_are_checked():
    function = checked_once(product, typechecker=checked)
    x, y = torch.ones(2, 3), torch.ones(3, 4)
    for _ in range(2):
        assert function(x, y, 4).shape == (2, 4)
        with pytest.raises(TypeCheckError):  # the same arguments to a check, another result
            function(x, y, 3)
        for wrong in ((x, torch.ones(4, 4), 4), (x.long(), y, 4), (x, y, "4"), (x, y[0], 4)):
            with pytest.raises(TypeCheckError):
                function(*wrong)
    with pytest.raises(TypeError):
        function(x, y)


def test_the_library_is_checked():
    from multilode.fields import GaussianDensity

    density = GaussianDensity(0.5)
    with pytest.raises(TypeCheckError):
        density.profile(torch.ones(3, dtype=torch.int64))
    with pytest.raises(TypeCheckError):
        GaussianDensity("0.5")


def is_vector(x: Tensor) -> bool:
    return isinstance(x, Float[Tensor, " n"])


def test_letters_of_a_caller_are_not_those_of_what_it_calls():
    inner = checked_once(is_vector, typechecker=checked)

    def calls(_x: Float[Tensor, " n"]) -> bool:
        return inner(torch.ones(5))

    assert inner(torch.ones(5))  # from now on it is not checked
    assert checked_once(calls, typechecker=checked)(torch.ones(3))


def test_a_container_of_itself_has_an_end():
    endless: list = [torch.ones(2)]
    endless.append(endless)
    assert kind_of(endless) == kind_of(endless)
    assert kind_of([1, "a"]) != kind_of([1, "b"])
    assert kind_of({"a": torch.ones(2)}) != kind_of({"a": torch.ones(3)})


def test_functions_within_others_are_checked_once_and_then_for_what_is_new():
    def outer(width: int):
        def inner(x: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
            return torch.ones(width)

        return checked_once(inner, typechecker=checked)

    assert len(outer(3)(torch.ones(3))) == 3
    assert len(outer(3)(torch.ones(3))) == 3
    with pytest.raises(TypeCheckError):  # another function made of the same code
        outer(4)(torch.ones(3))
    with pytest.raises(TypeCheckError):
        outer(3)(torch.ones(3, 1))
