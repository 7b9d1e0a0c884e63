"""How far an atom can be from another and still change its energy."""

import math

from multilode.expansion import FieldExpansion
from multilode.models.network.network_committee import NetworkCommittee
from multilode.models.network.network_model import NetworkModel
from multilode.prediction.predictor import Predictor
from multilode.representation.field_set import FieldSet
from multilode.representation.representation import Representation
from multilode.representation.sources import AbstractSources, DescribedSources


def interaction_range(predictor: Predictor) -> float:
    """In Å; infinite if a field of the model is made by all atoms.

    Sources that follow from their surroundings, and each round of a network beyond the first, reach
    as far again.

    Args:
        predictor: of an energy.
    """
    own, model = predictor.representation, predictor.model
    if isinstance(own, FieldSet):
        networks = model.members if isinstance(model, NetworkCommittee) else (model,)
        rounds = (one.size.rounds for one in networks if isinstance(one, NetworkModel))
        return max(rounds, default=1) * max(map(_reach, own.fields.values()))
    return _features(own)


def _features(own: Representation) -> float:
    return max(_reach(own.fields[name]) + _sources(own.sources_of(name)) for name in own.used)


def _sources(sources: AbstractSources | None) -> float:
    """How far away what makes a source strong may be from it."""
    if sources is None:
        return 0.0
    descriptor = sources.descriptor if isinstance(sources, DescribedSources) else None
    return _features(descriptor) if isinstance(descriptor, Representation) else math.inf


def _reach(field: FieldExpansion) -> float:
    if field.neighbor_cutoff is not None:
        return field.neighbor_cutoff
    return field.near_radius if field.range == "near" and field.near_radius else math.inf
