"""How much of what the machine can do is used: matrix products, transforms and gathers."""

import math
from collections.abc import Callable

import torch
from problem import MAX_ANGULAR, N_RADIAL, SPECIES, backward, potential, values
from systems import liquid, to_structures
from timing import in_turn, quantity
from torch.autograd.profiler import profile

from multilode.expansion.lattice.box import enclosing_box
from multilode.expansion.lattice.reciprocal_sum import half_space
from multilode.expansion.mesh.plan import MeshPlan, plan_for
from multilode.radial.tables import reciprocal_table
from multilode.structures.batch import Structures

_PRODUCTS = ("aten::mm", "aten::addmm", "aten::addmm_", "aten::bmm")


def run(threads: int) -> list[dict]:
    return direct_sum(threads) + mesh(threads)


def direct_sum(threads: int) -> list[dict]:
    """Operations of its products over the time of the products, and over all of its time."""
    structures, smearing, tolerance = to_structures(liquid(2)), 1.0, 1e-6
    rows = structures.n_atoms * len(SPECIES)
    columns = N_RADIAL * (MAX_ANGULAR + 1) ** 2
    work = 2 * rows * columns * _waves(structures, smearing, tolerance)
    square, narrow = _product(2048, 2048, 2048), _product(rows, 1000_000 // rows, columns // 2)
    entries = []
    for what, call, passes in (
        ("values", values(structures, smearing, tolerance, "reciprocal_sum"), 1),
        ("values + derivatives", backward(structures, smearing, tolerance, "reciprocal_sum"), 3),
    ):
        whole, best, same_shape = in_turn((call, square[0], narrow[0]), rounds=5)
        rate, achieved = square[1] / best, passes * work / whole
        inside = passes * work / _seconds_of_products(call)
        settings = {
            "tolerance": tolerance, "threads": threads, "dtype": "float64",
            "gemm_gflops": rate / 1e9, "narrow_gemm_gflops": narrow[1] / same_shape / 1e9,
        }  # fmt: skip
        name = f"direct sum, 768 atoms, {what}, over the rate of a large matrix product"
        entries += [
            quantity(f"{name}: its products", inside / rate, "", target="at least 0.5",
                     gflops=inside / 1e9, **settings),
            quantity(f"{name}: all of it", achieved / rate, "", gflops=achieved / 1e9, **settings),
        ]  # fmt: skip
    return entries


def _waves(structures: Structures, smearing: float, tolerance: float) -> int:
    expansion = potential(smearing)
    table = reciprocal_table(expansion.field, expansion.basis, MAX_ANGULAR, tolerance)
    cell = structures.cell[0]
    box = enclosing_box(
        structures.positions, cell, (True,) * 3, reach=0.0, band=table.k_max, tolerance=tolerance
    )
    return len(half_space(cell, 2 * math.pi * torch.linalg.inv(cell), table.k_max, box))


def _product(m: int, k: int, n: int) -> tuple[Callable[[], object], float]:
    """A matrix product and its floating-point operations."""
    a, b = torch.randn(m, k, dtype=torch.float64), torch.randn(k, n, dtype=torch.float64)
    out = torch.empty(m, n, dtype=torch.float64)
    return lambda: torch.mm(a, b, out=out), 2.0 * m * k * n


def _seconds_of_products(call: Callable[[], object]) -> float:
    with profile() as record:
        call()
    events = [e for e in record.key_averages() if e.key in _PRODUCTS]
    return sum(e.self_cpu_time_total for e in events) * 1e-6


def mesh(threads: int) -> list[dict]:
    structures, smearing, tolerance = to_structures(liquid(4)), 1.0, 1e-4
    bare = _Bare(structures, smearing, tolerance)
    calls = (
        values(structures, smearing, tolerance, "mesh"),
        backward(structures, smearing, tolerance, "mesh"),
        bare.transforms,
        bare.transforms_of_adjoint,
        bare.one_weight,
        lambda: bare.gather(MAX_ANGULAR),
        lambda: bare.gather(MAX_ANGULAR + 1),
        bare.scatter,
    )
    whole, back, fft, adjoint, bag, gather, higher, scatter = in_turn(calls, rounds=5)
    settings = {"tolerance": tolerance, "threads": threads, "dtype": "float64"}
    name = "mesh, 6144 atoms"
    return [
        quantity(f"{name}, values, over its bare transforms and gathers", whole / (fft + gather),
                 "", target="at most 2", seconds=whole, transforms=fft, gathers=gather, **settings),
        quantity(f"{name}, values, over transforms and gathers of values without derivatives",
                 whole / (fft + bag), "", gathers=bag, **settings),
        quantity(f"{name}, values + derivatives, over its bare transforms, gathers and scatters",
                 back / (fft + adjoint + higher + scatter), "", target="at most 2", seconds=back,
                 transforms=fft + adjoint, gathers=higher, scatters=scatter, **settings),
    ]  # fmt: skip


class _Bare:
    """The same transforms and accesses of nodes, from arrays that lie ready: a lower bound."""

    def __init__(self, structures: Structures, smearing: float, tolerance: float) -> None:
        cell = structures.cell.numpy()
        plan: MeshPlan = plan_for(potential(smearing), tolerance, cell, structures.n_atoms)
        self.shape, self.width = plan.shape(cell[0]), plan.window.width
        self.channels = len(SPECIES) * plan.compression.n_functions
        generator = torch.Generator().manual_seed(0)
        self.densities = torch.randn((len(SPECIES), *self.shape), dtype=torch.float64)
        self.waves = torch.fft.rfftn(self.densities, dim=(1, 2, 3))
        nodes = math.prod(self.shape)
        self.fields = torch.randn((nodes, self.channels), dtype=torch.float64)
        self.rows = self._rows(structures)
        self.weights = torch.randn(self.rows.shape, dtype=torch.float64, generator=generator)
        # as many atoms at once as stay in cache
        self.step = max(1, 3_000_000 // (self.width**3 * self.channels * 8))

    def _rows(self, structures: Structures) -> torch.Tensor:
        """Nodes in a cube around each atom."""
        nodes = torch.tensor(self.shape)
        fractions = structures.positions @ torch.linalg.inv(structures.cell[0])
        first = torch.floor((fractions % 1) * nodes).long()
        reach = torch.arange(self.width)
        x, y, z = ((first[:, a, None] + reach) % nodes[a] for a in range(3))
        lines = x[:, :, None] * self.shape[1] + y[:, None]
        return (lines[..., None] * self.shape[2] + z[:, None, None]).flatten(start_dim=1)

    def transforms(self) -> None:
        """One for each species, one back for each species and radial function."""
        torch.fft.rfftn(self.densities, dim=(1, 2, 3))
        for i in range(self.channels):
            torch.fft.irfftn(self.waves[i % len(SPECIES)], s=self.shape, norm="forward")

    def transforms_of_adjoint(self) -> None:
        for i in range(self.channels):
            torch.fft.rfftn(self.densities[i % len(SPECIES)])
        torch.fft.irfftn(self.waves, s=self.shape, dim=(1, 2, 3), norm="forward")

    def one_weight(self) -> None:
        """Sums over the nodes around each atom: what values alone would take."""
        torch.nn.functional.embedding_bag(
            self.rows, self.fields, mode="sum", per_sample_weights=self.weights
        )

    def gather(self, order: int) -> None:
        """Read the nodes, and contract one axis after the other with all derivatives."""
        n, width = order + 1, self.width
        axis = torch.ones((self.step, n, width), dtype=torch.float64)
        for part in self.rows.split(self.step):
            size = len(part)
            near = torch.nn.functional.embedding(part, self.fields)
            near = torch.bmm(axis[:size], near.view(size, width, -1))
            near = torch.matmul(axis[:size, None], near.view(size, n, width, -1))
            torch.bmm(axis[:size], near.view(size, width, -1))

    def scatter(self) -> None:
        """Expand one axis after the other, and add to the nodes."""
        n, width = MAX_ANGULAR + 1, self.width
        axis = torch.ones((self.step, width, n), dtype=torch.float64)
        for part in self.rows.split(self.step):
            size = len(part)
            near = torch.ones((size, n, n * n * self.channels), dtype=torch.float64)
            near = torch.bmm(axis[:size], near)
            near = torch.matmul(axis[:size, None], near.view(size, n, n, -1))
            near = torch.bmm(axis[:size], near.view(size, n, -1))
            self.fields.index_add_(0, part.flatten(), near.view(-1, self.channels))
