"""Fields whose smearing and exponent are tensors, and the short-ranged part of an Ewald split."""

import itertools
import math

import mpmath
import numpy as np
import pytest
import torch

from multilode.fields import GaussianDensity, SmearedPotential, YukawaPotential, between
from multilode.fields.field import frozen, parameters, trainable, with_parameters
from multilode.radial import GaussianTypeOrbitals, Monomials
from multilode.radial.tables import real_reach, real_table
from multilode.testing import check_field
from often import often

EXPONENTS = [0.5, 1.0, 2.0, 2.7, 3.0, 4.0, 6.0]


def parameter(value):
    return torch.tensor(value, dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize("widths", [(0.6, 0.63), (0.6, 1.5), (0.3, 6.0)])
@pytest.mark.parametrize("exponent", [1e-4, *EXPONENTS, 20.0])
def test_screened_profile_against_mpmath(exponent, widths):
    """The difference of two incomplete gamma functions, with as many digits as it takes."""
    r = np.array([0.0, 1e-6, 0.02, 0.3, 1.0, 2.5]) * widths[1]

    def exact(r):
        if r == 0:
            return (
                (2 * mpmath.mpf(widths[0]) ** 2) ** (-mpmath.mpf(exponent) / 2)
                - (2 * mpmath.mpf(widths[1]) ** 2) ** (-mpmath.mpf(exponent) / 2)
            ) / mpmath.gamma(mpmath.mpf(exponent) / 2 + 1)
        near, far = (mpmath.mpf(r) ** 2 / (2 * mpmath.mpf(w) ** 2) for w in widths)
        a = mpmath.mpf(exponent) / 2
        return mpmath.gammainc(a, far, near, regularized=True) / mpmath.mpf(r) ** exponent

    with mpmath.workdps(50):
        expected = [float(exact(float(v))) for v in r]
    field = between(SmearedPotential(widths[0], exponent), 0.0, widths[1])
    found = field.profile(torch.from_numpy(r)).numpy()
    np.testing.assert_allclose(found, expected, rtol=2e-12, atol=1e-13 * expected[0])


@pytest.mark.parametrize("exponent", [1e-4, *EXPONENTS, 20.0])
def test_screened_transform_against_mpmath(exponent):
    """Down to k = 0, where each of the two transforms diverges for p <= 3."""
    s, wide = 0.6, 1.5
    k = np.array([0.0, 1e-8, 1e-3, 0.3, 1.0, 4.0])

    def exact(k):
        a = (3 - mpmath.mpf(exponent)) / 2
        front = mpmath.pi**1.5 / mpmath.gamma(mpmath.mpf(exponent) / 2)

        def integrand(u):
            t = mpmath.exp(u)
            return t**-a * mpmath.exp(-(mpmath.mpf(k) ** 2) / (4 * t))

        ends = [-mpmath.log(2 * mpmath.mpf(w) ** 2) for w in (wide, s)]
        return front * mpmath.quad(integrand, ends)

    with mpmath.workdps(30):
        expected = [float(exact(float(v))) for v in k]
    field = between(SmearedPotential(s, exponent), 0.0, wide)
    found = field.fourier(torch.from_numpy(k)).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert field.fourier_origin() == pytest.approx(expected[0], rel=1e-13)
    tensors = between(SmearedPotential(parameter(s), parameter(exponent)), 0.0, wide)
    assert float(tensors.fourier_origin().detach()) == pytest.approx(expected[0], rel=1e-12)


@pytest.mark.parametrize("exponent", often(EXPONENTS, [3.0]))
def test_screened_potentials_pass_the_public_check(exponent):
    check_field(between(SmearedPotential(0.5, exponent), 0.0, 1.2))


@pytest.mark.parametrize("exponent", EXPONENTS)
@pytest.mark.parametrize("widths", [(0.5, 0.6), (0.5, 1.2)])
def test_screened_potentials_are_differences(exponent, widths):
    screened = between(SmearedPotential(widths[0], exponent), 0.0, widths[1])
    k = torch.tensor([0.05, 1.0, 4.0], dtype=torch.float64)
    r = torch.tensor([0.0, 0.4, 3.0], dtype=torch.float64)
    near, far = (SmearedPotential(w, exponent) for w in widths)
    scale = float(near.profile(r)[0])
    torch.testing.assert_close(
        screened.profile(r), near.profile(r) - far.profile(r), rtol=0, atol=1e-14 * scale
    )
    torch.testing.assert_close(
        screened.fourier(k), near.fourier(k) - far.fourier(k), rtol=1e-10, atol=1e-13
    )


BASES = [Monomials(2, 2.0), GaussianTypeOrbitals(3, 2.5)]


@pytest.mark.parametrize(
    ("exponent", "basis"),
    often(itertools.product(EXPONENTS, BASES), [(1.0, BASES[1]), (3.0, BASES[0])]),
)
def test_integrals_add_up(exponent, basis):
    """F_nl of the screened and of the wide potential are those of the narrow one."""
    s, wide = 0.5, 0.9
    fields = [
        SmearedPotential(s, exponent),
        SmearedPotential(wide, exponent),
        between(SmearedPotential(s, exponent), 0.0, wide),
    ]
    reach = real_reach(fields[2], basis, 4, 1e-12)
    r = torch.linspace(0, reach, 60, dtype=torch.float64)
    tables = [real_table(f, basis, 4, None, 1e-12) for f in fields]
    whole, rest, short = (table(r) for table in tables)
    assert (short + rest - whole).abs().max() < 1e-10 * whole.abs().max()
    beyond = torch.linspace(reach, 20, 20, dtype=torch.float64)
    lost = (tables[1](beyond) - tables[0](beyond)).abs()
    assert lost.max() < 1e-10 * whole.abs().max()
    assert short[30].abs().max() > 1e-6 * whole.abs().max()


def test_reach_is_where_the_tolerance_is_met():
    field, basis = between(SmearedPotential(0.5, 1.0), 0.0, 1.1), Monomials(3, 2.0)
    reaches = [real_reach(field, basis, 3, t) for t in (1e-3, 1e-6, 1e-9)]
    assert reaches == sorted(set(reaches))
    table = real_table(field, basis, 3, None, 1e-12)
    inside = table(torch.linspace(0, 9, 400, dtype=torch.float64)).abs().amax(dim=(0, 2))
    for reach, tolerance in zip(reaches, (1e-3, 1e-6, 1e-9), strict=True):
        at_reach = table(torch.tensor([reach], dtype=torch.float64))[0].abs().amax(dim=1)
        assert (at_reach < tolerance * inside).all()
        nearer = table(torch.tensor([reach - 1.2], dtype=torch.float64))[0].abs().amax(dim=1)
        assert (nearer > tolerance * inside).any()
    with pytest.raises(ValueError, match=r"falls off as r\^-2 has no reach; split it"):
        real_reach(SmearedPotential(0.5, 2.0), basis, 3, 1e-10)


MAKERS = {
    "potential": SmearedPotential,
    "screened": lambda s, p: between(SmearedPotential(s, p), 0.0, 1.9),
    "density": lambda s, p: GaussianDensity(s),
    "yukawa": YukawaPotential,
    "part of yukawa": lambda s, p: between(YukawaPotential(s, p), 0.0, 1.9),
    "rest of yukawa": lambda s, p: between(YukawaPotential(s, p), 1.9),
}


@pytest.mark.parametrize("exponent", often([0.5, 1.0, 3.0, 4.2, 6.0], [1.0, 4.2]))
@pytest.mark.parametrize("kind", MAKERS)
def test_profile_and_transform_are_differentiable_in_the_parameters(kind, exponent):
    make, s, p = MAKERS[kind], parameter(0.7), parameter(exponent)
    r = torch.tensor([0.0, 0.3, 2.0, 3.5, 9.0], dtype=torch.float64)
    k = torch.tensor([0.05, 0.4, 2.0, 5.0], dtype=torch.float64)
    faces = {
        "profile": lambda s, p: make(s, p).profile(r),
        "fourier": lambda s, p: make(s, p).fourier(k),
    }
    if kind != "potential" or exponent > 3:
        faces["fourier_origin"] = lambda s, p: make(s, p).fourier_origin()
    for name, function in faces.items():
        plain = make(0.7, exponent)
        point = {"profile": (r,), "fourier": (k,)}.get(name, ())
        expected = torch.as_tensor(getattr(plain, name)(*point), dtype=torch.float64)
        torch.testing.assert_close(function(s, p).detach(), expected, rtol=1e-12, atol=0)
        assert torch.autograd.gradcheck(function, (s, p), eps=1e-6, rtol=1e-6)
        assert torch.autograd.gradgradcheck(function, (s, p), eps=1e-6, rtol=1e-5)


def test_frozen_fields_hold_numbers():
    s, p = parameter(0.7), torch.tensor(2.0, dtype=torch.float64)
    field = SmearedPotential(s, p)
    assert trainable(field) == {"smearing"}
    assert frozen(field) == SmearedPotential(0.7, 2.0)
    assert isinstance(frozen(field).smearing, float)
    assert isinstance(frozen(field).exponent, float)
    plain = SmearedPotential(0.7, 2.0)
    assert frozen(plain) is plain
    assert not trainable(plain)


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf, 0.001, 1000.0])
def test_tensor_smearing_out_of_range(value):
    for make in (GaussianDensity, SmearedPotential):
        with pytest.raises(ValueError, match=r"smearing is .* between 0\.01 and 100"):
            make(parameter(value))


@pytest.mark.parametrize("value", [0.0, -2.0, math.nan, math.inf, 25.0])
def test_tensor_exponent_out_of_range(value):
    with pytest.raises(ValueError, match=r"exponent is .* between 0.0001 and 20"):
        SmearedPotential(1.0, parameter(value))


def test_tensors_of_the_wrong_type_are_refused():
    with pytest.raises(ValueError, match=r"exponent is a tensor of torch.float32 .*torch.float64"):
        SmearedPotential(1.0, torch.tensor(1.0))


@pytest.mark.parametrize("width", [0.3, 0.7, 0.0, -1.0, math.nan])
def test_a_part_without_anything_in_it(width):
    said = r"between 0.0 and .* there is no part of a field with widths from 0.7 to inf"
    for smearing in (0.7, parameter(0.7)):
        with pytest.raises(ValueError, match=said):
            between(SmearedPotential(smearing, 1.0), 0.0, width)
    with pytest.raises(ValueError, match=r"no part of a field with widths from 0.7 to 0.7"):
        between(GaussianDensity(0.7), 0.8)


def test_a_part_with_everything_in_it():
    for field in (SmearedPotential(0.7, 1.0), GaussianDensity(0.7), YukawaPotential(0.7, 2.0)):
        assert between(field) is field
        assert between(field, 0.7) is field
    assert between(GaussianDensity(0.7), 0.1, 3.0) == GaussianDensity(0.7)
    assert between(SmearedPotential(0.7, 2.5), 1.2) == SmearedPotential(1.2, 2.5)


def test_parameters_of_a_part_are_those_of_the_whole():
    part = between(SmearedPotential(0.7, parameter(2.0)), 0.0, 1.5)
    assert trainable(part) == {"exponent"}
    assert frozen(part) == between(SmearedPotential(0.7, 2.0), 0.0, 1.5)
    assert set(parameters(part)) == {"smearing", "exponent"}
    moved = with_parameters(part, smearing=0.9)
    assert moved.smearing == 0.9
    assert moved.widest == 1.5
