"""Between atoms and a mesh: derivatives of mesh functions at atoms, and its transpose.

Both are one bilinear form of a mesh function f and of multipoles M on the atoms,
sum over atoms, monomials and channels of M[a, alpha, c] d^alpha f_c (u_a): interpolation is its
gradient in M, spreading its gradient in f, and the gradient in the places u_a is an interpolation
with one derivative more. So each is the adjoint of the other, to any order.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any, final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from multilode.expansion.mesh.window import Window
from multilode.numerics.limits import current_limits

# Values of the nodes around the atoms of a block: they stay in cache, or fill a GPU
_BLOCK_BYTES = {"cpu": 3_000_000}
_BLOCK_BYTES_DEVICE = 400_000_000
_WEIGHTED_ATOMS = 4096  # whose weights are computed at once
_KEPT_BYTES = 300_000_000  # of derivatives that the forward pass keeps for the backward pass


@final
@dataclass(frozen=True, eq=False)
class Stencil:
    """The nodes that each atom touches, in lines along the last axis of a mesh.

    Args:
        window: spreads an atom over nodes.
        places: of the atoms, in units of the node spacing; values only, gradients do not pass.
        x: contribution of the node along the first axis to the number of its line.
        y: that of the node along the second axis.
        z: lowest node along the last axis.
        n_lines: of the mesh.
        length: nodes in a line.
    """

    window: Window
    places: Float[Tensor, "atom 3"]
    x: Int[Tensor, "atom node"]
    y: Int[Tensor, "atom node"]
    z: Int[Tensor, " atom"]
    n_lines: int
    length: int

    @property
    def n_atoms(self) -> int:
        """Number of atoms."""
        return len(self.x)

    @property
    def padded(self) -> int:
        """Nodes in a line that goes on periodically until no window crosses its end.

        A multiple of the width: windows that start at nodes of one remainder then do not overlap.
        """
        width = self.window.width
        return (self.length + 2 * width - 2) // width * width

    def select(self, atoms: Int[Tensor, " chosen"]) -> "Stencil":
        """The stencil of some of the atoms."""
        places, x, y, z = (t.index_select(0, atoms) for t in (self.places, self.x, self.y, self.z))
        return Stencil(self.window, places, x, y, z, self.n_lines, self.length)

    def runs(self, part: slice) -> Int[Tensor, " atom_node_node"]:
        """First node of each run of nodes along the last axis, counted over padded lines."""
        lines = self.x[part, :, None] + self.y[part, None, :]
        return (lines * self.padded + self.z[part, None, None]).reshape(-1)

    def blocks(
        self, order: int, channels: int, stops: Sequence[int] = ()
    ) -> Iterator[tuple[slice, tuple[Float[Tensor, "atom o node"], ...]]]:
        """Blocks of atoms whose nodes fit into the fast memory, with the weights along each axis.

        Args:
            order: largest derivative of the weights.
            channels: functions on the mesh.
            stops: numbers of atoms at which a block has to end.
        """
        room = _BLOCK_BYTES.get(self.x.device.type, _BLOCK_BYTES_DEVICE)
        limits, itemsize = current_limits(), self.places.itemsize
        room = limits.block_size(room, 1)
        size = max(1, room // (self.window.width**3 * channels * itemsize))
        weights_bytes = 3 * (order + 1) * self.window.width * itemsize
        group_size = limits.block_size(_WEIGHTED_ATOMS, weights_bytes)
        groups = range(0, self.n_atoms, group_size)
        for group, end in pairwise(sorted({*groups, *stops, 0, self.n_atoms})):
            weights = self.window.weights(self.places[group:end], order)
            for first in range(group, end, size):
                part = slice(first, min(first + size, end))
                yield part, weights[part.start - group : part.stop - group].unbind(1)


def interpolate(
    mesh: Float[Tensor, "line node channel"],
    places: Float[Tensor, "atom 3"],
    stencil: Stencil,
    order: int,
) -> Float[Tensor, "atom monomial channel"]:
    """All derivatives up to a total order of functions on a mesh, at the atoms.

    Args:
        mesh: values at the nodes.
        places: in units of the node spacing.
        stencil: the nodes that atoms at these places touch.
        order: largest total order; monomials as in `monomials(order)`.
    """
    return _Interpolate.apply(mesh, places, stencil, order)


def spread(
    multipoles: Float[Tensor, "atom monomial channel"],
    places: Float[Tensor, "atom 3"],
    stencil: Stencil,
    order: int,
) -> Float[Tensor, "line node channel"]:
    """The transpose of `interpolate`: put multipoles of atoms on a mesh."""
    return _Spread.apply(multipoles, places, stencil, order)


@cache
def monomials(order: int) -> tuple[tuple[int, int, int], ...]:
    """Exponents (a, b, c), by total degree: those of a lower order come first."""
    return tuple(
        (a, b, degree - a - b)
        for degree in range(order + 1)
        for a in range(degree, -1, -1)
        for b in range(degree - a, -1, -1)
    )


@cache
def _cube_index(order: int, device: torch.device) -> Int[Tensor, " monomial"]:
    """Places of the monomials in a cube of exponents, in the order z, x, y."""
    n = order + 1
    return torch.tensor([(c * n + a) * n + b for a, b, c in monomials(order)], device=device)


@cache
def _raised(order: int, device: torch.device) -> Int[Tensor, "3 monomial"]:
    """Index of the monomial alpha + 1 along each axis: one more derivative."""
    place = {m: i for i, m in enumerate(monomials(order + 1))}
    unit = ((1, 0, 0), (0, 1, 0), (0, 0, 1))
    table = [[place[a + e[0], b + e[1], c + e[2]] for a, b, c in monomials(order)] for e in unit]
    return torch.tensor(table, device=device)


class _Interpolate(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, mesh: Tensor, places: Tensor, stencil: Stencil, order: int
    ) -> Float[Tensor, "atom monomial channel"]:
        ctx.stencil, ctx.order = stencil, order
        count = len(monomials(order + 1)) * stencil.n_atoms * mesh.shape[2] * mesh.itemsize
        kept = current_limits().kept_size(_KEPT_BYTES, 1)
        if not (ctx.needs_input_grad[1] and count < kept):
            ctx.save_for_backward(mesh, places, None)
            return _gather(mesh, stencil, order)
        derivatives = _gather(mesh, stencil, order + 1)
        ctx.save_for_backward(mesh, places, derivatives)
        return derivatives[:, : len(monomials(order))].contiguous()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        mesh, places, derivatives = ctx.saved_tensors
        to_mesh = to_places = None
        if ctx.needs_input_grad[0]:
            to_mesh = spread(grad, places, ctx.stencil, ctx.order)
        if ctx.needs_input_grad[1]:
            if derivatives is None or torch.is_grad_enabled():  # then it stays differentiable
                derivatives = interpolate(mesh, places, ctx.stencil, ctx.order + 1)
            to_places = _slopes(grad, derivatives, ctx.order)
        return to_mesh, to_places, None, None


class _Spread(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, multipoles: Tensor, places: Tensor, stencil: Stencil, order: int
    ) -> Float[Tensor, "line node channel"]:
        ctx.stencil, ctx.order = stencil, order
        ctx.save_for_backward(multipoles, places)
        return _scatter(multipoles, stencil, order)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        multipoles, places = ctx.saved_tensors
        if not ctx.needs_input_grad[1]:
            return interpolate(grad, places, ctx.stencil, ctx.order), None, None, None
        derivatives = interpolate(grad, places, ctx.stencil, ctx.order + 1)
        to_multipoles = None
        if ctx.needs_input_grad[0]:
            to_multipoles = derivatives[:, : len(monomials(ctx.order))]
        return to_multipoles, _slopes(multipoles, derivatives, ctx.order), None, None


def _slopes(
    multipoles: Float[Tensor, "atom monomial channel"],
    derivatives: Float[Tensor, "atom higher channel"],
    order: int,
) -> Float[Tensor, "atom 3"]:
    """Gradient of the bilinear form in the places."""
    raised, flat = _raised(order, multipoles.device), multipoles.flatten(start_dim=1)
    slopes = [
        torch.linalg.vecdot(flat, derivatives.index_select(1, index).flatten(start_dim=1))
        for index in raised
    ]
    return torch.stack(slopes, dim=1)


def _gather(mesh: Tensor, stencil: Stencil, order: int) -> Float[Tensor, "atom monomial channel"]:
    """One axis after the other, in products that are as wide as possible."""
    channels, width, n = mesh.shape[2], stencil.window.width, order + 1
    result = mesh.new_empty((stencil.n_atoms, len(monomials(order)), channels))
    chosen = _cube_index(order, mesh.device)
    periodic = torch.arange(stencil.padded, device=mesh.device) % stencil.length
    nodes = mesh.index_select(1, periodic)
    starts = stencil.n_lines * stencil.padded - width + 1
    windows = nodes.as_strided((starts, width * channels), (channels, 1))
    near = mesh.new_empty((0, width * channels))
    for part, (x, y, z) in stencil.blocks(order, channels):
        size = part.stop - part.start
        if len(near) != size * width**2:
            near = mesh.new_empty((size * width**2, width * channels))
            first = mesh.new_empty((size, n, width**2 * channels))
        torch.index_select(windows, 0, stencil.runs(part), out=near)
        torch.bmm(x.contiguous(), near.view(size, width, -1), out=first)
        second = torch.matmul(y[:, None], first.view(size, n, width, -1))
        third = second.view(size, n * n, width, channels).transpose(1, 2).reshape(size, width, -1)
        third = torch.bmm(z, third).view(size, n**3, channels)
        torch.index_select(third, 1, chosen, out=result[part])
    return result


def _scatter(
    multipoles: Float[Tensor, "atom monomial channel"], stencil: Stencil, order: int
) -> Float[Tensor, "line node channel"]:
    """The steps of `_gather` backwards.

    Atoms are taken by the remainder of their first node: the runs of one remainder are rows of a
    matrix, and adding long rows is many times faster than adding single nodes.
    """
    channels, width, n = multipoles.shape[2], stencil.window.width, order + 1
    padded = stencil.padded
    nodes = multipoles.new_zeros(stencil.n_lines * padded * channels)
    chosen = _cube_index(order, nodes.device)
    remainder, atoms = torch.sort(stencil.z % width, stable=True)
    stencil, multipoles = stencil.select(atoms), multipoles.index_select(0, atoms)
    stops = torch.bincount(remainder, minlength=width).cumsum(0).tolist()
    cube = multipoles.new_zeros((0, n**3, channels))
    for part, weights in stencil.blocks(order, channels, stops):
        x, y, z = (w.transpose(1, 2) for w in weights)
        size = part.stop - part.start
        if len(cube) != size:
            cube = multipoles.new_zeros((size, n**3, channels))
            near = multipoles.new_empty((size, width, width**2 * channels))
        cube[:, chosen] = multipoles[part]
        third = torch.bmm(z, cube.view(size, n, -1)).view(size, width, n * n, channels)
        second = third.transpose(1, 2).reshape(size, n, n, -1)
        first = torch.matmul(y[:, None], second)
        torch.bmm(x.contiguous(), first.view(size, n, -1), out=near)
        if channels == 1:  # of numbers, single ones are added as fast
            run = stencil.runs(part)[:, None] + torch.arange(width, device=nodes.device)
            nodes.index_add_(0, run.view(-1), near.view(-1))
            continue
        start = bisect_right(stops, part.start)  # the remainder of the whole block
        rows = (stencil.n_lines * padded - start) // width
        matrix = nodes[start * channels :][: rows * width * channels].view(rows, -1)
        matrix.index_add_(0, (stencil.runs(part) - start) // width, near.view(-1, width * channels))
    return _folded(nodes.view(stencil.n_lines, padded, channels), stencil.length)


def _folded(
    nodes: Float[Tensor, "line padded channel"], length: int
) -> Float[Tensor, "line node channel"]:
    """Add what stands beyond the end of a line where it belongs."""
    folded = nodes[:, :length].clone()
    for first in range(length, nodes.shape[1], length):
        beyond = nodes[:, first : first + length]
        folded[:, : beyond.shape[1]] += beyond
    return folded
