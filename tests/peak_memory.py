"""Peak memory of one expansion, in a process of its own: prints bytes foreseen and taken.

Arguments: mesh or pairs, edge of a cube in Å, number of atoms, and what is differentiated.
"""

import sys
from pathlib import Path

import torch

from multilode.expansion import FieldExpansion, Mesh, PairSum, expand
from multilode.expansion.mesh import method as mesh_method
from multilode.expansion.pairs import pair_sum
from multilode.fields import SmearedPotential
from multilode.radial import GaussianTypeOrbitals
from multilode.structures.batch import Structures

FORESEEN: list[float] = []


def peak() -> int:
    """Largest resident memory so far; getrusage would start with that of the parent."""
    words = Path("/proc/self/status").read_text().split()
    return 1024 * int(words[words.index("VmHWM:") + 1])


def expand_gas(kind: str, edge: float, count: int, moving: str) -> None:
    """Expand, and go back if anything is differentiated."""
    generator = torch.Generator().manual_seed(0)
    given = {
        "positions": edge * torch.rand((count, 3), generator=generator, dtype=torch.float64),
        "cell": edge * torch.eye(3, dtype=torch.float64)[None],
        "smearing": torch.tensor(1.0, dtype=torch.float64),
    }
    if moving in given:
        given[moving].requires_grad_()
    structures = Structures(
        positions=given["positions"],
        species=torch.tensor([1, 8]).repeat(count // 2),
        cell=given["cell"],
        pbc=torch.full((1, 3), kind == "mesh"),
        structure_index=torch.zeros(count, dtype=torch.int64),
    )
    field = SmearedPotential(given["smearing"], 1.0)
    expansion = FieldExpansion(field, GaussianTypeOrbitals(6, 4.0), 4)
    method = Mesh(1e-6) if kind == "mesh" else PairSum(1e-6)
    found = expand(expansion, structures, species=(1, 8), method=method)
    if moving in given:
        sum(block.square().sum() for block in found.blocks.values()).backward()


def main() -> None:
    """Measure, after a small structure has loaded everything."""
    kind, edge, count, moving = sys.argv[1], float(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    for module in (mesh_method, pair_sum):
        module.require_bytes = lambda needed, *_, **__: FORESEEN.append(needed)
    expand_gas(kind, 8.0, 200, moving)
    before = peak()
    expand_gas(kind, edge, count, moving)
    sys.stdout.write(f"{FORESEEN[-1]} {peak() - before}\n")


if __name__ == "__main__":
    main()
