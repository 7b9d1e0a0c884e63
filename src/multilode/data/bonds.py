"""How far neighbors are apart, against the lengths of bonds."""

import numpy as np
import torch
from ase.data import covalent_radii

from multilode.data.units import likely_units
from multilode.structures.batch import Structures
from multilode.structures.neighbors import pairs_within

_RADIUS, _MOST_ATOMS = 6.0, 4000  # Å; atoms that are looked at
_LONE = (2, 10, 18, 36, 54, 86)  # elements whose atoms do not bind
_NEAR = 0.15  # of the ratio of two units
_SPREAD = 0.4  # of the ratios of 8 in 10 atoms, where all have bonds of one unit
_FEWEST = 10  # atoms


def unit_of_lengths(structures: Structures) -> tuple[float, str] | None:
    """The unit of positions, where it is not Å: nearest neighbors of all atoms are told by it.

    Args:
        structures: of matter; noble gases, and atoms without a neighbor within 6 Å, tell nothing.

    Returns:
        Median of the distance to the nearest neighbor over the sum of both covalent radii, and the
        unit that would make it 1, bohr or nm; None if there is none.
    """
    order = np.random.default_rng(0).permutation(structures.n_structures)
    sizes = structures.counts.cpu().numpy()[order].cumsum()
    some = structures.select(order[: 1 + int((sizes < _MOST_ATOMS).sum())].tolist())
    numbers, pairs = some.species, pairs_within(some, _RADIUS)
    radii = torch.from_numpy(covalent_radii)
    bonds = radii[numbers[pairs.center]] + radii[numbers[pairs.neighbor]]
    ratios = pairs.vectors(some).norm(dim=1).double() / bonds
    nearest = torch.full((some.n_atoms,), torch.inf, dtype=torch.float64)
    nearest = nearest.scatter_reduce(0, pairs.center, ratios, "amin").numpy()
    known = nearest[np.isfinite(nearest) & ~np.isin(numbers.numpy(), _LONE)]
    if len(known) < max(_FEWEST, len(nearest) // 2):
        return None
    low, middle, high = (float(x) for x in np.quantile(known, [0.1, 0.5, 0.9]))
    found = likely_units(1 / middle, "Å", _NEAR)
    return (middle, found[0]) if found and high - low <= _SPREAD * middle else None
