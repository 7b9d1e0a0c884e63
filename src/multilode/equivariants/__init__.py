"""Labelled numbers around centers: blocks [center, m, property] that know how they rotate.

Names to know: `Equivariants` (one block per `Irrep`), `FeatureLabels`, `Features`
(all that a representation computes), `FeatureRows` (one irrep of it, as a regression sees it).
Labels travel with the numbers: the name of a column, the atom of a row.
Nothing here computes features; `expansion` and `correlations` do.
"""

from multilode.equivariants.blocks import Equivariants
from multilode.equivariants.features import FeatureRows, Features
from multilode.equivariants.labels import FeatureLabels, channel_labels, expansion_labels

__all__ = [
    "Equivariants",
    "FeatureLabels",
    "FeatureRows",
    "Features",
    "channel_labels",
    "expansion_labels",
]
