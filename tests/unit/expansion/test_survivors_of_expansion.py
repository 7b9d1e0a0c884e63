"""Small mistakes in the code that no other test of this room saw: docs/reliability.md, mutants."""

import numpy as np
import pytest
import torch

from multilode.expansion import FieldExpansion, Mesh, ReciprocalSum, expand
from multilode.expansion.lattice.reduced_cell import reduction
from multilode.fields import GaussianDensity, SmearedPotential
from multilode.radial import Monomials
from multilode.radial.tables import _fit_together
from multilode.structures.batch import Structures


def layer() -> Structures:
    """Two species, periodic in a plane."""
    return Structures.from_arrays(
        [np.array([[0.1, 0.2, 0.3], [1.5, 1.0, 1.1], [2.5, -0.4, -1.2]])],
        [np.array([11, 17, 17])],
        [np.array([[3.2, 0.3, 0.2], [-0.9, 4.1, 0.3], [0, 0, 0]])],
        [np.array([True, True, False])],
    )


@pytest.mark.parametrize("exponent", [1.0, 6.0])
def test_a_layer_on_a_mesh(exponent):
    """The box of a layer reaches as far as its basis; `pbc.any()` for `pbc.all()` cut it off."""
    expansion = FieldExpansion(SmearedPotential(exponent, 0.8), Monomials(2, 5.0), 2)
    given = {"species": (11, 17)}
    found = expand(expansion, layer(), method=Mesh(1e-6), **given)
    exact = expand(expansion, layer(), method=ReciprocalSum(1e-10), **given)
    for irrep, block in exact.blocks.items():
        size = float(block.abs().max())
        torch.testing.assert_close(found.blocks[irrep], block, rtol=0, atol=2e-5 * size)


@pytest.mark.parametrize("species", [(17, 11), (11, 11, 17)])
def test_species_that_do_not_ascend_are_refused(species):
    expansion = FieldExpansion(GaussianDensity(0.8), Monomials(2, 1.5), 1)
    with pytest.raises(ValueError, match="ascend"):
        expand(expansion, layer(), species=species)


@pytest.mark.parametrize("size", [0.1, 1.0, 30.0])
def test_reduction_does_not_depend_on_the_unit(size):
    """Cosines are those of unit vectors."""
    cell = np.array([[1.0, 0, 0], [0.9, 1.0, 0], [0.1, 0.2, 1.0]])
    transform = reduction(size * cell, (True, True, True))
    np.testing.assert_array_equal(transform, reduction(cell, (True, True, True)))
    assert not np.array_equal(transform, np.eye(3))


def test_a_table_of_two_widths_reaches_as_far_as_the_widest():
    fields = (GaussianDensity(0.3), GaussianDensity(1.5))
    basis = Monomials(2, 1.5)
    together, _ = _fit_together(fields, basis, 1, None, 1e-8)
    alone, _ = _fit_together(fields[1:], basis, 1, None, 1e-8)
    assert together.upper >= alone.upper - 0.1
