"""Structures with atoms far away, as a search for neighbors likes them: the same pairs, near."""

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from multilode.structures.batch import Structures
from multilode.structures.images import whole_cells

_FAR = 300.0  # Å from the origin: squares of shorter vectors keep their digits
_WIDER = 1.01  # than the cutoff stays a gap that is wider


def compacted(
    structures: Structures, cutoff: float
) -> tuple[Structures, Int[Tensor, "atom 3"]] | None:
    """The structures without empty space, if an atom is far from the origin; else None.

    Along periods atoms are put into the cell. Along free axes a gap without atoms that is wider
    than the cutoff is made as wide as that, which brings no two atoms within the cutoff: their
    distance is never less than that along the axis.

    Args:
        structures: a batch.
        cutoff: of the pairs, in Å.

    Returns:
        The batch and the lattice vectors that were subtracted from each atom.
    """
    positions = structures.positions.detach()
    if not structures.n_atoms or float(positions.abs().amax()) <= _FAR:
        return None
    positions = positions.to("cpu", torch.float64).numpy()
    pbc, cells = structures.pbc.cpu().numpy(), whole_cells(structures).cpu().numpy()
    wraps, places = np.zeros(positions.shape, dtype=np.int64), np.empty_like(positions)
    stops = structures.counts.cumsum(0).tolist()
    for number, (start, stop) in enumerate(zip([0, *stops[:-1]], stops, strict=True)):
        fractions = positions[start:stop] @ np.linalg.inv(cells[number])
        for axis in range(3):
            if pbc[number, axis]:
                whole = np.floor(fractions[:, axis])
                fractions[:, axis] -= whole
                wraps[start:stop, axis] = whole.astype(np.int64)
            else:
                fractions[:, axis] = _without_gaps(fractions[:, axis], _WIDER * cutoff)
        places[start:stop] = fractions @ cells[number]
    like = structures.positions
    near = replace(
        structures,
        positions=torch.from_numpy(places).to(like.device),
        cell=structures.cell.detach().double(),
    )
    return near, torch.from_numpy(wraps).to(like.device)


def _without_gaps(x: Float[np.ndarray, " atom"], widest: float) -> Float[np.ndarray, " atom"]:
    """Coordinates from zero, no gap between two neighbors wider than `widest`."""
    order = np.argsort(x, kind="stable")
    steps = np.minimum(np.diff(x[order], prepend=x[order[:1]]), widest)
    result = np.empty_like(x)
    result[order] = np.cumsum(steps)
    return result
