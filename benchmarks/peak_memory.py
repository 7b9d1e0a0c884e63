"""Largest resident memory of one expansion in bytes, for a process that does nothing else."""

import argparse

import torch
from bench_mesh import LARGE_SIZES, SMEARING, TOLERANCE
from problem import backward, coefficients, values
from systems import differentiable, liquid, to_structures
from timing import peak_bytes

from multilode.structures.batch import Structures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("start", "values", "values + derivatives"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--atoms", type=int, choices=LARGE_SIZES, default=max(LARGE_SIZES))
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    backward(to_structures(liquid(2)), SMEARING, TOLERANCE, "mesh")()  # tables and libraries
    structures = to_structures(liquid(LARGE_SIZES[arguments.atoms]))
    if arguments.what == "values":
        values(structures, SMEARING, TOLERANCE, "mesh")()
    elif arguments.what == "values + derivatives":
        once_with_derivatives(structures)
    print(peak_bytes())


def once_with_derivatives(structures: Structures) -> None:
    """A single pass: no memory is left from an earlier one."""
    moving = differentiable(structures)
    blocks = coefficients(moving, SMEARING, TOLERANCE, "mesh")
    cotangents = [torch.ones_like(b) for b in blocks]
    torch.autograd.grad(blocks, (moving.positions, moving.cell), cotangents)


if __name__ == "__main__":
    main()
