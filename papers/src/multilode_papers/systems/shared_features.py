"""Features of several models at once: fields are expanded once, and each model picks its products.

Where one expansion takes much longer than all products of it, as above a slab of many atoms.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from multilode import Target
from multilode.correlations import ContractionSettings
from multilode.models import FeatureDesign, PooledMap, Problem, TargetDesign, pool_terms
from multilode.progress import Progress
from multilode.representation import Representation, feature_batches
from multilode.structures import Structures
from multilode.symmetry import Irrep, tensor_kind
from multilode_papers.systems.models import Model

BATCH_ATOMS = 8192  # a slab is large, but few of its atoms are centers


@final
@dataclass(frozen=True, kw_only=True)
class SharedFeatures:
    """Sums over centers, by irrep and product.

    Args:
        blocks: rows are components of structures, structure major.
        centers: center species of the blocks of columns.
    """

    blocks: Mapping[tuple[Irrep, tuple[str, ...]], Float[Tensor, "_ _"]]
    centers: tuple[int, ...]

    def select(self, chosen: Int[Tensor, " chosen"]) -> "SharedFeatures":
        """The chosen structures, in the order given."""
        blocks = {
            (irrep, names): block[_rows(chosen, irrep)]
            for (irrep, names), block in self.blocks.items()
        }
        return replace(self, blocks=blocks)

    def design(self, model: Model, target: Target) -> TargetDesign:
        """Pooled features of the model's products, for a ridge regression of the target.

        Args:
            model: one of those for which features were computed.
            target: a number, or a tensor whose irreps were computed.
        """
        kind, parts = target.tensor, {}
        for irrep in (Irrep(0),) if kind is None else tensor_kind(kind).irreps:
            numbered = enumerate(model.products)
            present = tuple(k for k, names in numbered if (irrep, names) in self.blocks)
            problem = Problem(
                centers=self.centers,
                n_terms=len(model.products),
                terms=present,
                reduce=target.reduce,
                irrep=irrep,
            )
            parts[irrep] = FeatureDesign(
                map=PooledMap(problem=problem, centers=self.centers),
                terms=tuple(self.blocks[irrep, model.products[k]] for k in present),
            )
        return TargetDesign(parts=parts)


def shared_recipe(
    models: Sequence[Model],
    examples: Structures,
    *,
    species: tuple[int, ...],
    irreps: tuple[Irrep, ...],
    contraction: ContractionSettings,
    tolerance: float,
) -> Representation:
    """One recipe with all products of the models, which have common centers.

    Args:
        models: names of fields mean the same in all of them.
        examples: of the training set, to which contractions are fitted.
        species: atomic numbers that may occur.
        irreps: symmetries of the features.
        contraction: features to keep of products of three fields.
        tolerance: relative accuracy of the expansion coefficients.
    """
    recipe = Representation(
        fields={name: field for m in models for name, field in m.fields.items()},
        products=tuple(dict.fromkeys(names for m in models for names in m.products)),
        species=species,
        centers=models[0].centers or species,
        irreps=irreps,
        tolerance=tolerance,
    )
    return recipe.contracted([examples], contraction)


def shared_features(
    recipe: Representation, structures: Structures, progress: Progress | None = None
) -> SharedFeatures:
    """All products of a recipe with irreps, summed over the centers of each species.

    Args:
        recipe: such as `shared_recipe` gives.
        structures: any number of them.
        progress: called with the structures done and the structures in all.
    """
    found: dict[tuple[Irrep, tuple[str, ...]], list[Tensor]] = {}
    batches = feature_batches(recipe, structures, batch_atoms=BATCH_ATOMS, progress=progress)
    for batch in batches:
        for irrep in recipe.irreps or ():
            named = zip(recipe.products, batch.terms, strict=True)
            present = [names for names, term in named if irrep in term.blocks]
            rows = batch.rows(irrep)
            pooled = pool_terms(rows, reduce="sum", centers=recipe.centers)
            for names, term in zip(present, pooled, strict=True):
                found.setdefault((irrep, names), []).append(term.double())
    blocks = {key: torch.cat(parts) for key, parts in found.items()}
    return SharedFeatures(blocks=blocks, centers=recipe.centers)


def _rows(chosen: Int[Tensor, " chosen"], irrep: Irrep) -> Int[Tensor, " row"]:
    n = 2 * irrep.degree + 1
    return (chosen[:, None] * n + torch.arange(n)).flatten()
