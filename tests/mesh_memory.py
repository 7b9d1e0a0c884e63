"""Peak memory of one expansion on a mesh, in a process of its own: prints bytes foreseen and taken.

Arguments: edge of a cubic cell in Å, number of atoms, and what is differentiated.
"""

import sys
from pathlib import Path

import torch

from multilode.expand import FieldExpansion, Mesh, expand
from multilode.expand.mesh import method
from multilode.fields import SmearedPotential
from multilode.radial import GaussianTypeOrbitals
from multilode.structures import Structures

FORESEEN: list[float] = []


def peak() -> int:
    """Largest resident memory so far; getrusage would start with that of the parent."""
    words = Path("/proc/self/status").read_text().split()
    return 1024 * int(words[words.index("VmHWM:") + 1])


def expand_gas(edge: float, count: int, moving: str) -> None:
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
        pbc=torch.ones((1, 3), dtype=torch.bool),
        structure_index=torch.zeros(count, dtype=torch.int64),
    )
    field = SmearedPotential(given["smearing"], 1.0)
    expansion = FieldExpansion(field, GaussianTypeOrbitals(6, 4.0), 4)
    found = expand(expansion, structures, species=(1, 8), method=Mesh(1e-6))
    if moving in given:
        sum(block.square().sum() for block in found.blocks.values()).backward()


def main() -> None:
    """Measure, after a small structure has loaded everything."""
    edge, count, moving = float(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    method.require_bytes = lambda needed, *_, **__: FORESEEN.append(needed)
    expand_gas(8.0, 20, moving)
    before = peak()
    expand_gas(edge, count, moving)
    sys.stdout.write(f"{FORESEEN[-1]} {peak() - before}\n")


if __name__ == "__main__":
    main()
