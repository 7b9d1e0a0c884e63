"""Sources of fields: strengths of atoms that are given, or follow from their surroundings.

Names to know: `GivenSources`, `DescribedSources`, `ConservedSources`; a field without sources has
a channel for each species. Recipes of sources, before they are fitted to a training set, stand in
`recipes`.
"""

from multilode.representation.sources.abstract import AbstractSources
from multilode.representation.sources.conserved import ConservedSources
from multilode.representation.sources.described import DescribedSources
from multilode.representation.sources.given import GivenSources

SOURCES: dict[str, type[AbstractSources]] = {
    "given": GivenSources,
    "described": DescribedSources,
    "conserved": ConservedSources,
}

__all__ = ["SOURCES", "AbstractSources", "ConservedSources", "DescribedSources", "GivenSources"]
