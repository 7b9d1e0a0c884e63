"""Stresses from derivatives with respect to strain, of crystals, layers and wires."""

from jaxtyping import Float
from torch import Tensor

from multilode.errors import StructureError
from multilode.structures.batch import Structures
from multilode.structures.periods import along_periods


def check_stress(structures: Structures) -> None:
    """Raise a StructureError for the first structure that has no stress."""
    isolated = ~structures.pbc.any(dim=1)
    flat = structures.volumes <= 0
    if bool(isolated.any()):
        raise StructureError(
            "is not periodic in any direction and has no stress; predict it without stress",
            int(isolated.nonzero()[0]),
        )
    if bool(flat.any()):
        raise StructureError(
            "has a lattice vector of zero and so no volume that its stress could refer to; predict "
            "it without stress, or give the free axis a length (the stress of a layer per area is "
            "the stress times that length)",
            int(flat.nonzero()[0]),
        )


def stress_of(
    virial: Float[Tensor, "structure 3 3"], structures: Structures
) -> Float[Tensor, "structure 3 3"]:
    """Stress of structures from their symmetric derivative with respect to strain.

    It is the derivative over the volume of the cell as it is given, the convention of ASE. Of
    layers and wires only strains along the periodic directions count; the other components are
    zero.

    Source: theory#gradients.
    """
    return along_periods(virial, structures) / structures.volumes[:, None, None]
