"""Expansion as a sum over neighbors: exact for isolated structures and short-ranged fields."""

from dataclasses import dataclass
from typing import ClassVar, final

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from multilode.errors import StructureError, blame_structure
from multilode.expansion.accuracy import check_own_tolerance
from multilode.expansion.lattice.box import basis_reach
from multilode.expansion.method import AbstractMethod, Estimate, Workload
from multilode.expansion.pairs.groups import PairBlock, PairGroups, group_pairs
from multilode.expansion.pairs.products import neighbor_sums
from multilode.expansion.problem import Problem
from multilode.expansion.ranges import whole_reach
from multilode.numerics.heap import keep_freed_memory
from multilode.numerics.limits import current_limits, recomputed
from multilode.numerics.memory import require_bytes
from multilode.radial.tables import RealTable
from multilode.structures.batch import Structures
from multilode.structures.neighbors import Pairs, all_pairs, pairs_within
from multilode.symmetry.harmonics import spherical_harmonics

_BLOCK_PAIRS = 16384  # whose temporaries of a few MB stay in cache
PAIR_BYTES = {False: 130, True: 300}  # of a long list, without and with a backward pass: measured
_RECOMPUTED_PAIRS = 500_000  # beyond, the backward pass computes blocks again to save memory


@final
@dataclass(frozen=True)
class PairSum(AbstractMethod):
    """Sum over pairs, F_nl(r_ji) Y_lm(r^_ji).

    Source: theory#real-space.

    Args:
        tolerance: relative accuracy of the tabulated radial integrals; None: that of the problem.

    Raises:
        ValueError: if the tolerance is outside of [1e-12, 1e-2].
    """

    includes_center: ClassVar[bool] = False
    honors_cutoff: ClassVar[bool] = True
    takes_strengths: ClassVar[bool] = True
    tolerance: float | None = None

    def __post_init__(self) -> None:
        check_own_tolerance(self.tolerance)

    def coefficients(self, problem: Problem) -> list[Float[Tensor, "center m channel n"]]:
        """Coefficients of the neighbors of each center (without its own contribution), one per l.

        Raises:
            StructureError: if a periodic structure is given and neither the expansion has a cutoff
                nor the field an end, two atoms are in the same place, or the memory does not hold
                all pairs.
        """
        expansion, structures = problem.expansion, problem.structures
        periodic = structures.pbc.any(dim=1)
        reach = expansion.neighbor_cutoff
        if reach is None:
            reach = whole_reach(expansion, problem.tolerance)
        if reach is None and bool(periodic.any()):
            raise StructureError(
                "a sum over all pairs of a periodic structure does not end; "
                "give the field a cutoff, or use method auto",
                int(periodic.nonzero()[0]),
            )
        keep_freed_memory()
        table = problem.pair_integrals()
        if reach is None:
            wanted = _with_centers(structures, problem.centers)
            _check_memory(problem, wanted)
            pairs = all_pairs(structures, wanted)
        else:
            pairs = pairs_within(structures, reach)
        kinds, n_kinds = problem.channels, problem.n_channels
        if kinds is None:  # all neighbors of a center together: each adds to every channel
            kinds, n_kinds = torch.zeros_like(structures.species), 1
        groups = group_pairs(pairs, kinds, n_kinds, problem.centers)
        return _sum_groups(groups, problem, table)

    def estimate(self, workload: Workload) -> Estimate | None:
        """All pairs that count; None if those of a periodic structure do not end."""
        reach = whole_reach(workload.expansion, workload.tolerance)
        if reach is not None:
            return Estimate(pair_nanoseconds(workload, pairs_of_box(workload, reach)), self)
        if any(workload.box.pbc):
            return None
        return Estimate(pair_nanoseconds(workload, workload.n_atoms**2), self)


def pairs_of_box(workload: Workload, radius: float) -> float:
    """About how many pairs are closer than a radius in Å, images included."""
    expansion, box = workload.expansion, workload.box
    reach = basis_reach(expansion.basis, expansion.max_angular, workload.tolerance)
    filled = float(box.volume.detach())  # by atoms
    for axis in box.free:
        filled *= max(1.0, box.exact[axis] - reach) / (2 * box.exact[axis] + box.taper)
    share = 4.19 * radius**3 / filled  # above one: images are neighbors too
    return workload.n_atoms**2 * (share if any(box.pbc) else min(1.0, share))


def pair_nanoseconds(workload: Workload, n_pairs: float) -> float:
    """Estimated time of a sum over so many pairs, in nanoseconds."""
    costs = workload.costs
    pair = costs.pair + costs.pair_channel * workload.n_coefficients * workload.channels_per_atom
    return costs.start + n_pairs * pair


def _with_centers(
    structures: Structures, centers: Int[Tensor, " center"]
) -> Bool[Tensor, " structure"]:
    """The others need no pairs."""
    found = structures.structure_index[centers]
    return torch.bincount(found, minlength=structures.n_structures) > 0


def _check_memory(problem: Problem, wanted: Bool[Tensor, " structure"]) -> None:
    """Refuse more pairs of molecules than the memory holds."""
    structures = problem.structures
    pairs = (structures.counts * wanted).double() ** 2
    if not len(pairs):
        return
    largest = int(pairs.argmax())
    with blame_structure(largest):
        require_bytes(
            float(pairs.sum()) * PAIR_BYTES[problem.moving],
            structures.positions.device,
            what=f"a sum over all pairs of {int(structures.counts[largest])} atoms",
            remedy="give the field a cutoff, or use method auto or mesh, whose cost is that of "
            "N log N",
        )


def _sum_groups(
    groups: PairGroups, problem: Problem, table: RealTable
) -> list[Float[Tensor, "center m channel n"]]:
    """Sum block by block: temporaries stay in cache, and a long list of pairs fits in memory."""
    limits = current_limits()
    channels = 1 if problem.strengths is None else problem.n_channels  # that a pair adds to
    kept = limits.kept_size(_RECOMPUTED_PAIRS // channels, PAIR_BYTES[True])
    recompute = torch.is_grad_enabled() and len(groups.key) > kept
    width = problem.expansion.max_angular * table.n_radial + table.n_radial
    size = limits.block_size(_BLOCK_PAIRS, width * problem.structures.positions.itemsize)
    parts = []
    for block in groups.blocks(size):
        part = (block, problem, table)
        parts.append(recomputed(_sum_block, *part) if recompute else _sum_block(*part))
    if len(parts) == 1:
        return parts[0]
    return [torch.cat(blocks) for blocks in zip(*parts, strict=True)]


def _sum_block(
    block: PairBlock, problem: Problem, table: RealTable
) -> list[Float[Tensor, "center m channel n"]]:
    """Radial functions times harmonics, summed over the neighbors of each center."""
    expansion, structures, strengths = problem.expansion, problem.structures, problem.strengths
    n_l, n_channels = expansion.max_angular + 1, problem.n_channels
    if not block.slots:
        shapes = [(block.n_centers, 2 * l + 1, n_channels, table.n_radial) for l in range(n_l)]
        return [structures.positions.new_zeros(shape) for shape in shapes]
    vectors = block.pairs.vectors(structures)
    distances = torch.linalg.vector_norm(vectors, dim=1)
    check_apart(distances.detach(), block.pairs, structures)
    weight = None
    if expansion.neighbor_cutoff is not None:
        weight = expansion.cutoff_function(distances, expansion.neighbor_cutoff)
    angular = spherical_harmonics(vectors, expansion.max_angular)
    radial = table(distances)
    if strengths is not None:
        of_pairs = strengths.index_select(0, block.pairs.neighbor)
        return _with_strengths(of_pairs, radial, weight, angular, block)
    found = neighbor_sums(radial, weight, angular, block)
    zeros = [torch.zeros_like(sums) for sums in found[:n_l]]
    sums = {a: found[k * n_l : (k + 1) * n_l] for k, a in enumerate(block.kinds)}
    return [
        torch.stack([sums.get(a, zeros)[l] for a in range(n_channels)], dim=2) for l in range(n_l)
    ]


def _with_strengths(
    of_pairs: Float[Tensor, "pair channel"],
    radial: Float[Tensor, "pair l n"],
    weight: Float[Tensor, " pair"] | None,
    angular: Float[Tensor, "pair lm"],
    block: PairBlock,
) -> list[Float[Tensor, "center m channel n"]]:
    """Sums over the neighbors of each center with their strengths.

    Radial functions times harmonics are made once for all channels.
    """
    n_l, n_radial = radial.shape[1:]
    widths = [2 * l + 1 for l in range(n_l)]
    parts = zip(angular.split(widths, dim=1), radial.unbind(dim=1), strict=True)
    products = torch.cat([y[:, :, None] * r[:, None] for y, r in parts], dim=1)
    (sums,) = neighbor_sums(products.flatten(start_dim=1)[:, None], weight, of_pairs, block)
    found = sums.unflatten(2, (-1, n_radial)).transpose(1, 2)
    return list(found.split(widths, dim=1))


def check_apart(distances: Float[Tensor, " pair"], pairs: Pairs, structures: Structures) -> None:
    """Refuse atoms in the same place, between which there is no direction."""
    if bool((distances > 0).all()):
        return
    pair = int(distances.argmin())
    atoms = sorted((int(pairs.center[pair]), int(pairs.neighbor[pair])))
    structure = int(structures.structure_index[atoms[0]])
    start = int(structures.counts[:structure].sum())
    raise StructureError(
        f"its atoms {atoms[0] - start} and {atoms[1] - start} are in the same place, where the "
        "direction from one to the other is not defined; remove one of them",
        structure,
    )
