"""Between atoms and a mesh: derivatives of mesh functions at atoms, and its transpose.

Both are one bilinear form of a mesh function f and of multipoles M on the atoms,
sum over atoms, monomials and channels of M[a, alpha, c] d^alpha f_c (u_a): interpolation is its
gradient in M, spreading its gradient in f, and the gradient in the places u_a is an interpolation
with one derivative more. So each is the adjoint of the other, to any order.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from multilode.expand.window import Window

# Values of the nodes around the atoms of a block: they stay in cache, or fill a GPU
_BLOCK_BYTES = {"cpu": 3_000_000}
_BLOCK_BYTES_DEVICE = 400_000_000
_WEIGHTED_ATOMS = 4096  # whose weights are computed at once
_KEPT_BYTES = 300_000_000  # of derivatives that the forward pass keeps for the backward pass


@final
@dataclass(frozen=True, eq=False)
class Stencil:
    """The nodes that each atom touches: node (i, j, k) is row x[i] + y[j] + z[k] of the mesh.

    Args:
        window: spreads an atom over nodes.
        places: of the atoms, in units of the node spacing; values only, gradients do not pass.
        x: contribution of the node along the first axis to its row.
        y: likewise.
        z: likewise.
        n_rows: of the mesh.
    """

    window: Window
    places: Float[Tensor, "atom 3"]
    x: Int[Tensor, "atom node"]
    y: Int[Tensor, "atom node"]
    z: Int[Tensor, "atom node"]
    n_rows: int

    @property
    def n_atoms(self) -> int:
        """Number of atoms."""
        return len(self.x)

    def select(self, atoms: Int[Tensor, " chosen"]) -> "Stencil":
        """The stencil of some of the atoms."""
        parts = (t[atoms] for t in (self.places, self.x, self.y, self.z))
        return Stencil(self.window, *parts, self.n_rows)

    def rows(self, part: slice) -> Int[Tensor, " atom_node_node_node"]:
        """Rows of the mesh that some atoms touch, z fastest."""
        lines = self.x[part, :, None] + self.y[part, None, :]
        return (lines[..., None] + self.z[part, None, None, :]).reshape(-1)

    def blocks(
        self, order: int, channels: int
    ) -> Iterator[tuple[slice, tuple[Float[Tensor, "atom o node"], ...]]]:
        """Blocks of atoms whose nodes fit into the fast memory, with the weights along each axis.

        Args:
            order: largest derivative of the weights.
            channels: functions on the mesh.
        """
        room = _BLOCK_BYTES.get(self.x.device.type, _BLOCK_BYTES_DEVICE)
        size = max(1, room // (self.window.width**3 * channels * self.places.itemsize))
        for group in range(0, self.n_atoms, _WEIGHTED_ATOMS):
            stop = min(group + _WEIGHTED_ATOMS, self.n_atoms)
            weights = self.window.weights(self.places[group:stop], order)
            for first in range(group, stop, size):
                part = slice(first, min(first + size, stop))
                yield part, weights[part.start - group : part.stop - group].unbind(1)


def interpolate(
    mesh: Float[Tensor, "row channel"],
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
) -> Float[Tensor, "row channel"]:
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
    """Where d^alpha goes under one more derivative along each axis."""
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
        count = len(monomials(order + 1)) * stencil.n_atoms * mesh.shape[1] * mesh.itemsize
        if not (ctx.needs_input_grad[1] and count < _KEPT_BYTES):
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
    ) -> Float[Tensor, "row channel"]:
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
    raised = _raised(order, multipoles.device)
    return torch.stack(
        [(multipoles * derivatives[:, index]).sum(dim=(1, 2)) for index in raised], dim=1
    )


def _gather(mesh: Tensor, stencil: Stencil, order: int) -> Float[Tensor, "atom monomial channel"]:
    """One axis after the other, in products that are as wide as possible."""
    channels, width, n = mesh.shape[1], stencil.window.width, order + 1
    result = mesh.new_empty((stencil.n_atoms, len(monomials(order)), channels))
    chosen = _cube_index(order, mesh.device)
    for part, (x, y, z) in stencil.blocks(order, channels):
        rows, size = stencil.rows(part), part.stop - part.start
        near = mesh.view(-1)[rows] if channels == 1 else torch.nn.functional.embedding(rows, mesh)
        near = torch.bmm(x, near.view(size, width, -1))
        near = torch.matmul(y[:, None], near.view(size, n, width, -1))
        near = near.view(size, n * n, width, channels).transpose(1, 2).reshape(size, width, -1)
        near = torch.bmm(z, near).view(size, n**3, channels)
        torch.index_select(near, 1, chosen, out=result[part])
    return result


def _scatter(
    multipoles: Float[Tensor, "atom monomial channel"], stencil: Stencil, order: int
) -> Float[Tensor, "row channel"]:
    """The steps of `_gather` backwards."""
    channels, width, n = multipoles.shape[2], stencil.window.width, order + 1
    mesh = multipoles.new_zeros((stencil.n_rows, channels))
    chosen = _cube_index(order, mesh.device)
    cube = mesh.new_zeros((0, n**3, channels))
    for part, weights in stencil.blocks(order, channels):
        x, y, z = (w.transpose(1, 2) for w in weights)
        size = part.stop - part.start
        if len(cube) != size:
            cube = mesh.new_zeros((size, n**3, channels))
        cube[:, chosen] = multipoles[part]
        near = torch.bmm(z, cube.view(size, n, -1)).view(size, width, n * n, channels)
        near = near.transpose(1, 2).reshape(size, n, n, -1)
        near = torch.matmul(y[:, None], near)
        near = torch.bmm(x, near.view(size, n, -1)).view(-1, channels)
        rows = stencil.rows(part)
        if channels == 1:
            mesh.view(-1).index_add_(0, rows, near.view(-1))
        else:
            mesh.index_add_(0, rows, near)
    return mesh
