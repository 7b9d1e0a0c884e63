"""Kernels of equivariants between the structures of a family, one irrep at a time."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import final

import numpy as np
import torch
from jaxtyping import Float, Int
from tensor_families import Family, Term, Zeta
from torch import Tensor

from multilode.models import KernelRidge
from multilode.models.environments import Environments, EnvironmentTerms
from multilode.representation.batches import feature_batches
from multilode.representation.recipe import Representation
from multilode.structures.batch import Structures
from multilode.symmetry.cartesian import tensor_kind
from multilode.symmetry.irrep import Irrep

LARGEST_RANK = 500  # principal components of the features of a kernel
TOLERANCE = 1e-5  # of potentials: three times faster in crystals than the default
LOST = 1e-9  # of their variance, where fewer suffice
_ROWS = 20_000  # to which the principal components are fitted, at most


@final
@dataclass(frozen=True, kw_only=True)
class IrrepKernels:
    """Kernels of one irrep.

    Args:
        irrep: of the features.
        between: [component of any structure, component of a trained one] by term, power and
            species of the centers.
        columns: place of each structure among the trained ones; -1 for the others.
    """

    irrep: Irrep
    between: dict[tuple[Term, Zeta, int], Float[Tensor, "row column"]]
    columns: Int[Tensor, " structure"]

    @property
    def size(self) -> int:
        """Components of the irrep."""
        return 2 * self.irrep.degree + 1

    def of(
        self, terms: Iterable[Term], zeta: Zeta, centers: tuple[int, ...]
    ) -> tuple[Float[Tensor, "row column"], ...]:
        """One kernel per term, of all centers of the species."""
        return tuple(
            torch.stack([self.between[term, zeta, species] for species in centers]).sum(dim=0)
            for term in terms
        )


def irreps_of(family: Family) -> tuple[Irrep, ...]:
    """What the tensors of a family consist of."""
    kinds = [tensor_kind(p.tensor) for p in family.data.properties.values()]
    return tuple(sorted({irrep for kind in kinds for irrep in kind.irreps}))


def all_kernels(family: Family, structures: Structures, folder: Path) -> Iterator[IrrepKernels]:
    """The kernels of each irrep in turn; those of one are forgotten before the next.

    Args:
        structures: those of the family, and more that are only predicted.
        folder: where features of linear models are kept.
    """
    trained = sorted({i for train, _ in family.data.splits for i in train})
    columns = torch.full((structures.n_structures,), -1)
    columns[trained] = torch.arange(len(trained))
    centers = tuple(sorted({c for row in family.rows for group in row.centers for c in group}))
    wanted: dict[Term, set[Zeta]] = {}
    for row in family.rows:
        for term in row.terms:
            wanted.setdefault(term, set()).add(row.zeta)
    found = {
        term: _environments(family, term, tuple(sorted(zetas)), centers, structures, folder)
        for term, zetas in wanted.items()
    }
    for irrep in irreps_of(family):
        right = component_rows(torch.tensor(trained), 2 * irrep.degree + 1)
        between = {}
        for term, by_kind in found.items():
            for zeta in sorted(wanted[term]):
                rows = by_kind[irrep, zeta]
                for slot, species in enumerate(centers):
                    own = _compressed(rows.of_slot(slot)) if zeta > 1 else rows.of_slot(slot)
                    kernel = _kernel(zeta, family).kernels(1)[0]
                    between[term, zeta, species] = kernel.between(own, own.select(right))
        yield IrrepKernels(irrep=irrep, between=between, columns=columns)


def component_rows(structures: Int[Tensor, " chosen"], size: int) -> Int[Tensor, " row"]:
    """Rows of the components of structures, structure major."""
    return (structures[:, None] * size + torch.arange(size)).flatten()


def _kernel(zeta: Zeta, family: Family) -> KernelRidge:
    return KernelRidge(zeta=zeta, normalize=zeta > 1, reduce=family.reduce)


def _environments(
    family: Family,
    term: Term,
    zetas: tuple[Zeta, ...],
    centers: tuple[int, ...],
    structures: Structures,
    folder: Path,
) -> dict[tuple[Irrep, Zeta], Environments]:
    """Features of a term, pooled for linear models."""
    irreps = irreps_of(family)
    fields = dict.fromkeys(("rho", term.field))
    recipe = Representation(
        expansions={field: term.basis.expansion(field) for field in fields},
        correlations=(("rho", term.field),),
        species=tuple(structures.species.unique().tolist()),
        centers=centers,
        irreps=tuple(sorted({*irreps, Irrep(0)})) if 2 in zetas else irreps,
        tolerance=TOLERANCE,
    )
    key = f"{recipe!r} {family.name} {family.reduce} {structures.n_structures} {zetas}"
    path = folder / f"{hashlib.sha256(key.encode()).hexdigest()[:16]}.npz"
    if path.exists():
        return _load(path, irreps)
    parts: dict[tuple[Irrep, Zeta], list[EnvironmentTerms]] = {}
    for batch in feature_batches(recipe, structures):
        for irrep in irreps:
            for zeta in zetas:
                features = batch.of(irrep, invariants=zeta > 1 and irrep != Irrep(0))
                collected = _kernel(zeta, family).collect([features], centers)
                parts.setdefault((irrep, zeta), []).append(collected)
    found = {k: EnvironmentTerms.concatenate(own).terms[0] for k, own in parts.items()}
    if zetas == (1,):  # one row per component and species: small, and the only part that takes long
        _save(found, path)
    return found


def _save(found: dict[tuple[Irrep, Zeta], Environments], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {}
    for (irrep, _), rows in found.items():
        for name in ("values", "structure_index", "slots"):
            arrays[f"{name}_{irrep.degree}"] = getattr(rows, name).numpy()
    partial = path.with_suffix(".partial.npz")
    np.savez(partial, **arrays)
    partial.replace(path)  # an interrupted run leaves no half file under the final name


def _load(path: Path, irreps: tuple[Irrep, ...]) -> dict[tuple[Irrep, Zeta], Environments]:
    found: dict[tuple[Irrep, Zeta], Environments] = {}
    with np.load(path) as arrays:
        for irrep in irreps:
            own = {
                name: torch.from_numpy(arrays[f"{name}_{irrep.degree}"])
                for name in ("values", "structure_index", "slots")
            }
            n = int(own["structure_index"].max()) + 1
            found[irrep, 1] = Environments(**own, n_structures=n)
    return found


def _compressed(rows: Environments) -> Environments:
    """The same kernel from fewer features: their leading principal components, with no mean.

    All components m of an irrep share the projection, which leaves the kernel equivariant.
    """
    invariants = rows.invariants
    return replace(
        rows,
        values=rows.values @ _principal(rows.values),
        invariants=None if invariants is None else invariants @ _principal(invariants),
    )


def _principal(values: Float[Tensor, "row feature"]) -> Float[Tensor, "feature component"]:
    step = max(1, len(values) // _ROWS)
    some = values[::step]
    variances, directions = torch.linalg.eigh(some.T @ some)
    variances, directions = variances.flip(0).clamp(min=0), directions.flip(1)
    lost = 1 - variances.cumsum(0) / variances.sum()
    rank = min(LARGEST_RANK, int((lost > LOST).sum()) + 1)
    return directions[:, :rank]
