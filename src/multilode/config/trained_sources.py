"""Sources that another model has: fitted once, for many data sets."""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import ClassVar, final

from multilode.config.store import load
from multilode.representation.feature_recipe import FeatureRecipe
from multilode.representation.representation import Representation
from multilode.representation.sources import AbstractSources
from multilode.representation.sources.recipes import SOURCE_RECIPES, AbstractSourceRecipe
from multilode.structures.batch import Structures
from multilode.structures.elements import chemical_symbol


@final
@dataclass(frozen=True, kw_only=True)
class Trained(AbstractSourceRecipe):
    """The sources of a field of another model, as they are; the model file contains them then.

    Args:
        model: path of the model file.
        field: name of the field there; None for the same name.
    """

    supervised: ClassVar[bool] = False
    model: str
    field: str | None = None

    @property
    def arrays(self) -> tuple[str, ...]:
        """Those of the sources of the model."""
        sources = self._sources
        chosen = sources.values() if self.field is None else [sources.get(self.field)]
        names = (name for one in chosen if one is not None for name in one.arrays)
        return tuple(dict.fromkeys(names))

    @cached_property
    def _sources(self) -> dict[str, AbstractSources]:
        found = load(self.model).representation
        return dict(found.sources or {}) if isinstance(found, Representation) else {}

    def start(
        self,
        name: str,
        representation: Representation,
        structures: Structures,
        seed: int,  # noqa: ARG002 - the interface
    ) -> AbstractSources:
        """They are known.

        Raises:
            ValueError: if the field has none there, or they do not know a species.
        """
        field = name if self.field is None else self.field
        found = self._sources.get(field)
        if found is None:
            named = ", ".join(self._sources) or "none"
            raise ValueError(
                f"'{self.model}' has no sources of a field '{field}'; fields with sources: {named}"
            )
        known = found.species or representation.species
        unknown = [chemical_symbol(z) for z in representation.species if z not in known]
        if unknown:
            raise ValueError(
                f"the sources of '{self.model}' do not know {', '.join(unknown)}; fit them to a "
                "training set with these elements"
            )
        found.strengths(structures.select([0]))
        return found


TRAINED = "trained"
SOURCE_RECIPES[TRAINED] = Trained


def sources_in(folder: str | Path, recipe: FeatureRecipe) -> FeatureRecipe:
    """The recipe, whose paths of models are relative to a folder."""
    moved = {
        name: replace(one, model=str(Path(folder) / one.model))
        for name, one in recipe.sources.items()
        if isinstance(one, Trained)
    }
    return replace(recipe, sources={**recipe.sources, **moved}) if moved else recipe
