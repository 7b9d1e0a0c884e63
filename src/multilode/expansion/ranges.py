"""Near and far field: V = V^< + V^>, by the distance of the atoms that make it.

The near field is a sum over pairs under the cutoff function, the center itself included; the far
field is everything else, so that the two add up to the whole whatever method computes that, and a
smooth cutoff function makes an atom's passage from one to the other smooth.
"""

import math
from dataclasses import replace

from multilode.expansion.expansion import FieldExpansion
from multilode.radial.tables import real_reach


def near_field(expansion: FieldExpansion) -> FieldExpansion:
    """The same expansion of the atoms within `near_radius` only.

    Source: theory#near-far; Grisafi2021 Eq. 5.
    """
    return replace(expansion, range="all", near_radius=None, neighbor_cutoff=expansion.near_radius)


def whole_field(expansion: FieldExpansion) -> FieldExpansion:
    """The same expansion of all atoms."""
    return replace(expansion, range="all", near_radius=None)


def whole_reach(expansion: FieldExpansion, tolerance: float) -> float | None:
    """Distance in Å within which all atoms that matter lie; None for a field with a tail."""
    if math.isfinite(expansion.field.decay):
        return None
    return real_reach(expansion.field, expansion.basis, expansion.max_angular, tolerance)
