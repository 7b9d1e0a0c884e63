"""Pairs within a cutoff in many small crystals at once, by comparing atoms with nearby images."""

from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from multilode.structures.batch import Structures

_COMPARISONS = 2_000_000  # at a time; a few arrays of 16 MB
_FAR = 1e8  # Å: where places that no atom takes are put
_BUCKET = 2.0  # crystals of at most this ratio of sizes are compared side by side


@final
@dataclass(frozen=True)
class Images:
    """Images that may be within the cutoff of an atom in the cell, half of them.

    Each pair of different cells is met from one of its ends; lattice steps (0, 0, 0) come first.

    Args:
        points: positions in Å of all atoms, wrapped into the cell along its periodic axes.
        wraps: lattice vectors that wrapping subtracted.
        atom: atom of each image, structures in ascending order.
        step: lattice vectors from the wrapped atom to the image.
        place: position of each image.
        counts: images per structure.
    """

    points: Float[Tensor, "atom 3"]
    wraps: Int[Tensor, "atom 3"]
    atom: Int[Tensor, " image"]
    step: Int[Tensor, "image 3"]
    place: Float[Tensor, "image 3"]
    counts: Int[Tensor, " structure"]


def whole_cells(structures: Structures) -> Float[Tensor, "structure 3 3"]:
    """Cells in double precision, free axes replaced by unit vectors normal to the periodic ones."""
    cells = structures.cell.detach().to(torch.float64)
    if bool(structures.pbc.all()):
        return cells
    periodic = cells * structures.pbc[:, :, None]
    # projectors on what the periodic vectors do not span; unit vectors stand first in ascending
    # order of 1 - eigenvalue
    spanned = torch.linalg.pinv(periodic) @ periodic
    normals = torch.linalg.eigh(0.5 * (spanned + spanned.mT)).eigenvectors.mT
    rank = (~structures.pbc).cumsum(dim=1) - 1
    free = normals.gather(1, rank.clamp(min=0)[:, :, None].expand(-1, -1, 3))
    return torch.where(structures.pbc[:, :, None], periodic, free)


def cutoff_in_cells(structures: Structures, cutoff: float) -> Float[Tensor, "structure 3"]:
    """The cutoff over the distance of opposite faces of the cell; 0 along free axes."""
    return cutoff * torch.linalg.inv(whole_cells(structures)).norm(dim=1) * structures.pbc


def nearby_images(
    structures: Structures, chosen: Bool[Tensor, " structure"], cutoff: float
) -> Images:
    """Images within the cutoff of the cell, for the chosen structures, which must be periodic."""
    device = structures.positions.device
    cells, index = whole_cells(structures), structures.structure_index
    inverses = torch.linalg.inv(cells)
    reach = cutoff_in_cells(structures, cutoff)
    fractions = _rows_times(structures.positions.detach().double(), inverses, index)
    wraps = fractions.floor() * structures.pbc.index_select(0, index)
    fractions = fractions - wraps

    most = torch.ceil(reach).to(torch.int64)
    sides = 2 * most + 1
    middle = sides.prod(dim=1) // 2  # steps from there on are one of each opposite two
    repeats = ((middle + 1) * chosen).index_select(0, index)
    atom = torch.repeat_interleave(repeats)
    structure = index.index_select(0, atom)
    first = repeats.cumsum(0) - repeats - middle.index_select(0, index)
    number = torch.arange(len(atom), device=device) - first.index_select(0, atom)
    n_second, n_third = sides[:, 1:].index_select(0, structure).unbind(1)
    digits = [number // (n_second * n_third), number // n_third % n_second, number % n_third]
    step = torch.stack(digits, dim=1) - most.index_select(0, structure)
    place = fractions.index_select(0, atom) + step
    # the atoms themselves lie between 0 and 1; along a free axis no image is left out
    slack = torch.where(structures.pbc, reach + 1e-6, torch.inf).index_select(0, structure)
    near = ((place + slack >= 0) & (place - slack <= 1)).all(dim=1).nonzero().flatten()
    atom, step, place = (x.index_select(0, near) for x in (atom, step, place))
    structure = structure.index_select(0, near)
    return Images(
        _rows_times(fractions, cells, index),
        wraps.to(torch.int64),
        atom,
        step,
        _rows_times(place, cells, structure),
        torch.bincount(structure, minlength=len(cells)),
    )


def _rows_times(
    rows: Float[Tensor, "row 3"],
    matrices: Float[Tensor, "structure 3 3"],
    structure: Int[Tensor, " row"],
) -> Float[Tensor, "row 3"]:
    """Each row times the matrix of its structure."""
    if len(matrices) == 1:
        return rows @ matrices[0]
    return torch.bmm(rows[:, None], matrices.index_select(0, structure))[:, 0]


def image_pairs(
    structures: Structures, images: Images, chosen: Bool[Tensor, " structure"], cutoff: float
) -> list[tuple[Int[Tensor, " pair"], Int[Tensor, " pair"], Int[Tensor, "pair 3"]]]:
    """Centers, neighbors and shifts of all pairs in the chosen structures, both directions."""
    counts = structures.counts
    bucket = ((counts * images.counts).clamp(min=1).double().log() / _BUCKET).to(torch.int64)
    found = []
    for size in bucket[chosen].unique().tolist():
        mine = (chosen & (bucket == size)).nonzero().flatten()
        widest = int(counts[mine].max()) * int(images.counts[mine].max())
        for part in mine.split(max(1, _COMPARISONS // widest)):
            found.append(_compare(counts, images, part, cutoff))
    return found


def _compare(
    counts: Int[Tensor, " structure"], images: Images, mine: Int[Tensor, " chosen"], cutoff: float
) -> tuple[Int[Tensor, " pair"], Int[Tensor, " pair"], Int[Tensor, "pair 3"]]:
    """All atoms of some structures with all images of the same structure."""
    atoms, left = _padded(images.points, counts, mine, -_FAR)
    others, right = _padded(images.place, images.counts, mine, _FAR)
    origin = left[:, :1]  # short vectors: their squares must not cancel
    left, right = left - origin, right - origin
    squares = torch.baddbmm(right.square().sum(dim=2)[:, None, :], left, right.mT, alpha=-2)
    near = squares < cutoff**2 - left.square().sum(dim=2)[:, :, None]
    row, i, j = near.nonzero().unbind(1)
    center = atoms.flatten().index_select(0, row * atoms.shape[1] + i)
    image = others.flatten().index_select(0, row * others.shape[1] + j)
    return both_directions(images, center, image)


def both_directions(
    images: Images, center: Int[Tensor, " half"], image: Int[Tensor, " half"]
) -> tuple[Int[Tensor, " pair"], Int[Tensor, " pair"], Int[Tensor, "pair 3"]]:
    """Centers, neighbors and shifts of pairs of an atom and an image, from both of their ends."""
    neighbor, step = images.atom.index_select(0, image), images.step.index_select(0, image)
    # in the cell itself an atom meets itself, and each other one twice
    kept = ((step != 0).any(dim=1) | (center < neighbor)).nonzero().flatten()
    center, neighbor = center.index_select(0, kept), neighbor.index_select(0, kept)
    shift = step.index_select(0, kept) + images.wraps.index_select(0, center)
    shift -= images.wraps.index_select(0, neighbor)
    return (
        torch.cat([center, neighbor]),
        torch.cat([neighbor, center]),
        torch.cat([shift, -shift]),
    )


def _padded(
    points: Float[Tensor, "member 3"],
    counts: Int[Tensor, " structure"],
    mine: Int[Tensor, " chosen"],
    missing: float,
) -> tuple[Int[Tensor, "chosen place"], Float[Tensor, "chosen place 3"]]:
    """Numbers and points of the members of each chosen structure, those that lack put far away."""
    if len(counts) == 1:
        return torch.arange(len(points), device=points.device)[None], points[None]
    starts, lengths = (counts.cumsum(0) - counts)[mine, None], counts[mine, None]
    number = torch.arange(int(lengths.max()), device=counts.device)
    member = torch.where(number < lengths, starts + number, 0)
    chosen = points.index_select(0, member.flatten()).unflatten(0, member.shape)
    return member, torch.where((number < lengths)[:, :, None], chosen, missing)
