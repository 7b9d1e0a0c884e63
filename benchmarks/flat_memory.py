"""Resident memory of long runs: predictions of changing cells, and steps of dynamics in ASE.

    python benchmarks/flat_memory.py --predictions 100000 --steps 10000

Prints the memory against the number that is done, and what it grew by after a tenth of them, by
which time tables and caches are full.
"""

import argparse
import gc
from collections.abc import Callable, Iterator

import numpy as np
import psutil
import torch
from ase import Atoms, units
from ase.md.langevin import Langevin

from multilode import Predictor, Ridge, Target, from_ase, train
from multilode.engines.calculator import PredictorCalculator
from multilode.expansion import FieldExpansion
from multilode.fields import GaussianDensity, SmearedPotential
from multilode.radial import GaussianTypeOrbitals
from multilode.representation.representation import Representation

SHOWN = 20  # lines of a table
LENGTH = 3.2  # Å, edge of the cell


def crystal(rng: np.random.Generator) -> Atoms:
    """Two atoms in a cell of any shape near a cube."""
    cell = LENGTH * (np.eye(3) + rng.normal(scale=0.05, size=(3, 3)))
    places = np.array([[0.0, 0, 0], [0.5, 0.5, 0.5]]) + rng.normal(scale=0.02, size=(2, 3))
    return Atoms("NaCl", scaled_positions=places, cell=cell, pbc=True)


def small_model() -> Predictor:
    """A few weights, for an energy that holds the crystal together."""
    radial = GaussianTypeOrbitals(2, 3.0)
    representation = Representation(
        fields={
            "rho": FieldExpansion(GaussianDensity(0.6), radial, 1, neighbor_cutoff=3.0),
            "V": FieldExpansion(SmearedPotential(1.2, 1.0), radial, 1),
        },
        products=(("rho", "V"),),
        species=(11, 17),
        centers=(11, 17),
    )
    rng = np.random.default_rng(0)
    images = [crystal(rng) for _ in range(60)]
    spread = [np.linalg.norm(image.get_scaled_positions()[1] - 0.5) for image in images]
    y = torch.tensor([40 * x**2 for x in spread])
    target = Target(key="energy", unit="eV", reduce="sum")
    return train(representation, from_ase(images), target=target, y=y, estimator=Ridge())


def predictions(predictor: Predictor, n: int) -> Iterator[None]:
    """Structures one at a time, each with a cell that was not there before."""
    rng = np.random.default_rng(1)
    for _ in range(n):
        predictor.predict(from_ase(crystal(rng)), forces=True)
        yield


def dynamics(predictor: Predictor, n: int) -> Iterator[None]:
    """Steps at 50 K in one cell."""
    atoms = crystal(np.random.default_rng(2))
    atoms.calc = PredictorCalculator(predictor)
    rng = np.random.default_rng(3)
    steps = Langevin(atoms, 0.2 * units.fs, temperature_K=50, friction=0.5, fixcm=False, rng=rng)
    for _ in steps.irun(n):
        yield


def measured(name: str, work: Iterator[None], n: int, tell: Callable[[str], None]) -> float:
    """MB by which the memory grew after a tenth of the work."""
    process, settled = psutil.Process(), float("nan")
    tell(f"{name}\n{'count':>8}  MB")
    for done, _ in enumerate(work, start=1):
        if done in (n, -(-n // 10)) or done % max(1, n // SHOWN) == 0:
            gc.collect()
            memory = process.memory_info().rss / 1e6
            tell(f"{done:8}  {memory:.1f}")
            if done == -(-n // 10):
                settled = memory
        if done == n:
            break
    growth = process.memory_info().rss / 1e6 - settled
    tell(f"growth after a tenth: {growth:.1f} MB")
    return growth


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--predictions", type=int, default=2000)
    parser.add_argument("--steps", type=int, default=1000)
    options = parser.parse_args()
    predictor = small_model()
    for name, work, n in (
        ("dynamics", dynamics, options.steps),
        ("predictions with changing cells", predictions, options.predictions),
    ):
        measured(name, work(predictor, n), n, lambda text: print(text, flush=True))


if __name__ == "__main__":
    main()
