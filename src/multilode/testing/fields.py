"""The check that every field must pass."""

import math
from dataclasses import fields

import numpy as np
import torch
from jaxtyping import Float
from scipy.special import eval_legendre, roots_legendre
from torch import Tensor

from multilode.fields import AbstractField, between
from multilode.fields.field import (
    far_moments_by_measure,
    fourier_by_measure,
    frozen,
    origin_by_measure,
    parameter_ranges,
    parameters,
    profile_by_measure,
    with_parameters,
)
from multilode.fields.measure import rate_of, width_of
from multilode.numerics.modes import own_modes
from multilode.numerics.special import number
from multilode.radial import Monomials
from multilode.radial.tables import real_table
from multilode.testing.equality import require_equal


@own_modes(gradients=True)
def check_field(field: AbstractField) -> None:
    """All that is said about a field, and each of its closed forms, describes one measure.

    Run it on a few values of every parameter. Profile and transform are those of the measure, and
    a transform pair; the field is smooth at its atom; its tail, its moments far away and its end
    are what it says; its parts add up to it for every split; averages over axes follow from
    profiles; and it is differentiable in each parameter.

    Source: theory#field; theory#mixture.

    Raises:
        AssertionError: if two of them disagree.
    """
    _check_declarations(field)
    _check_measure(field)
    _check_transform_pair(field)
    _check_regular_origin(field)
    _check_far_moments(field)
    _check_parts(field)
    _check_averages(field)
    _check_derivatives_in_parameters(field)


def _check_declarations(field: AbstractField) -> None:
    """Parameters have ranges that are checked, and rates lie within what is declared."""
    require_equal("parameters with a range", set(parameters(field)), set(parameter_ranges(field)))
    values = {f.name: getattr(field, f.name) for f in fields(field)}  # type: ignore[arg-type] - a dataclass
    if not any(isinstance(value, AbstractField) for value in values.values()):
        require_equal("settings with a range", set(field.ranges), set(values))
    for name, allowed in parameter_ranges(field).items():
        for bad in (2 * allowed.highest, -1.0, math.nan):
            _check_refused(field, name, bad)
    t, weight = field.mixture(1e-3 * number(rate_of(field.smearing)))
    low, high = float(t[t > 0].min()), float(t.max())
    if width_of(high) < number(field.smearing) * (1 - 1e-12):
        raise AssertionError(f"there are widths down to {width_of(high)} Å, below the smearing")
    if width_of(low) > field.widest * (1 + 1e-12):
        raise AssertionError(f"there are widths up to {width_of(low)} Å, above the widest")
    if not bool(torch.isfinite(weight).all()):
        raise AssertionError("a weight of the measure is not finite")


def _check_refused(field: AbstractField, name: str, bad: float) -> None:
    """A value out of range is named where the field is made."""
    try:
        with_parameters(field, **{name: bad})
    except ValueError as error:
        if f"{name} is" not in str(error):
            raise AssertionError(f"{name} = {bad} is refused by '{error}'") from error
    else:
        raise AssertionError(f"{name} = {bad} is accepted")


def _check_measure(field: AbstractField) -> None:
    """Closed forms against the measure, two ways that share no formula."""
    r = number(field.smearing) * torch.logspace(-3, 2, 60, dtype=torch.float64)
    k = torch.logspace(-2, 0.8, 40, dtype=torch.float64) / number(field.smearing)
    height = float(field.profile(torch.zeros(1, dtype=torch.float64)))
    torch.testing.assert_close(
        field.profile(r), profile_by_measure(field, r), rtol=1e-11, atol=1e-13 * height
    )
    transform = fourier_by_measure(field, k)
    torch.testing.assert_close(field.fourier(k), transform, rtol=1e-11, atol=0)
    origin = float(torch.as_tensor(field.fourier_origin()).detach())
    np.testing.assert_allclose(
        origin, float(torch.as_tensor(origin_by_measure(field)).detach()), rtol=1e-11
    )
    smaller = number(field.smearing) * np.array([0.0, 1.0, 4.0, 20.0])
    larger = smaller + 20 * field.core * np.array([1.0, 1.1, 1.5, 2.0])
    np.testing.assert_allclose(
        field.far_moments(smaller, larger, 5),
        far_moments_by_measure(field, smaller, larger, 5),
        rtol=1e-10,
        atol=1e-25 * height,
    )


def _check_transform_pair(field: AbstractField) -> None:
    """Shown on the part with Gaussians up to twice the smearing, or all if that is less."""
    part = between(field, 0.0, 2 * number(field.smearing))
    nodes, weights = roots_legendre(400)
    reach = 20 * number(field.smearing)
    r, weights = (torch.from_numpy(a * 0.5 * reach) for a in (nodes + 1, weights))
    k = torch.tensor([0.05, 0.4, 1.0, 2.5, 4.0], dtype=torch.float64) / number(field.smearing)
    kernel = 4 * torch.pi * r**2 * torch.sinc(k[:, None] * r / torch.pi) * weights
    profile, transform, origin = part.profile(r), part.fourier(k), part.fourier_origin()
    if field.widest > 2 * number(field.smearing):  # by the faces of the field itself
        rest = between(field, 2 * number(field.smearing), math.inf)
        profile = field.profile(r) - rest.profile(r)
        transform = field.fourier(k) - rest.fourier(k)
    numerical = kernel @ profile
    scale = float(numerical.abs().max())
    torch.testing.assert_close(numerical, transform, rtol=1e-10, atol=1e-11 * scale)
    at_origin = float(4 * torch.pi * (r**2 * weights) @ profile)
    np.testing.assert_allclose(at_origin, float(origin), rtol=1e-9, atol=1e-11 * scale)
    _check_continuous_origin(field)


def _check_continuous_origin(field: AbstractField) -> None:
    """v^(0) is the limit of v^(k) where that is finite."""
    if field.decay <= 3:
        require_equal("v^(0) of a tail that no background leaves finite", field.fourier_origin(), 0)
        return
    origin = float(field.fourier_origin())
    k = torch.tensor([1e-2, 1e-3, 1e-4], dtype=torch.float64) / max(field.core, 1.0)
    gaps = (field.fourier(k) / origin - 1).abs()
    if not bool((gaps.diff() <= 1e-12).all()) or origin <= 0:
        raise AssertionError(f"v^(0) is {origin}, but v^(k) / v^(0) - 1 is {gaps.tolist()} at {k}")


def _check_regular_origin(field: AbstractField) -> None:
    """Finite at r = 0, without slope: a field must be smooth where its atom sits."""
    r = field.smearing * torch.tensor([0.0, 1e-9, 1e-7, 1e-5], dtype=torch.float64)
    values = field.profile(r)
    torch.testing.assert_close(values, values[:1].expand(4), rtol=1e-9, atol=0)


def _check_far_moments(field: AbstractField) -> None:
    nodes, weights = np.polynomial.legendre.leggauss(80)  # whose weights are better
    distance, ratio = 40 * field.core, np.array([0.01, 0.1, 0.35, 0.55])
    x = ratio * distance
    apart = np.sqrt(x[:, None] ** 2 + distance**2 - 2 * x[:, None] * distance * nodes)
    profile = field.profile(torch.from_numpy(apart)).numpy()
    height = float(field.profile(torch.zeros(1, dtype=torch.float64))[0])
    noise = 1e-14 * np.abs(profile).max() + 1e-30 * height
    for l, moment in enumerate(field.far_moments(x, np.full(4, distance), 6)):
        numerical = (profile * eval_legendre(l, nodes)) @ weights
        np.testing.assert_allclose(moment, numerical, rtol=1e-9, atol=noise)
    if field.tail is not None:
        r = torch.tensor([20.0, 1e3], dtype=torch.float64) * field.core
        torch.testing.assert_close(field.profile(r) * r**field.decay, torch.ones_like(r))
    elif math.isfinite(field.reach) and bool(
        field.profile(torch.tensor([field.reach], dtype=torch.float64)) > 1e-16 * height
    ):
        raise AssertionError(f"beyond its reach of {field.reach} Å the field is not nothing")


def _check_parts(field: AbstractField) -> None:
    """The sharp and the smooth part of a split add up to the field, wherever it is divided."""
    smearing = number(field.smearing)
    r = smearing * torch.tensor([0.0, 0.3, 1.7, 6.0, 15.0], dtype=torch.float64)
    k = torch.tensor([0.1, 0.7, 2.0], dtype=torch.float64) / smearing
    for ratio in (1.01, 1.7, 4.0):
        if not smearing * ratio < field.widest:
            continue
        parts = [between(field, 0.0, ratio * smearing), between(field, ratio * smearing, math.inf)]
        for face, x in (("profile", r), ("fourier", k)):
            whole = getattr(field, face)(x)
            total = sum(getattr(part, face)(x) for part in parts)
            scale = float(whole.abs().max())
            torch.testing.assert_close(total, whole, rtol=1e-10, atol=1e-13 * scale)


def _check_averages(field: AbstractField) -> None:
    """Averages over one and two axes, of which layers and wires are made, against profiles.

    Differences between two distances from the axis, which know nothing of finite parts.
    """
    smearing = number(field.smearing)
    part = between(field, 0.0, 3 * smearing)
    nodes, weights = roots_legendre(300)
    z, weights = (torch.from_numpy(a * 15 * smearing) for a in (nodes + 1, weights))
    for periods, shell in ((1, 2 * weights), (2, 2 * torch.pi * z * weights)):
        rho = smearing * torch.tensor([0.0, 0.4, 1.3, 2.5], dtype=torch.float64)
        profile = part.profile(torch.hypot(z[None, :], rho[:, None]))
        found = _average(field, rho, periods)
        if field.widest > 3 * smearing:
            found = found - _average(between(field, 3 * smearing, math.inf), rho, periods)
        expected = profile @ shell
        scale = float(expected[0])
        torch.testing.assert_close(
            found - found[0], expected - expected[0], rtol=1e-9, atol=1e-11 * scale
        )


def _average(
    field: AbstractField, rho: Float[Tensor, " point"], periods: int
) -> Float[Tensor, " point"]:
    t, weight = field.mixture(1 / float(rho.max()) ** 2, periods)
    front = weight * (math.pi / torch.where(t == 0, 1.0, t)) ** (0.5 * periods)
    return torch.exp(-(rho[:, None] ** 2) * t) @ front


def _check_derivatives_in_parameters(field: AbstractField) -> None:
    """Faces, and a table of radial integrals, against differences in each parameter."""
    smearing = number(field.smearing)
    r = smearing * torch.tensor([0.2, 1.1, 3.0], dtype=torch.float64)
    basis = Monomials(1, 2 * smearing)  # ends early: its tables are made in no time
    faces = {
        "profile": lambda f: f.profile(r),
        "fourier": lambda f: f.fourier(0.5 / r),
        "radial integrals": lambda f: real_table(f, basis, 1, None, 1e-8)(r).flatten(),
    }
    plain = frozen(field)
    for name, value in parameters(plain).items():
        allowed, step = parameter_ranges(plain)[name], 5e-3 * float(value)
        if not allowed.lowest < value - 2 * step < value + 2 * step < allowed.highest:
            continue
        for face, function in faces.items():
            x = torch.tensor(value, dtype=torch.float64, requires_grad=True)
            found = function(with_parameters(plain, **{name: x}))
            slope = [torch.autograd.grad(v, x, retain_graph=True)[0] for v in found]
            with torch.no_grad():
                values = [
                    function(with_parameters(plain, **{name: value + n * step}))
                    for n in (-2, -1, 1, 2)
                ]
            numerical = (values[0] - 8 * values[1] + 8 * values[2] - values[3]) / (12 * step)
            scale = float(values[0].abs().max()) / float(value)
            np.testing.assert_allclose(
                torch.stack(slope),
                numerical,
                rtol=1e-5,
                atol=1e-5 * scale,
                err_msg=f"{face} {name}",
            )
