"""Ten diverse structures for comparisons of methods, and the scale of their errors."""

import math

import ase
import torch

from crystals import (
    isolated_cluster,
    rock_salt,
    skewed_chloride,
    slab_with_vacuum,
    tiny_cell,
    triclinic_perovskite,
    water_box,
    wurtzite,
)
from multilode.equivariants.blocks import Equivariants
from multilode.expansion import FieldExpansion
from multilode.radial.tables import real_table


def left_handed() -> ase.Atoms:
    """Wurtzite, two of its vectors swapped."""
    atoms = wurtzite()
    atoms.set_cell(atoms.cell[:][[0, 2, 1]])
    return atoms


def lonely() -> ase.Atoms:
    """One atom in a big box, far outside of it."""
    return ase.Atoms("Ne", positions=[[101.0, -52.0, 3.0]], cell=[14, 15, 16], pbc=True)


def slab() -> ase.Atoms:
    """Layers of aluminium under oxygen; the free vector is zero, as ASE writes it."""
    atoms = slab_with_vacuum()
    atoms.cell[2] = 0
    atoms.pbc = (True, True, False)
    return atoms


def wire() -> ase.Atoms:
    """Perovskite along one of its vectors."""
    atoms = triclinic_perovskite()
    atoms.pbc = (False, True, False)
    return atoms


TEN = {
    "cubic ionic": rock_salt,
    "triclinic": triclinic_perovskite,
    "left-handed": left_handed,
    "strongly skewed, atoms outside": skewed_chloride,
    "tiny cell": tiny_cell,
    "one atom in a big box": lonely,
    "water": water_box,
    "slab": slab,
    "wire": wire,
    "isolated": isolated_cluster,
}


def typical_sizes(expansion: FieldExpansion) -> list[float]:
    """What one neighbor contributes to each l at most, at any distance.

    Symmetric structures have small or no coefficients of some l: they are sums of such
    contributions that cancel, and the tolerance is relative to these.
    """
    table = real_table(expansion.field, expansion.basis, expansion.max_angular, None, 1e-10)
    largest = table(torch.linspace(0, 12, 400, dtype=torch.float64)).detach().abs().amax(dim=(0, 2))
    return [float(size) * math.sqrt((2 * l + 1) / (4 * math.pi)) for l, size in enumerate(largest)]


def worst_error(found: Equivariants, exact: Equivariants, sizes: list[float]) -> float:
    """The largest error relative to the largest coefficient of the same l, over all l."""
    assert found.blocks.keys() == exact.blocks.keys()
    worst = 0.0
    for irrep, block in exact.blocks.items():
        scale = max(float(block.detach().abs().max()), sizes[irrep.degree])
        difference = found.blocks[irrep].detach().double() - block.detach()
        assert difference.isfinite().all()
        worst = max(worst, float(difference.abs().max()) / scale)
    return worst
