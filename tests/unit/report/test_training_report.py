import numpy as np

from multilode.expansion import FieldExpansion
from multilode.fields import GaussianDensity
from multilode.radial import GaussianTypeOrbitals, TabulatedBasis
from multilode.report.training_report import basis_rows, basis_warnings
from multilode.representation.representation import Representation


def representation(radial):
    density = FieldExpansion(GaussianDensity(0.3), radial, 1, neighbor_cutoff=3.0)
    return Representation(fields={"rho": density}, products=(("rho",),), species=(1,), centers=(1,))


def test_independent_functions_are_all_kept():
    (row,) = basis_rows(representation(GaussianTypeOrbitals(6, 3.0)))
    assert row["requested"] == row["kept"] == 6
    assert basis_warnings([row]) == []


def test_dependent_functions_are_dropped_and_reported():
    twice = TabulatedBasis.from_function(lambda r: np.stack([r, r**2, 2 * r]), 3.0)
    rows = basis_rows(representation(twice))
    assert (rows[0]["requested"], rows[0]["kept"]) == (3, 2)
    assert rows[0]["dependence"] < 1e-12
    assert "'rho'" in basis_warnings(rows)[0]
    assert "2 of 3" in basis_warnings(rows)[0]
