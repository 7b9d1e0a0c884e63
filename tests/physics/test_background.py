"""Boxes that grow to infinity, the limit of small exponents, and the field of the center itself."""

import itertools
import math
from dataclasses import replace

import ase
import numpy as np
import pytest
import torch

from crystals import (
    block,
    isolated_cluster,
    one_atom_crystal,
    relative_difference,
    rock_salt,
    species_of,
    stacked,
    structures_of,
    tiny_cell,
    water_molecule,
)
from multilode.expansion import FieldExpansion, PairSum, ReciprocalSum, expand
from multilode.fields import GaussianDensity, SmearedPotential
from multilode.fields.cutoffs import StepCutoff
from multilode.radial import (
    GaussianTypeOrbitals,
    LaplacianEigenstates,
    Monomials,
    TabulatedBasis,
    orthonormalize,
)
from multilode.symmetry.irrep import Irrep
from often import often

BASIS = Monomials(2, 1.5)


def in_box(edge):
    atoms = water_molecule()
    atoms.set_cell([edge] * 3)
    atoms.pbc = True
    return atoms


def coefficients(expansion, atoms):
    return stacked(expanded(expansion, atoms, species_of(atoms)))


def expanded(expansion, atoms, species):
    """By the method that has no error but the background's."""
    method = ReciprocalSum(1e-10) if atoms.pbc.any() else PairSum(1e-10)
    return expand(expansion, structures_of(atoms), species=species, method=method)


@pytest.mark.parametrize("exponent", [1.0, 2.0, 2.5, 3.0, 4.0, 6.0])
def test_molecule_in_a_growing_box_becomes_the_isolated_one(exponent):
    """Coefficients drift with the box; the powers of its edge L that theory allows explain it all.

    Images bring L^-p, L^-(p + 2), ...; the dropped mean of the field L^-3 (for p = 3 with log L).
    """
    expansion = FieldExpansion(SmearedPotential(1.0, exponent), BASIS, 2)
    edges = np.array([14.0, 16.0, 18.0, 20.0, 22.0, 25.0, 28.0])
    powers = sorted({3.0, exponent, exponent + 2, exponent + 4})
    columns = [np.ones_like(edges), *[(14 / edges) ** q for q in powers]]
    if exponent == 3:
        columns.append((14 / edges) ** 3 * np.log(edges / 14))
    values = torch.stack([coefficients(expansion, in_box(edge)) for edge in edges])
    design = np.stack(columns, axis=1)
    fit, *_ = np.linalg.lstsq(design, values.flatten(1).numpy(), rcond=None)
    isolated = coefficients(expansion, water_molecule())
    scale = float(isolated.abs().max())
    extrapolated = torch.from_numpy(fit[0]).reshape(isolated.shape)
    assert (extrapolated - isolated).abs().max() < 1e-5 * scale
    drift = float((values[-1] - isolated).abs().max())
    assert drift > 100 * float((extrapolated - isolated).abs().max())


def test_coulomb_in_a_cube_to_first_order():
    """The l = 0 shift of one ion is that of Wigner's simple cubic lattice, -2.837297 / L."""
    radius, smearing = 0.2, 0.5
    expansion = FieldExpansion(SmearedPotential(smearing, 1.0), Monomials(1, radius), 0)
    functions = orthonormalize(expansion.basis, 0)
    flat = math.sqrt(4 * math.pi) * float(
        functions.values[0, 0] @ (functions.weights * functions.r**2)
    )
    free = float(coefficients(expansion, ase.Atoms("H", positions=[[0, 0, 0]]))[0, 0])
    for edge in (10.0, 20.0):
        boxed = ase.Atoms("H", positions=[[0, 0, 0]], cell=[edge] * 3, pbc=True)
        shift = (float(coefficients(expansion, boxed)[0, 0]) - free) / flat
        expected = -2.8372974795 / edge + 2 * math.pi * smearing**2 / edge**3
        expected += 2 * math.pi / (5 * edge**3) * radius**2  # parabola of the background
        assert shift == pytest.approx(expected, rel=1e-7)


def test_neutral_combinations_forget_the_box_faster():
    """Two unlike ions: what charges add up to drifts with L^-3, each species alone with 1 / L."""
    expansion = FieldExpansion(SmearedPotential(1.0, 1.0), BASIS, 0)
    ions = ase.Atoms("NaCl", positions=[[0, 0, 0], [0, 0, 2.4]])
    free = expanded(expansion, ions, (11, 17)).blocks[Irrep(0)][:, 0]
    shifts = []
    for edge in (20.0, 40.0):
        ions.set_cell([edge] * 3)
        ions.pbc = True
        boxed = expanded(expansion, ions, (11, 17)).blocks[Irrep(0)][:, 0]
        shifts.append(boxed - free)
    alone = [float(s[:, :2].abs().max()) for s in shifts]
    neutral = [float((s[:, :2] - s[:, 2:]).abs().max()) for s in shifts]
    assert alone[0] / alone[1] == pytest.approx(2, rel=0.02)
    assert neutral[0] / neutral[1] == pytest.approx(8, rel=0.03)


def test_exponent_towards_zero():
    """v tends to 1 everywhere: l = 0 counts atoms, and nothing is left for l > 0."""
    atoms = isolated_cluster()
    structures, species = structures_of(atoms), species_of(atoms)
    kinds = torch.tensor(species)
    counts = (structures.species[None, :] == kinds[:, None]).sum(dim=1).double()
    functions = orthonormalize(BASIS, 0)
    flat = math.sqrt(4 * math.pi) * functions.values[0] @ (functions.weights * functions.r**2)
    expected = torch.outer(counts, torch.from_numpy(flat)).flatten()
    previous = None
    for exponent in (1e-2, 1e-3):
        expansion = FieldExpansion(SmearedPotential(0.8, exponent), BASIS, 2)
        result = expand(expansion, structures, species=species)
        error = float((block(result, 0)[:, 0] - expected).abs().max())
        error += sum(float(block(result, l).abs().max()) for l in (1, 2))
        if previous is not None:
            assert error == pytest.approx(previous / 10, rel=0.05)  # linear in the exponent
        previous = error


def test_density_is_the_curvature_of_the_coulomb_potential():
    """Poisson's equation joins the two fields: k^2 V^ = 4 pi times a Gaussian of unit charge."""
    k = torch.linspace(0.1, 8, 50, dtype=torch.float64)
    density, potential = GaussianDensity(0.7), SmearedPotential(0.7, 1.0)
    charge = (2 * math.sqrt(math.pi) * 0.7) ** 1.5  # that of the Gaussian of unit L2 norm
    torch.testing.assert_close(
        potential.fourier(k) * k**2 * charge, 4 * math.pi * density.fourier(k), rtol=1e-12, atol=0
    )


BASES = {
    "gto": GaussianTypeOrbitals(3, 2.0),
    "monomial": Monomials(3, 2.0),
    "laplacian": LaplacianEigenstates(3, 2.0),
    "tabulated": TabulatedBasis.from_function(
        lambda r: np.stack([(2 - r) ** (n + 2) for n in range(3)]), 2.0
    ),
}


# every exponent and every basis: the own field is one number for each
WITH_BASES = list(itertools.product([0.0, 1.0, 2.5, 3.0, 6.0], BASES))
USUAL = [
    (0.0, "gto"),
    (1.0, "gto"),
    (1.0, "monomial"),
    (2.5, "laplacian"),
    (3.0, "monomial"),
    (6.0, "tabulated"),
]


@pytest.mark.parametrize(("exponent", "basis"), often(WITH_BASES, USUAL))
def test_center_weight_zero_removes_the_own_field_of_an_isolated_atom(exponent, basis):
    """Alone it sees nothing; among others, it sees what a ghost in its place would see."""
    basis = BASES[basis]
    field = SmearedPotential(0.7, exponent) if exponent else GaussianDensity(0.7)
    cutoff = None if exponent else 30.0
    without = FieldExpansion(field, basis, 2, cutoff, StepCutoff(), center_weight=0.0)
    single = ase.Atoms("O", positions=[[0.3, 0.2, 0.1]])
    assert (coefficients(without, single) == 0).all()

    cluster = isolated_cluster()
    ghosts = cluster.copy()
    ghosts.numbers[3] = 99  # an atom that no channel but its own hears
    structures, species = structures_of(cluster), species_of(cluster)
    with_ghost = expand(
        replace(without, center_weight=1.0), structures_of(ghosts), species=(*species, 99)
    )
    removed = expand(without, structures, species=species)
    for irrep, values in removed.blocks.items():
        kind = with_ghost.labels[irrep].values[:, 0]
        expected = with_ghost.blocks[irrep][3][:, torch.from_numpy(kind != 99)]
        assert torch.allclose(values[3], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("exponent", "basis"), often(WITH_BASES, USUAL))
def test_center_weight_zero_in_a_crystal(exponent, basis):
    """Its images stay. The weight enters linearly, and the own field is the isolated one."""
    basis = BASES[basis]
    field = SmearedPotential(0.7, exponent) if exponent else GaussianDensity(0.7)
    cutoff = None if exponent else basis.support + 7.0
    for make in (one_atom_crystal, tiny_cell, rock_salt):
        atoms = make()
        structures, species = structures_of(atoms), species_of(atoms)
        results = [
            expand(
                FieldExpansion(field, basis, 2, cutoff, StepCutoff(), center_weight=weight),
                structures,
                species=species,
                method=ReciprocalSum(1e-10),
            )
            for weight in (0.0, 0.25, 1.0)
        ]
        own = expand(
            FieldExpansion(field, basis, 2, cutoff, StepCutoff()),
            structures_of(ase.Atoms("H", positions=[[0, 0, 0]])),
            species=(1,),
            method=PairSum(1e-10),
        )
        for l in range(3):
            nothing, quarter, full = (block(r, l) for r in results)
            scale = block(results[2], 0).abs().max()
            gap = (0.75 * nothing + 0.25 * full - quarter).abs().max()
            assert gap < 1e-12 * scale
            for i, kind in enumerate(structures.species.tolist()):
                columns = torch.from_numpy(results[0].labels[Irrep(l)].values[:, 0] == kind)
                removed = (full - nothing)[i]
                assert (removed[:, columns] - block(own, l)[0]).abs().max() < 1e-9 * scale
                assert (removed[:, ~columns] == 0).all()


def test_two_methods_agree_without_the_center():
    atoms = rock_salt()
    expansion = FieldExpansion(GaussianDensity(0.6), BASIS, 3, 8.0, StepCutoff(), center_weight=0.0)
    structures, species = structures_of(atoms), species_of(atoms)
    pairs = expand(expansion, structures, species=species, method=PairSum(1e-10))
    waves = expand(expansion, structures, species=species, method=ReciprocalSum(1e-10))
    assert relative_difference(pairs, waves) < 1e-8
