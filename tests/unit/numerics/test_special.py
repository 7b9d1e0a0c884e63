import mpmath
import numpy as np
import pytest
import torch

from multilode.numerics.special import generalized_exponential_integral, lower_gamma_ratio

ORDERS = [
    -6.0,
    -3.0,
    -9.5,
    -1.0,
    -0.5,
    0.0,
    0.25,
    0.5,
    0.51,
    0.999,
    1.0,
    1.0 + 1e-9,
    1.25,
    1.5,
    2.0,
    2.5,
    3.0,
    9.5,
]
POINTS = np.concatenate(
    [np.geomspace(1e-12, 1.9, 12), [1.999999, 2.0, 2.000001, 2.5, 5, 20, 100, 650]]
)


@pytest.mark.parametrize("order", ORDERS)
def test_against_mpmath(order):
    ours = generalized_exponential_integral(order, torch.from_numpy(POINTS)).numpy()
    with mpmath.workdps(40):
        exact = [float(mpmath.expint(mpmath.mpf(order), mpmath.mpf(float(x)))) for x in POINTS]
    np.testing.assert_allclose(ours, exact, rtol=2e-13, atol=1e-300)


@pytest.mark.parametrize("order", [-0.5, 0.0, 0.75, 1.0, 1.5, 2.0, 2.5])
def test_single_precision(order):
    x = np.geomspace(1e-6, 50, 40).astype(np.float32)
    single = generalized_exponential_integral(order, torch.from_numpy(x))
    assert single.dtype == torch.float32
    double = generalized_exponential_integral(order, torch.from_numpy(x.astype(np.float64)))
    np.testing.assert_allclose(single.numpy(), double.numpy(), rtol=5e-6)


@pytest.mark.parametrize("order", [-0.5, 0.0, 0.25, 1.0, 1.5, 2.5])
def test_derivatives_of_first_and_second_order(order):
    x = torch.tensor([0.05, 0.7, 1.9, 2.1, 6.0], dtype=torch.float64, requires_grad=True)

    def function(x):
        return generalized_exponential_integral(order, x)

    assert torch.autograd.gradcheck(function, (x,), eps=1e-7, rtol=1e-5)
    assert torch.autograd.gradgradcheck(function, (x,), eps=1e-7, rtol=1e-5, atol=1e-4)
    (slope,) = torch.autograd.grad(function(x).sum(), x)
    with mpmath.workdps(30):
        exact = [-float(mpmath.expint(order - 1, float(v))) for v in x.detach()]
    np.testing.assert_allclose(slope.numpy(), exact, rtol=1e-12)


def test_shape_is_kept():
    x = torch.rand(2, 3, 4, dtype=torch.float64) + 0.1
    assert generalized_exponential_integral(1.5, x).shape == x.shape


@pytest.mark.parametrize("order", [-2.5, -0.5, 0.0, 0.25, 1.0, 1.5, 2.5, 9.5])
def test_derivatives_in_the_order(order):
    """First and second against mpmath, from the smallest waves of a large cell to the largest."""
    x = torch.tensor([1e-10, 1e-6, 1e-3, 0.1, 1.0, 5.0, 41.0], dtype=torch.float64)
    nu = torch.tensor(order, dtype=torch.float64, requires_grad=True)
    for n, value in enumerate(x):
        found = generalized_exponential_integral(nu, value[None])[0]
        (first,) = torch.autograd.grad(found, nu, create_graph=True)
        (second,) = torch.autograd.grad(first, nu)
        with mpmath.workdps(40):
            exact = [
                mpmath.diff(
                    lambda v, n=n: mpmath.expint(v, mpmath.mpf(float(x[n]))),
                    mpmath.mpf(order),
                    k,
                    h=mpmath.mpf(10) ** -12,
                )
                for k in (1, 2)
            ]
        assert float(first.detach()) == pytest.approx(float(exact[0]), rel=1e-12)
        assert float(second) == pytest.approx(float(exact[1]), rel=1e-12)


@pytest.mark.parametrize("order", [-0.5, 0.0, 1.0, 2.5])
def test_mixed_derivatives_in_order_and_argument(order):
    nu = torch.tensor(order, dtype=torch.float64, requires_grad=True)
    x = torch.tensor([0.05, 0.7, 2.1, 6.0], dtype=torch.float64, requires_grad=True)
    arguments = (nu, x)
    assert torch.autograd.gradcheck(generalized_exponential_integral, arguments, eps=1e-6)
    assert torch.autograd.gradgradcheck(generalized_exponential_integral, arguments, eps=1e-6)


@pytest.mark.parametrize("a", [5e-5, 0.25, 0.5, 1.0, 3.0, 10.0])
def test_lower_gamma_ratio(a):
    x = torch.tensor([0.0, 1e-8, 0.1, 1.0, 5.0, 11.999, 12.001, 30.0, 200.0], dtype=torch.float64)
    parameter = torch.tensor(a, dtype=torch.float64, requires_grad=True)
    found = lower_gamma_ratio(parameter, x)
    with mpmath.workdps(30):
        exact = [
            float(mpmath.gammainc(a, 0, v, regularized=True) / mpmath.mpf(v) ** a)
            if v
            else float(1 / mpmath.gamma(a + 1))
            for v in x.tolist()
        ]
    np.testing.assert_allclose(found.detach().numpy(), exact, rtol=1e-13)
    parameter = torch.tensor(max(a, 0.01), dtype=torch.float64, requires_grad=True)
    x = x[1:].clone().requires_grad_()
    assert torch.autograd.gradcheck(lower_gamma_ratio, (parameter, x), eps=1e-7, atol=1e-6)
    assert torch.autograd.gradgradcheck(lower_gamma_ratio, (parameter, x[2:]), eps=1e-6, atol=1e-5)
