"""Which table holds the classes of which annotation: what can be configured, saved and loaded."""

from multilode.config.codec import register
from multilode.fields.cutoffs import CUTOFF_FUNCTIONS, AbstractCutoff
from multilode.fields.field import FIELDS, AbstractField
from multilode.models import (
    ESTIMATORS,
    KERNELS,
    MODELS,
    AbstractEstimator,
    AbstractKernel,
    AbstractModel,
)
from multilode.prediction.baseline import BASELINES, AbstractBaseline
from multilode.radial.bases import RADIAL_BASES, AbstractRadialBasis

register(AbstractField, FIELDS)
register(AbstractRadialBasis, RADIAL_BASES)
register(AbstractCutoff, CUTOFF_FUNCTIONS)
register(AbstractBaseline, BASELINES)
register(AbstractEstimator, ESTIMATORS)
register(AbstractKernel, KERNELS)
register(AbstractModel, MODELS)
