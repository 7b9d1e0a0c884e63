"""A polarisable molecule and an electrode that answer to each other."""

import math
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float

from multilode_papers.makers.electrode import WIDTH, Electrode
from multilode_papers.makers.gaussian_charges import COULOMB, isolated
from multilode_papers.makers.layer_sums import layer_sum

SPREAD = 0.4  # Å, standard deviation of the molecule's charges and of its dipole


@final
@dataclass(frozen=True, kw_only=True)
class ImageResponse:
    """Response of an electrode to a molecule at several heights.

    Args:
        energy: of the molecule and its images, without electrode = 0 (eV).
        polarization: change of the molecule's dipole moment (e Å).
        dipole: induced dipole of the molecule (e Å), that by its neighbours in the layer included.
        electrode_charges: in e.
    """

    energy: Float[np.ndarray, " height"]
    polarization: Float[np.ndarray, "height 3"]
    dipole: Float[np.ndarray, "height 3"]
    electrode_charges: Float[np.ndarray, "height atom"]


def image_response(
    electrode: Electrode,
    positions: Float[np.ndarray, "height site 3"],
    charges: Float[np.ndarray, " site"],
    polarizability: Float[np.ndarray, "3 3"],
) -> ImageResponse:
    """Electrode charges q and the induced dipole p that minimise the energy together.

    U = q A q / 2 + q (B c + D p) + p (k α⁻¹ - H) p / 2 + p F c, with H and F from the molecule's
    own lattice. Without electrode q = 0; that energy is subtracted.

    Args:
        electrode: the slab.
        positions: of the molecule's sites (Å), the same molecule at each height.
        charges: on the sites (e).
        polarizability: of the first site (Å³).
    """
    sites = positions[0] - positions[0, 0]
    field, tensor = _own_lattice(electrode, sites, charges)
    stiffness = COULOMB * np.linalg.inv(polarizability) - tensor
    of_charges, of_dipole = _potentials(electrode, positions, charges)
    answer = of_charges @ electrode.response  # minus the charges that the fixed charges induce
    answers = of_dipole @ electrode.response
    softened = stiffness - np.einsum("hxs,hys->hxy", answers, of_dipole)
    torque = field - np.einsum("hxs,hs->hx", answers, of_charges)
    dipole = -np.linalg.solve(softened, torque[..., None])[..., 0]
    alone = -np.linalg.solve(stiffness, field)
    energy = 0.5 * (np.sum(torque * dipole, axis=1) - np.sum(answer * of_charges, axis=1))
    return ImageResponse(
        energy=energy - 0.5 * field @ alone,
        polarization=dipole - alone,
        dipole=dipole,
        electrode_charges=-(answer + np.einsum("hx,hxs->hs", dipole, answers)),
    )


def _potentials(
    electrode: Electrode,
    positions: Float[np.ndarray, "height site 3"],
    charges: Float[np.ndarray, " site"],
) -> tuple[Float[np.ndarray, "height atom"], Float[np.ndarray, "height 3 atom"]]:
    """Potentials (V) at the electrode: of the charges, and of unit dipoles at the first site."""
    targets = positions.reshape(-1, 3)
    spread = math.hypot(WIDTH, SPREAD)
    sums = layer_sum(targets, electrode.positions, electrode.cell, spread, order=1)
    value, slope = (COULOMB * part.reshape(*positions.shape[:2], *part.shape[1:]) for part in sums)
    return np.einsum("hts,t->hs", value, charges), slope[:, 0].transpose(0, 2, 1)


def _own_lattice(
    electrode: Electrode, sites: Float[np.ndarray, "site 3"], charges: Float[np.ndarray, " site"]
) -> tuple[Float[np.ndarray, "3"], Float[np.ndarray, "3 3"]]:
    """Action of the molecule's periodic images on its dipole: gradient (V/Å), and its own coupling.

    They are so far away that the width of their charges does not matter.
    """
    displacements = sites[0] - sites
    lattice = layer_sum(sites[:1], sites, electrode.cell, WIDTH, order=2)
    one = isolated(displacements, WIDTH)
    _, gradient, second = (COULOMB * (a[0] - b) for a, b in zip(lattice, one, strict=True))
    return charges @ gradient, second[0]
