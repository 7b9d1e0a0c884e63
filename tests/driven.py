"""Small models of the energy of salts, and structures to drive with them."""

import numpy as np
from ase import Atoms
from ase.build import bulk

from multilode.data.ase_atoms import from_ase
from multilode.expansion import FieldExpansion
from multilode.fields import GaussianDensity
from multilode.models import KernelRidge, Ridge, polynomial_kernels
from multilode.models.network import Network
from multilode.models.targets import Target
from multilode.prediction.predictor import Predictor
from multilode.prediction.training import train
from multilode.radial import GaussianTypeOrbitals
from multilode.representation.representation import Representation
from salt import committee_of_four, representation

NETWORK = Network(
    channels=3, hidden=4, charges=1, dipoles=0, dtype="float64", steps=4, batch_atoms=9, average=5,
    validation=0.4,
)  # fmt: skip
ESTIMATORS = {
    "linear": Ridge(regularization=1e-6, term_weights=(1.0,)),
    "kernel": KernelRidge(kernel=polynomial_kernels(zeta=2), regularization=1e-8),
    "committee": committee_of_four(),
    "network": NETWORK,
}
PERIODS = {"crystal": True, "slab": (True, True, False), "molecule": False}


def salt(kind: str, seed: int = 0) -> Atoms:
    """Four atoms out of order, in a skewed cell."""
    atoms = bulk("NaCl", "rocksalt", a=5.6) * (1, 1, 2)
    atoms.rattle(0.15, seed=seed)
    atoms.pbc = PERIODS[kind]
    return atoms


def model(name: str, *, unit: str = "eV", key: str = "energy") -> Predictor:
    """Of a pair energy of crystals and molecules; species are not alike."""
    images = [salt("molecule" if k % 2 else "crystal", seed=k) for k in range(16)]
    distances = (image.get_all_distances() + 10 * np.eye(4) for image in images)
    pairs = zip(distances, images, strict=True)
    y = np.array([np.exp(-d).sum() + image.numbers.sum() for d, image in pairs])
    target = Target(key=key, unit=unit)
    structures = from_ase(images).structures
    return train(representation(), structures, target, y=y[:, None], estimator=ESTIMATORS[name])


def dipole_model() -> Predictor:
    """Of vectors, in atomic units."""
    radial = GaussianTypeOrbitals(2, 3.0)
    density = FieldExpansion(GaussianDensity(0.6), radial, 1, neighbor_cutoff=3.0)
    recipe = Representation(
        fields={"rho": density}, products=(("rho",),), species=(11, 17), centers=(11, 17)
    )
    images = [salt("molecule", seed=k) for k in range(12)]
    signs = np.where(images[0].numbers == 11, 1.0, -1.0)
    y = np.array([signs @ image.positions for image in images])
    target = Target(key="dipole", unit="e*bohr", tensor="vector")
    estimator = Ridge(regularization=1e-6, term_weights=(1.0,))
    return train(recipe, from_ase(images).structures, target, y=y, estimator=estimator)
