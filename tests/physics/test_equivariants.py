"""What equivariants of several fields must do in structures: rotate, and tell them apart."""

import itertools

import ase
import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from crystals import isolated_cluster, species_of, structures_of, triclinic_perovskite
from multilode.correlations import (
    ContractionSettings,
    correlate,
    fit_contraction,
    power_spectrum,
)
from multilode.equivariants.blocks import Equivariants
from multilode.equivariants.labels import expansion_labels
from multilode.expansion import FieldExpansion, expand
from multilode.fields import GaussianDensity, SmearedPotential
from multilode.fields.cutoffs import ShiftedCosine
from multilode.radial import GaussianTypeOrbitals
from multilode.symmetry.harmonics import spherical_harmonics
from multilode.symmetry.irrep import Irrep
from multilode.testing import check_equivariance
from often import often

IRREPS = [Irrep(l, parity) for l in range(5) for parity in (1, -1)]
ORDERS = [(n, m) for n in range(5) for m in range(5 - n) if n + m >= 1]


def fields(structures, species, n_radial, max_angular):
    basis = GaussianTypeOrbitals(n_radial, 2.5)
    density = FieldExpansion(GaussianDensity(0.5), basis, max_angular, 5.0, ShiftedCosine(1.0))
    potential = FieldExpansion(SmearedPotential(0.8, 1.0), basis, max_angular)
    return tuple(
        expand(e, structures, species=species, centers=torch.tensor([0, 3]), tolerance=1e-11)
        for e in (density, potential)
    )


def orthogonal(seed, *, improper):
    matrix = Rotation.random(random_state=np.random.default_rng(seed)).as_matrix()
    return torch.from_numpy(-matrix if improper else matrix.copy())


@pytest.mark.parametrize("improper", [False, True])
@pytest.mark.parametrize("make", [isolated_cluster, triclinic_perovskite])
def test_expansions_rotate(make, improper):
    atoms = make()
    for number in (0, 1):
        check_equivariance(
            lambda s, number=number: fields(s, species_of(atoms), 2, 3)[number],
            structures_of(atoms),
            orthogonal(1, improper=improper),
        )


def chain(structures, species, order):
    """All irreps that rho^nu V^nu' has and that do not vanish."""
    n_radial, max_angular = ((2, 4), (2, 4), (2, 3), (1, 2))[sum(order) - 1]
    rho, potential = fields(structures, species, n_radial, max_angular)
    factors = [rho] * order[0] + [potential] * order[1]
    blocks, labels = {}, {}
    for irrep in IRREPS:
        try:
            found = correlate(factors, [irrep])
        except ValueError:  # one field has no parity -1, two fields no pseudoscalar
            assert irrep.parity == -1
            assert len(factors) == 1 or (len(factors) == 2 and irrep.degree in (0, 4))
            continue
        blocks[irrep], labels[irrep] = found.blocks[irrep], found.labels[irrep]
    return Equivariants(blocks, labels, rho.centers)


# an improper rotation is a proper one and a parity: the proper one alone finds less
TURNED = list(itertools.product(ORDERS, (False, True)))


@pytest.mark.parametrize(
    ("order", "improper"), often(TURNED, [(o, i) for o, i in TURNED if i or sum(o) < 3])
)
def test_correlations_rotate(order, improper):
    """All rho^nu V^nu' up to four factors and lambda = 4, of both parities."""
    atoms = isolated_cluster()
    check_equivariance(
        lambda s: chain(s, species_of(atoms), order),
        structures_of(atoms),
        orthogonal(2, improper=improper),
    )


def test_contracted_correlations_rotate():
    """The projection mixes channels, not components."""
    atoms = isolated_cluster()
    structures, species = structures_of(atoms), species_of(atoms)

    def factors(s):
        rho, potential = fields(s, species, 2, 3)
        return [rho, rho, potential]

    irreps = [Irrep(0), Irrep(1), Irrep(2, -1)]
    fitted = fit_contraction([factors(structures)], irreps, ContractionSettings(max_features=6))
    check_equivariance(
        lambda s: correlate(factors(s), irreps, fitted),
        structures,
        orthogonal(3, improper=True),
    )


def environments(count, n_neighbors, n_radial, max_angular, seed):
    """Neighbors at points r, and sums over them of r^n Y_lm: the exact basis of polynomials."""
    generator = torch.Generator().manual_seed(seed)
    vectors = torch.randn(count, n_neighbors, 3, generator=generator, dtype=torch.float64)
    distances = 0.5 + torch.rand(count, n_neighbors, 1, generator=generator, dtype=torch.float64)
    vectors = vectors / vectors.norm(dim=2, keepdim=True) * distances
    angular = spherical_harmonics(vectors.reshape(-1, 3), max_angular)
    angular = angular.reshape(count, n_neighbors, -1)
    radial = distances ** torch.arange(n_radial)
    labels = expansion_labels((1,), n_radial)
    blocks = {
        Irrep(l): torch.einsum("ijm,ijn->imn", angular[:, :, l * l : (l + 1) ** 2], radial)
        for l in range(max_angular + 1)
    }
    return vectors, Equivariants(blocks, dict.fromkeys(blocks, labels), torch.arange(count))


def misfit(field, order, target, n_train):
    """Largest error of a linear model on environments that it has not seen, over their spread."""
    x = correlate([field] * order, [Irrep(0)]).blocks[Irrep(0)][:, 0]
    x = x / x.abs().amax(dim=0).clamp(min=1e-300)
    weights = torch.linalg.lstsq(x[:n_train], target[:n_train, None], driver="gelsd").solution
    error = (x[n_train:] @ weights)[:, 0] - target[n_train:]
    return float(error.abs().max() / target[n_train:].std())


def test_two_factors_are_all_polynomials_of_three_bodies():
    """Of two distances and an angle, such as the fourth power of the distance of two neighbors."""
    vectors, field = environments(150, 5, n_radial=5, max_angular=2, seed=4)
    target = (torch.cdist(vectors, vectors) ** 4).sum(dim=(1, 2))
    assert misfit(field, 2, target, 100) < 1e-8
    assert misfit(field, 1, target, 100) > 0.1


def test_three_factors_are_all_polynomials_of_four_bodies():
    """Such as the product of the three squared distances of three neighbors."""
    vectors, field = environments(900, 5, n_radial=5, max_angular=2, seed=5)
    squares = torch.cdist(vectors, vectors) ** 2
    target = torch.einsum("ijk,ikh,ihj->i", squares, squares, squares)
    assert misfit(field, 3, target, 800) < 1e-6
    assert misfit(field, 2, target, 800) > 0.01


def test_handedness_is_a_pseudoscalar_of_three_factors():
    """sum r_k^2 r_h^4 r_j . (r_k x r_h): linear in the block (0, -1), which is one column of it."""
    vectors, field = environments(60, 4, n_radial=7, max_angular=1, seed=6)
    squares = (vectors**2).sum(dim=2)
    triple = torch.einsum(
        "ija,ikb,ihc,abc,ik,ih->i",
        vectors, vectors, vectors, LEVI_CIVITA, squares, squares**2,
    )  # fmt: skip
    x = correlate([field] * 3, [Irrep(0, -1)])
    columns = x.labels[Irrep(0, -1)].values.tolist()
    names = x.labels[Irrep(0, -1)].names
    wanted = [dict(zip(names, row, strict=True)) for row in columns]
    (column,) = [
        k for k, row in enumerate(wanted) if {row["n_1"], row["n_2"], row["n_3"]} == {1, 3, 5}
    ]
    value = x.blocks[Irrep(0, -1)][:, 0, column]
    # Y_1 = sqrt(3 / 4 pi) r, a cross product over sqrt2, a scalar product over sqrt3, 6 orders
    factor = (3 / (4 * np.pi)) ** 1.5 / 2**0.5 / 3**0.5 * 6**0.5
    torch.testing.assert_close(value, factor * triple, rtol=1e-10, atol=1e-10)


LEVI_CIVITA = torch.tensor(
    [[[(a - b) * (b - c) * (c - a) / 2 for c in range(3)] for b in range(3)] for a in range(3)],
    dtype=torch.float64,
)


def methane_like(steps):
    """Hydrogen on a cone around carbon, at multiples of 45 degrees."""
    angles = np.pi / 4 * np.array(steps)
    ring = np.stack([np.cos(angles), np.sin(angles), np.full(4, 0.4)], axis=1)
    return ase.Atoms("CH4", positions=np.vstack([np.zeros(3), 1.1 * ring]))


def test_three_factors_tell_apart_what_two_cannot():
    """Equal distances and angles around the center, but different triangles."""
    both = [methane_like(steps) for steps in ((0, 1, 2, 5), (0, 1, 3, 4))]
    structures = structures_of(*both)
    expansion = FieldExpansion(
        GaussianDensity(0.3), GaussianTypeOrbitals(3, 3.0), 4, 4.0, ShiftedCosine(0.5)
    )
    field = expand(expansion, structures, species=(1, 6), centers=torch.tensor([0, 5]))
    second = power_spectrum(field, field)
    assert float((second[0] - second[1]).abs().max()) < 1e-9 * float(second.abs().max())
    third = correlate([field] * 3, [Irrep(0)]).blocks[Irrep(0)][:, 0]
    assert float((third[0] - third[1]).abs().max()) > 1e-3 * float(third.abs().max())
