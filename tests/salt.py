"""Small models of the energy of a salt, for tests of what is done with them."""

from collections.abc import Sequence

import numpy as np
import torch
from ase import Atoms
from ase.build import bulk

from multilode.data.ase_atoms import from_ase
from multilode.expansion import FieldExpansion
from multilode.fields import GaussianDensity, SmearedPotential
from multilode.models import AbstractEstimator, Committee, Ridge
from multilode.models.targets import Target
from multilode.prediction.predictor import Predictor
from multilode.prediction.training import train
from multilode.radial import GaussianTypeOrbitals
from multilode.representation.representation import Representation


def crystals(n: int) -> list[Atoms]:
    """Cells of rock salt with two atoms, deformed and out of order."""
    rng = np.random.default_rng(2)
    images = []
    for _ in range(n):
        image = bulk("NaCl", "rocksalt", a=5.6 * rng.uniform(0.95, 1.05), cubic=False)
        image.rattle(0.1, seed=int(rng.integers(1e6)))
        images.append(image)
    return images


def representation() -> Representation:
    """Of few numbers, with a long-ranged field."""
    radial = GaussianTypeOrbitals(2, 3.0)
    return Representation(
        fields={
            "rho": FieldExpansion(GaussianDensity(0.6), radial, 1, neighbor_cutoff=3.0),
            "V": FieldExpansion(SmearedPotential(1.2, 1.0), radial, 1),
        },
        products=(("rho", "V"),),
        species=(11, 17),
        centers=(11, 17),
    )


def committee_of_four() -> Committee:
    """Of small linear models."""
    linear = Ridge(regularization=1e-6, term_weights=(1.0,))
    return Committee(estimator=linear, n_members=4, fraction=0.5)


def trained(
    estimator: AbstractEstimator, reduce: str = "sum", *, images: Sequence[Atoms] = ()
) -> Predictor:
    """A model of an energy that is a function of the volume; by default of ten crystals."""
    images = list(images) or crystals(10)
    y = np.array([1e-3 * (image.get_volume() - 45) ** 2 for image in images])
    return train(
        representation(),
        from_ase(images).structures,
        y=torch.from_numpy(y),
        target=Target(key="energy", unit="eV", reduce=reduce),
        estimator=estimator,
    )
