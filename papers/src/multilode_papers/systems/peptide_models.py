"""Targets of peptides, and the kernels of all correlations that the models are mixed of."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from multilode.data import Dataset
from multilode.equivariants import Features
from multilode.expansion import FieldExpansion
from multilode.fields import GaussianDensity, SmearedPotential
from multilode.models import Problem, SparseKernelRidge, polynomial_kernels
from multilode.prediction import CompositionBaseline
from multilode.radial import GaussianTypeOrbitals
from multilode.representation import Representation, feature_batches
from multilode.symmetry import Irrep, tensor_kind
from multilode_papers.systems.models import Model, species_of
from multilode_papers.systems.peptide_fit import Rows

CUTOFF, SMEARING = 4.0, 0.3  # Å, as in the paper
KEY = "polarizability"

# correlation and power of its kernel
TERMS: dict[str, tuple[tuple[str, str], int]] = {
    "(rho x rho)^2": (("rho", "rho"), 2),
    "rho x rho": (("rho", "rho"), 1),
    "rho x V": (("rho", "V1"), 1),
    "rho x V3": (("rho", "V3"), 1),
    "rho x V6": (("rho", "V6"), 1),
}


@final
@dataclass(frozen=True, kw_only=True)
class Part:
    """An irreducible part of the polarizability, and how it is learned.

    Args:
        degree: 0 for the trace (divided by the root of 3), 2 for the anisotropic part.
        n_radial: radial functions.
        max_angular: largest l.
        n_active: active environments of each kernel; each has 2 degree + 1 columns.
        n_explored: structures among which they are chosen, half of them dipeptides if possible.
    """

    degree: int
    n_radial: int
    max_angular: int
    n_active: int
    n_explored: int

    @property
    def irrep(self) -> Irrep:
        """Its symmetry."""
        return Irrep(self.degree)

    @property
    def components(self) -> int:
        """Its number of components."""
        return 2 * self.degree + 1

    def values(self, dataset: Dataset) -> Float[Tensor, "row 1"]:
        """Components of all structures, structure major, in atomic units."""
        tensors = torch.from_numpy(dataset.column(KEY)).double()
        blocks = tensor_kind("symmetric").to_spherical(tensors.reshape(-1, 9))
        return blocks[self.irrep].reshape(-1, 1)

    def baseline(
        self, train: Dataset, test: Dataset
    ) -> tuple[Float[Tensor, "row 1"], Float[Tensor, "new 1"]]:
        """A constant for each atom of a species; zero for what rotates."""
        if self.degree:
            sizes = [len(part) * self.components for part in (train, test)]
            return torch.zeros(sizes[0], 1).double(), torch.zeros(sizes[1], 1).double()
        fitted = CompositionBaseline().fit(train.structures, self.values(train), reduce="sum")
        return fitted.predict(train.structures), fitted.predict(test.structures)

    def model(self, species: tuple[int, ...], terms: tuple[str, ...], seed: int) -> Model:
        """All these kernels with the settings of this part."""
        basis = GaussianTypeOrbitals(self.n_radial, CUTOFF)
        fields = {
            f"V{p}": FieldExpansion(SmearedPotential(SMEARING, float(p)), basis, self.max_angular)
            for p in (1, 3, 6)
        }
        rho = FieldExpansion(
            GaussianDensity(SMEARING), basis, self.max_angular, neighbor_cutoff=CUTOFF
        )
        fields = {"rho": rho, **fields}
        used = {name for term in terms for name in TERMS[term][0]}
        return Model(
            name=" + ".join(terms),
            fields={name: field for name, field in fields.items() if name in used},
            products=tuple(TERMS[term][0] for term in terms),
            estimator=SparseKernelRidge(
                kernel=polynomial_kernels(zeta=tuple(TERMS[term][1] for term in terms)),
                n_active=self.n_active,
                n_explored=self.n_explored,
                seed=seed,
                uncertainty=False,
            ),
            centers=species,
        )


@final
@dataclass(frozen=True, kw_only=True)
class Kernels:
    """Features of all terms for both sets.

    Args:
        train: of the training set, with targets less the baseline.
        test: of the test set, term by term.
        added: the baseline of the test set.
        reference: the targets of the test set.
        names: of the terms of the training set.
    """

    train: Rows
    test: dict[str, Float[Tensor, "new _"]]
    added: Float[Tensor, "new 1"]
    reference: Float[Tensor, "new 1"]
    names: tuple[str, ...]

    def of(self, terms: tuple[str, ...]) -> Rows:
        """The training set of a model with these terms."""
        return self.train.of_terms([self.names.index(term) for term in terms])


def kernels(
    part: Part, train: Dataset, test: Dataset, terms: tuple[str, ...], seed: int
) -> Kernels:
    """Compare all structures with active environments of the training set.

    Args:
        part: the part of the tensor to learn.
        train: the training set.
        test: the test set.
        terms: names in `TERMS`.
        seed: of the structures among which active environments are chosen.
    """
    species = species_of(train, test)
    model = part.model(species, terms, seed)
    recipe = model.representation(species)
    if part.degree:
        irreps = (Irrep(0), part.irrep)  # kernels of equivariants are multiplied with invariants
        recipe = Representation(**{**vars(recipe), "irreps": irreps})
    few = train.select(_explored(train, part.n_explored, seed))
    problem = Problem.of(recipe, irrep=part.irrep)
    own = model.estimator.map(problem, lambda *_: _batches(recipe, few))
    designs = [own.collect(_batches(recipe, data)) for data in (train, test)]
    subtracted, added = part.baseline(train, test)
    return Kernels(
        train=Rows(
            terms=designs[0].columns,
            y=part.values(train) - subtracted,
            judged=torch.from_numpy(residues(train) > 1),
            components=part.components,
        ),
        test=dict(zip(terms, designs[1].columns, strict=True)),
        added=added,
        reference=part.values(test),
        names=terms,
    )


def residues(dataset: Dataset) -> Int[np.ndarray, " structure"]:
    """Number of amino acids of each molecule."""
    return dataset.column("kind").astype(int)


def subset(dataset: Dataset, amino_acids: int, dipeptides: int, seed: int) -> list[int]:
    """Random amino acids and dipeptides; with the same seed smaller sets are in larger ones."""
    rng, kind = np.random.default_rng(seed), residues(dataset)
    single, double = (rng.permutation(np.flatnonzero((kind > 1) == many)) for many in (False, True))
    return [*single[:amino_acids].tolist(), *double[:dipeptides].tolist()]


def _explored(dataset: Dataset, n: int, seed: int) -> list[int]:
    double = min(n // 2, int((residues(dataset) > 1).sum()))
    return subset(dataset, n - double, double, seed)


def _batches(recipe: Representation, dataset: Dataset) -> Iterator[Features]:
    with dataset.naming_frames():
        yield from feature_batches(recipe, dataset.structures, batch_atoms=512)
