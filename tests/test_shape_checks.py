"""Checks that are not repeated notice what the repeated ones did."""

import pytest
import torch
from jaxtyping import Float, TypeCheckError
from torch import Tensor

from shape_checks import checked, checked_once


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
