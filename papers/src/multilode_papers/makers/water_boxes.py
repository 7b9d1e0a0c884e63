"""Boxes of liquid water by molecular dynamics of the SPC/Fw model, many boxes at once.

Source: Wu, Tepper and Voth, J. Chem. Phys. 124, 024503 (2006). Charges interact inside of half the
box with a reaction field of infinite permittivity, so that energy and force vanish there. This is
enough for the structure of a liquid of which only configurations are used.
"""

import math

import numpy as np
from jaxtyping import Float

MOLECULES = 32
TEMPERATURE = 300.0  # K
_KT = 0.001987204 * TEMPERATURE  # kcal / mol
_COULOMB = 332.06371  # kcal Å / mol
_CHARGES = np.array([-0.82, 0.41, 0.41])
_SIGMA, _DEPTH = 3.165492, 0.1554253  # Å, kcal / mol
_BOND, _LENGTH = 1059.162, 1.012  # kcal / mol / Å², Å
_ANGLE, _OPENING = 75.90, math.radians(113.24)  # kcal / mol, of ½ k (θ - θ₀)²
_MASSES = np.array([16.0, 3.0, 3.0])[:, None]  # heavy hydrogens: same configurations, longer steps
_ACCELERATION = 4.184e-4  # Å / fs² of 1 kcal / mol / Å on 1 u
_STEP, _FRICTION = 1.5, 0.005  # fs, 1 / fs

Boxes = Float[np.ndarray, "box molecule 3 3"]
_FIRST, _SECOND = np.triu_indices(MOLECULES, 1)
_INCIDENCE = (np.arange(MOLECULES)[:, None] == _FIRST) * 1.0
_OPPOSITE = (np.arange(MOLECULES)[:, None] == _SECOND) * 1.0


def initial_boxes(lengths: Float[np.ndarray, " box"], rng: np.random.Generator) -> Boxes:
    """Molecules (O, H, H in Å) on a face-centred lattice, each turned at random."""
    corners = np.stack(np.meshgrid(*(np.arange(2),) * 3, indexing="ij"), axis=-1).reshape(-1, 1, 3)
    face = np.array([[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]])
    sites = (corners + face).reshape(-1, 3) / 2
    half = 0.5 * _OPENING
    shape = np.array([[math.sin(half), 0, math.cos(half)], [-math.sin(half), 0, math.cos(half)]])
    turns = np.linalg.qr(rng.normal(size=(len(lengths), MOLECULES, 3, 3)))[0]
    positions = np.repeat((sites * lengths[:, None, None])[:, :, None], 3, axis=2)
    positions[:, :, 1:] += _LENGTH * shape @ turns
    return positions


def simulate(
    positions: Boxes,
    lengths: Float[np.ndarray, " box"],
    steps: int,
    rng: np.random.Generator,
    velocities: Boxes | None = None,
) -> tuple[Boxes, Boxes]:
    """Positions (Å) and velocities (Å / fs) after Langevin dynamics at 300 K.

    Single precision: its errors are much smaller than the noise of the thermostat.

    Source: the splitting BAOAB of Leimkuhler and Matthews (2013).

    Args:
        positions: of the molecules, whole, in any image.
        lengths: of the cubic boxes (Å).
        steps: of 1.5 fs.
        rng: of the thermostat.
        velocities: drawn from the Maxwell distribution if None.
    """
    kick = (0.5 * _STEP * _ACCELERATION / _MASSES).astype(np.float32)
    thermal = np.sqrt(_KT * _ACCELERATION / _MASSES).astype(np.float32)
    if velocities is None:
        velocities = thermal * rng.standard_normal(positions.shape)
    moving, speeds, boxes = (a.astype(np.float32) for a in (positions, velocities, lengths))
    keep = math.exp(-_FRICTION * _STEP)
    force = forces(moving, boxes)
    for _ in range(steps):
        speeds += kick * force
        moving += 0.5 * _STEP * speeds
        noise = thermal * rng.standard_normal(moving.shape, dtype=np.float32)
        speeds = keep * speeds + math.sqrt(1 - keep**2) * noise
        moving += 0.5 * _STEP * speeds
        force = forces(moving, boxes)
        speeds += kick * force
    return moving.astype(np.float64), speeds.astype(np.float64)


def forces(positions: Boxes, lengths: Float[np.ndarray, " box"]) -> Boxes:
    """Forces (kcal / mol / Å) of `energy`."""
    return _between(positions, lengths)[1] + _inside(positions)[1]


def energy(positions: Boxes, lengths: Float[np.ndarray, " box"]) -> Float[np.ndarray, " box"]:
    """Potential energy (kcal / mol) of each box."""
    return _between(positions, lengths)[0] + _inside(positions)[0]


def _between(
    positions: Boxes, lengths: Float[np.ndarray, " box"]
) -> tuple[Float[np.ndarray, " box"], Boxes]:
    """Energies and forces of different molecules; contiguous arrays make this twice as fast."""
    axes = np.ascontiguousarray(positions.transpose(0, 3, 1, 2))
    box = lengths[:, None, None, None]
    d = axes.take(_FIRST, axis=2)[..., None] - axes.take(_SECOND, axis=2)[..., None, :]
    d -= box[..., None] * np.rint(d / box[..., None])
    square = np.einsum("bx...,bx...->b...", d, d)
    cutoff = 0.5 * box
    inverse = 1 / np.sqrt(square)
    products = (_COULOMB * np.outer(_CHARGES, _CHARGES)).astype(d.dtype)
    strength = products * (square < cutoff**2)
    value = strength * (inverse + square / (2 * cutoff**3) - 1.5 / cutoff)
    push = strength * (inverse * inverse * inverse - 1 / cutoff**3)  # force / distance
    jones, jones_push = _lennard_jones(square[:, :, 0, 0], cutoff[:, :, 0, 0] ** 2)
    push[:, :, 0, 0] += jones_push
    pairs = push[:, None] * d
    force = _INCIDENCE.astype(d.dtype) @ np.einsum("bxpij->bxpi", pairs)
    force -= _OPPOSITE.astype(d.dtype) @ np.einsum("bxpij->bxpj", pairs)
    return value.sum(axis=(1, 2, 3)) + jones.sum(axis=1), force.transpose(0, 2, 3, 1)


def _lennard_jones(
    square: Float[np.ndarray, "box pair"], edge: Float[np.ndarray, "box 1"]
) -> tuple[Float[np.ndarray, "box pair"], Float[np.ndarray, "box pair"]]:
    """Energies, and forces divided by distances; a linear function of r² takes both to zero."""
    near, at_edge = ((_SIGMA**2 / x) ** 3 for x in (square, edge))
    value, value_there = (4 * _DEPTH * (x**2 - x) for x in (near, at_edge))
    push, push_there = (
        24 * _DEPTH * (2 * x**2 - x) / r2 for x, r2 in ((near, square), (at_edge, edge))
    )
    inside = square < edge
    shifted = value - value_there + 0.5 * push_there * (square - edge)
    return shifted * inside, (push - push_there) * inside


def _inside(positions: Boxes) -> tuple[Float[np.ndarray, " box"], Boxes]:
    """Energies and forces of the bonds and angles."""
    bonds = positions[:, :, 1:] - positions[:, :, :1]
    lengths = np.linalg.norm(bonds, axis=-1, keepdims=True)
    units = bonds / lengths
    cosine = np.einsum("bmx,bmx->bm", units[:, :, 0], units[:, :, 1])[..., None, None]
    angle = np.arccos(np.clip(cosine, -1, 1))
    value = 0.5 * _BOND * ((lengths - _LENGTH) ** 2).sum(axis=(1, 2, 3))
    value += 0.5 * _ANGLE * ((angle - _OPENING) ** 2).sum(axis=(1, 2, 3))
    turning = _ANGLE * (angle - _OPENING) / np.sqrt(np.maximum(1 - cosine**2, 1e-12))
    pull = -_BOND * (lengths - _LENGTH) * units
    pull += turning * (units[:, :, ::-1] - cosine * units) / lengths
    return value, np.concatenate([-pull.sum(axis=2, keepdims=True), pull], axis=2)
