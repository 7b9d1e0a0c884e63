"""Sums over waves, block by block, beside the formula written out."""

import pytest
import torch

from multilode.expansion.lattice import wave_sums as module
from multilode.expansion.lattice.columns import weight_columns
from multilode.expansion.lattice.wave_sums import wave_sums
from multilode.numerics.limits import limits


def problem(n_atoms=5, n_waves=7):
    generator = torch.Generator().manual_seed(3)

    def draw(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    kinds = torch.tensor([0, 1, 1, 0, 1])[:n_atoms]
    members = torch.nn.functional.one_hot(kinds, 2).double().T
    steps = torch.randint(-3, 4, (n_waves, 3), generator=generator).double()
    return draw(n_atoms, 3), steps, (draw(n_waves, 4), draw(n_waves, 3)), members


def written_out(angles, steps, columns, members, centers):
    phase = angles @ steps.T
    apart = phase[centers][:, None] - phase  # [center, atom, k]
    even = torch.einsum("ijk,aj,kc->iac", torch.cos(apart), members, columns[0])
    odd = torch.einsum("ijk,aj,kc->iac", -torch.sin(apart), members, columns[1])
    return even.flatten(end_dim=1), odd.flatten(end_dim=1)


@pytest.fixture(params=["kept", "recomputed"])
def memory(request):
    """With correlations kept for the backward pass, and with several blocks computed again."""
    with limits(**({} if request.param == "kept" else {"kept_bytes": 0, "block_bytes": 1})):
        yield


@pytest.fixture(params=["correlations", "products"])
def form(request, monkeypatch):
    """As for many columns, and as for few."""
    monkeypatch.setattr(module, "_NARROW", 64 if request.param == "products" else 0)


@pytest.mark.usefixtures("memory", "form")
@pytest.mark.parametrize("chosen", [[0, 1, 2, 3, 4], [1, 3], []])
@pytest.mark.parametrize("n_waves", [0, 7, 150])  # none, one block, several
def test_sums_and_their_gradients_are_those_of_the_formula(chosen, n_waves):
    angles, steps, columns, members = problem(n_waves=n_waves)
    centers = torch.tensor(chosen, dtype=torch.int64)
    found, expected = [], []
    for function, out in ((wave_sums, found), (written_out, expected)):
        a, even, odd = (x.clone().requires_grad_() for x in (angles, *columns))
        sums = function(a, steps, (even, odd), members, centers)
        weighted = sum((s * torch.cos(torch.arange(s.numel())).view_as(s)).sum() for s in sums)
        out.extend([*sums, *torch.autograd.grad(weighted, (a, even, odd), allow_unused=True)])
    for mine, other in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-12, atol=1e-11)


@pytest.mark.usefixtures("memory", "form")
@pytest.mark.parametrize("chosen", [[0, 1, 2, 3, 4], [1, 3]])
def test_derivatives_of_both_orders(chosen):
    angles, steps, columns, members = problem()
    inputs = [x.clone().requires_grad_() for x in (angles, *columns)]
    centers = torch.tensor(chosen)

    def sums(a, even, odd):
        return wave_sums(a, steps, (even, odd), members, centers)

    assert torch.autograd.gradcheck(sums, inputs)
    assert torch.autograd.gradgradcheck(sums, inputs)


def test_only_what_is_asked_for_is_differentiated():
    angles, steps, (even, odd), members = problem()
    angles.requires_grad_()
    sums = wave_sums(angles, steps, (even, odd), members, torch.arange(5))
    (slope,) = torch.autograd.grad(sums[0].sum() + sums[1].sum(), angles, create_graph=True)
    (again,) = torch.autograd.grad(slope.square().sum(), angles)
    assert torch.isfinite(again).all()


def test_columns_are_products_with_the_sign_of_their_degree():
    generator = torch.Generator().manual_seed(0)
    radial = torch.randn(4, 5, 2, generator=generator, dtype=torch.float64)
    angular = torch.randn(4, 25, generator=generator, dtype=torch.float64)
    columns = weight_columns(radial, angular)
    start = [0, 0]
    for l, sign in enumerate((1, 1, -1, -1, 1)):
        outer = sign * angular[:, l * l : (l + 1) ** 2, None] * radial[:, l, None, :]
        width = outer.shape[1] * 2
        part = columns[l % 2][:, start[l % 2] : start[l % 2] + width]
        torch.testing.assert_close(part, outer.flatten(start_dim=1), rtol=0, atol=0)
        start[l % 2] += width
    assert start == [columns[0].shape[1], columns[1].shape[1]]
    inputs = (radial.requires_grad_(), angular.requires_grad_())
    assert torch.autograd.gradcheck(weight_columns, inputs)
    assert torch.autograd.gradgradcheck(weight_columns, inputs)
