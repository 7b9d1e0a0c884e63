"""A kernel of one's own in a sparse committee with forces and error bars; some seconds."""

from dataclasses import dataclass

import torch
from ase import Atoms
from ase.build import molecule
from ase.calculators.emt import EMT
from ase.io import write

import multilode as ml
from multilode.cli.main import run
from multilode.models import KERNELS, AbstractKernel, Points
from multilode.testing import check_kernel


@dataclass(frozen=True, kw_only=True)
class RationalQuadratic(AbstractKernel):
    """(1 + |u - u'|^2 / 2 a w^2)^-a of invariants; of equivariants, times their products."""

    width: float = 2.0
    alpha: float = 2.0
    uses_invariants = True

    def prepare(self, points: Points) -> Points:
        return points

    def between(self, left: Points, right: Points) -> torch.Tensor:
        u, v = left.of_invariants().values, right.of_invariants().values
        squares = u.square().sum(1)[:, None] + v.square().sum(1) - 2 * u @ v.T
        values = (1 + squares.clamp(min=0) / (2 * self.alpha * self.width**2)) ** -self.alpha
        return values if left.invariants is None else values * (left.values @ right.values.T)

    def power(self, points: Points) -> None:
        """None: it is no power of a scalar product."""

    def written(self, term: str) -> str:
        return f"(1 + |{term}|^2 / {2 * self.alpha * self.width**2:g})^-{self.alpha:g}"


def methanol(seed: int) -> Atoms:
    """A shaken molecule with energy and forces of effective medium theory."""
    atoms = molecule("CH3OH", calculator=EMT())
    atoms.rattle(0.05, seed=seed)
    atoms.get_forces()
    return atoms


KERNELS["rational quadratic"] = RationalQuadratic
check_kernel(RationalQuadratic(width=0.7))
train, test = [methanol(i) for i in range(40)], [methanol(i) for i in range(100, 120)]
committee = ml.Committee(estimator=ml.SparseKernelRidge(kernel=RationalQuadratic(), n_active=60))
model = ml.train(ml.features(), train, "energy", forces="forces", estimator=committee)
print(ml.evaluate(model, test, forces="forces"))
ml.save(model, "model.safetensors")
again, found = ml.load("model.safetensors"), model.predict(test, std=True, forces=True)
print("error bars in eV:", found.std[:4].tolist())
torch.testing.assert_close(again.predict(test, forces=True).forces, found.forces)
write("molecules.xyz", train)  # the same from a configuration
run(["train", "committee.yaml", "-o", "run", "--overwrite"])  # as the command line does
