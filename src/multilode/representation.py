"""The recipe from structures to features: which fields, on which bases, correlated how."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import torch

from multilode.correlations import (
    one_point,
    one_point_labels,
    power_spectrum,
    power_spectrum_labels,
)
from multilode.equivariants import Equivariants
from multilode.expand import FieldExpansion, check_method, expand
from multilode.features import FeatureLabels, Features
from multilode.radial_integrals import check_tolerance
from multilode.structures import Structures


@final
@dataclass(frozen=True, kw_only=True)
class Representation:
    """Invariant features around every center of the chosen species.

    Args:
        expansions: named fields with their bases.
        correlations: names to correlate: one name for one-point invariants, two for the power
            spectrum of two fields, or of one with itself.
        species: atomic numbers that may occur, ascending; they come from the training set.
        centers: atomic numbers of the atoms that carry features.
        method: how expansions without a cutoff are done, "auto" or a name in `expand.METHODS`.
        tolerance: relative accuracy of the expansion coefficients, from 1e-12 to 1e-2; by default
            1e-8, and 1e-4 in single precision.

    Raises:
        ValueError: if a name is unknown, fields that are multiplied differ in `max_angular`, or the
            tolerance is out of range.
        TypeError: if the method is no name, or the tolerance no number.
    """

    expansions: Mapping[str, FieldExpansion]
    correlations: tuple[tuple[str, ...], ...]
    species: tuple[int, ...]
    centers: tuple[int, ...]
    method: str = "auto"
    tolerance: float | None = None

    def __post_init__(self) -> None:
        if list(self.species) != sorted(set(self.species)) or not self.species:
            raise ValueError(f"species must ascend without repetition, got {self.species}")
        if not self.centers or not set(self.centers) <= set(self.species):
            raise ValueError(f"centers {self.centers} must be among the species {self.species}")
        if not self.correlations:
            raise ValueError("a representation needs at least one correlation, such as (rho, rho)")
        for names in self.correlations:
            self._check_correlation(names)
        check_method(self.method)
        if self.tolerance is not None:
            check_tolerance(self.tolerance)

    def _check_correlation(self, names: tuple[str, ...]) -> None:
        unknown = [name for name in names if name not in self.expansions]
        if unknown:
            raise ValueError(
                f"correlation {list(names)} names the field '{unknown[0]}'; "
                f"defined are {sorted(self.expansions)}"
            )
        if len(names) not in (1, 2):
            raise ValueError(f"correlation {list(names)} must join one or two fields")
        degrees = {name: self.expansions[name].max_angular for name in names}
        if len(set(degrees.values())) > 1:
            raise ValueError(
                f"correlation {list(names)} joins fields with max_angular {degrees}; "
                "make them equal"
            )

    def compute(self, structures: Structures) -> Features:
        """Features of all centers in the batch, differentiable in positions and cells.

        Raises:
            ValueError: if a structure has a species that is not in `species`.
        """
        wanted = torch.tensor(self.centers, device=structures.species.device)
        centers = torch.isin(structures.species, wanted).nonzero().flatten()
        used = {name for names in self.correlations for name in names}
        fields = {
            name: expand(
                expansion,
                structures,
                species=self.species,
                centers=centers,
                method=self.method,
                tolerance=self.tolerance,
            )
            for name, expansion in self.expansions.items()
            if name in used
        }
        computed = [_correlate([fields[name] for name in names]) for names in self.correlations]
        return Features(
            terms=tuple(values for values, _ in computed),
            labels=tuple(labels for _, labels in computed),
            structure_index=structures.structure_index[centers],
            atom_index=centers,
            center_species=structures.species[centers],
            n_structures=structures.n_structures,
        )


def _correlate(factors: list[Equivariants]) -> tuple[torch.Tensor, FeatureLabels]:
    if len(factors) == 1:
        return one_point(factors[0]), one_point_labels(factors[0])
    return power_spectrum(*factors), power_spectrum_labels(*factors)
