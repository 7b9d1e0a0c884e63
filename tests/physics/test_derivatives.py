"""Derivatives of coefficients and features: autograd against finite differences."""

from dataclasses import replace

import ase
import pytest
import torch

from crystals import (
    isolated_cluster,
    rock_salt,
    species_of,
    stacked,
    structures_of,
    triclinic_perovskite,
    water_in_box,
)
from multilode.expansion import FieldExpansion, expand
from multilode.fields import GaussianDensity, SmearedPotential
from multilode.fields.cutoffs import RadialScaling, ShiftedCosine
from multilode.radial import GaussianTypeOrbitals, LaplacianEigenstates, Monomials
from multilode.representation.representation import Representation

BASIS = Monomials(2, 1.5)
DENSITY = FieldExpansion(GaussianDensity(0.6), BASIS, 2, 2.6, ShiftedCosine(1.0))
SCALED = FieldExpansion(GaussianDensity(0.6), BASIS, 2, 2.6, RadialScaling(1.0, 2.0, 1.0, 1.2), 0.5)
COULOMB = FieldExpansion(SmearedPotential(0.9, 1.0), BASIS, 2)
DISPERSION = FieldExpansion(SmearedPotential(0.9, 6.0), GaussianTypeOrbitals(2, 1.5), 2)
ODD = FieldExpansion(SmearedPotential(0.9, 2.5), LaplacianEigenstates(2, 1.5), 1, None)


def molecule() -> ase.Atoms:
    return ase.Atoms("HOH", positions=[[0.9, 0.1, 0.0], [0.0, 0.05, -0.1], [-0.3, 0.9, 0.2]])


def crystal() -> ase.Atoms:
    cell = [[2.4, 0.0, 0.2], [0.5, 2.2, 0.0], [-0.3, 0.4, 2.6]]
    return ase.Atoms("HO", positions=[[0.1, 0.2, 0.3], [1.3, 1.0, 1.4]], cell=cell, pbc=True)


def one_atom() -> ase.Atoms:
    cell = [[2.0, 0.1, 0.0], [0.6, 1.9, 0.1], [0.2, -0.5, 2.2]]
    return ase.Atoms("H", positions=[[0.3, -0.2, 0.1]], cell=cell, pbc=True)


PATHS = {
    "density, isolated": (DENSITY, molecule),
    "density, periodic": (DENSITY, crystal),
    "scaled density, periodic": (SCALED, crystal),
    "p = 1, isolated": (COULOMB, molecule),
    "p = 6, isolated": (DISPERSION, molecule),
    "p = 2.5, isolated": (ODD, molecule),
    "p = 1, crystal": (COULOMB, crystal),
    "p = 6, crystal": (DISPERSION, crystal),
    "p = 2.5, crystal": (ODD, crystal),
    "p = 1, one atom": (COULOMB, one_atom),
}


def inputs(structures):
    return [t.detach().clone().requires_grad_() for t in (structures.positions, structures.cell)]


def coefficient_function(expansion, atoms):
    """Coefficients as a function of positions and cell, weighted to a few numbers.

    Random weights see every coefficient and keep gradgradcheck, which works through the whole
    Jacobian, affordable.
    """
    structures, species = structures_of(atoms), species_of(atoms)

    def function(positions, cell):
        moved = replace(structures, positions=positions, cell=cell)
        values = stacked(expand(expansion, moved, species=species))
        generator = torch.Generator().manual_seed(1)
        weights = torch.randn(2, *values.shape, generator=generator, dtype=torch.float64)
        return (weights * values).sum(dim=(1, 2))

    return function, inputs(structures)


def spectrum_function(density, potential, atoms):
    """The same for all three power spectra and both one-point invariants."""
    structures, species = structures_of(atoms), species_of(atoms)
    recipe = Representation(
        fields={"rho": density, "V": potential},
        products=(("rho", "rho"), ("rho", "V"), ("V", "V"), ("rho",), ("V",)),
        species=species,
        centers=species,
    )

    def function(positions, cell):
        moved = replace(structures, positions=positions, cell=cell)
        values = recipe.compute(moved).joined()
        generator = torch.Generator().manual_seed(2)
        weights = torch.randn(2, *values.shape, generator=generator, dtype=torch.float64)
        return (weights * values).sum(dim=(1, 2))

    return function, inputs(structures)


@pytest.mark.parametrize("path", PATHS)
def test_gradients_of_coefficients(path):
    expansion, make = PATHS[path]
    function, arguments = coefficient_function(expansion, make())
    assert torch.autograd.gradcheck(function, arguments, eps=1e-5, atol=1e-7, rtol=1e-5)


@pytest.mark.parametrize("path", PATHS)
def test_second_derivatives_of_coefficients(path):
    expansion, make = PATHS[path]
    function, arguments = coefficient_function(expansion, make())
    how = {"eps": 1e-5, "fast_mode": True}  # along random directions
    assert torch.autograd.gradgradcheck(function, arguments, atol=1e-6, rtol=1e-4, **how)


@pytest.mark.parametrize("make", [molecule, crystal, one_atom])
def test_first_and_second_derivatives_of_features(make):
    function, arguments = spectrum_function(DENSITY, COULOMB, make())
    how = {"eps": 1e-5, "fast_mode": True}  # along random directions
    assert torch.autograd.gradcheck(function, arguments, atol=1e-7, rtol=1e-5, **how)
    assert torch.autograd.gradgradcheck(function, arguments, atol=1e-6, rtol=1e-4, **how)


def test_training_on_forces():
    """The derivative of a squared force, where a peer had the wrong sign."""
    function, arguments = spectrum_function(DENSITY, COULOMB, crystal())

    def squared_force(positions, cell):
        (force,) = torch.autograd.grad(function(positions, cell)[0], positions, create_graph=True)
        return force.square().sum()

    assert torch.autograd.gradcheck(squared_force, arguments, eps=1e-5, atol=1e-6, rtol=1e-5)


RECIPE_FIELDS = {
    "rho": FieldExpansion(GaussianDensity(0.4), GaussianTypeOrbitals(4, 3.0), 3, 3.0),
    "V": FieldExpansion(SmearedPotential(0.8, 1.0), GaussianTypeOrbitals(4, 3.0), 3),
}
REALISTIC = {
    "cluster": isolated_cluster,
    "molecule in a box": water_in_box,
    "rock salt": rock_salt,
    "triclinic": triclinic_perovskite,
}


def five_point(function, step=2e-5):
    """Slope at 0. A small step: the cosine cutoff has a kink in its second derivative."""
    values = [float(function(n * step)) for n in (-2, -1, 1, 2)]
    return (values[0] - 8 * values[1] + 8 * values[2] - values[3]) / (12 * step)


def norm_of_features(atoms):
    """A scalar of all features at realistic size, as a function of positions and strain."""
    structures, species = structures_of(atoms), species_of(atoms)
    recipe = Representation(
        fields=RECIPE_FIELDS,
        products=(("rho", "rho"), ("rho", "V"), ("V", "V")),
        species=species,
        centers=species,
    )

    def energy(positions, strain):
        deformation = torch.eye(3, dtype=torch.float64) + strain
        moved = replace(
            structures, positions=positions @ deformation, cell=structures.cell @ deformation
        )
        return recipe.compute(moved).joined().square().sum()

    return structures, energy


@pytest.mark.parametrize("name", REALISTIC)
def test_forces_by_finite_differences(name):
    structures, energy = norm_of_features(REALISTIC[name]())
    positions, strain = structures.positions.clone().requires_grad_(), torch.zeros(3, 3).double()
    (gradient,) = torch.autograd.grad(energy(positions, strain), positions)
    direction = torch.randn(positions.shape, generator=torch.Generator().manual_seed(3)).double()
    with torch.no_grad():
        slope = five_point(lambda t: energy(positions + t * direction, strain))
    assert float((gradient * direction).sum()) == pytest.approx(slope, rel=1e-6)
    assert gradient.sum(dim=0).abs().max() < 1e-9 * gradient.abs().max()  # acoustic sum rule


@pytest.mark.parametrize("name", ["molecule in a box", "rock salt", "triclinic"])
def test_stress_by_finite_differences(name):
    structures, energy = norm_of_features(REALISTIC[name]())
    strain = torch.zeros(3, 3, dtype=torch.float64).requires_grad_()
    (gradient,) = torch.autograd.grad(energy(structures.positions, strain), strain)
    scale = float(gradient.abs().max())
    for a, b in ((0, 0), (1, 2), (2, 0)):
        unit = torch.zeros(3, 3, dtype=torch.float64)
        unit[a, b] = 1
        with torch.no_grad():
            slope = five_point(lambda t, u=unit: energy(structures.positions, t * u))
        assert float(gradient[a, b]) == pytest.approx(slope, rel=1e-6, abs=1e-6 * scale)
    # a rotation changes nothing: the virial is symmetric
    assert (gradient - gradient.T).abs().max() < 1e-8 * scale


@pytest.mark.parametrize("name", REALISTIC)
def test_single_precision(name):
    """Features and forces in float32 are those of float64 to the digits that float32 has."""
    atoms = REALISTIC[name]()
    species = species_of(atoms)
    recipe = Representation(
        fields=RECIPE_FIELDS,
        products=(("rho", "rho"), ("rho", "V")),
        species=species,
        centers=species,
    )
    results = []
    for dtype in (torch.float64, torch.float32):
        structures = structures_of(atoms).to(dtype=dtype)
        positions = structures.positions.clone().requires_grad_()
        features = recipe.compute(replace(structures, positions=positions)).joined()
        assert features.dtype == dtype
        (gradient,) = torch.autograd.grad(features.square().sum(), positions)
        assert gradient.dtype == dtype
        results.append((features.detach().double(), gradient.double()))
    for double, single in zip(*results, strict=True):
        assert (double - single).abs().max() < 3e-5 * double.abs().max()
        assert (double - single).abs().max() > 0


def test_gradients_do_not_depend_on_the_batch():
    atoms = [water_in_box(), triclinic_perovskite(), isolated_cluster()]
    species = species_of(*atoms)
    expansion = RECIPE_FIELDS["V"]

    def gradients(batch):
        structures = structures_of(*batch)
        positions, cell = inputs(structures)
        moved = replace(structures, positions=positions, cell=cell)
        values = stacked(expand(expansion, moved, species=species))
        return torch.autograd.grad(values.square().sum(), (positions, cell), materialize_grads=True)

    together = gradients(atoms)
    alone = [gradients([a]) for a in atoms]
    for n in range(2):
        expected = torch.cat([pair[n] for pair in alone])
        assert (together[n] - expected).abs().max() < 1e-11 * expected.abs().max()
