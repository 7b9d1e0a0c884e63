"""The table of classes of each annotation: all that can be configured, saved and loaded."""

from multilode.config.codec import register
from multilode.fields import FIELDS, AbstractField
from multilode.fields.cutoffs import CUTOFF_FUNCTIONS, AbstractCutoff
from multilode.models import (
    ESTIMATORS,
    KERNELS,
    MODELS,
    AbstractEstimator,
    AbstractKernel,
    AbstractModel,
)
from multilode.prediction.baseline import BASELINES, AbstractBaseline
from multilode.radial import RADIAL_BASES, AbstractRadialBasis
from multilode.representation import REPRESENTATIONS, AbstractRepresentation
from multilode.representation.sources import SOURCES, AbstractSources
from multilode.representation.sources.recipes import SOURCE_RECIPES, AbstractSourceRecipe

register(AbstractField, FIELDS)
register(AbstractRadialBasis, RADIAL_BASES)
register(AbstractCutoff, CUTOFF_FUNCTIONS)
register(AbstractBaseline, BASELINES)
register(AbstractEstimator, ESTIMATORS)
register(AbstractKernel, KERNELS)
register(AbstractModel, MODELS)
register(AbstractRepresentation, REPRESENTATIONS)
register(AbstractSources, SOURCES)
register(AbstractSourceRecipe, SOURCE_RECIPES)
