"""torch-pme's particle-mesh Ewald potential, one scalar charge channel per species."""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torchpme
import vesin
from ase import Atoms
from problem import SPECIES
from systems import liquid
from timing import once


@dataclass(frozen=True)
class PmeSettings:
    """Radius of the neighbors in Å, smearing of the split, and the mesh."""

    cutoff: float
    smearing: float
    mesh: int  # nodes along each axis of the supercell of 39.4 Å; powers of two
    interpolation_nodes: int


# The fastest found by `python benchmarks/pme.py` with errors below the tolerance
SETTINGS = {
    1e-4: PmeSettings(6.5, 1.52, 64, 7),
    1e-6: PmeSettings(8.0, 1.52, 128, 7),
}
_EXACT = PmeSettings(9.0, 1.2, 256, 7)  # moves by 2e-8 when radius and smearing change


class Pme:
    """One system with fixed settings, its positions and cell leaves of a graph."""

    def __init__(self, atoms: Atoms, settings: PmeSettings) -> None:
        self.atoms, self.settings = atoms, settings
        self.positions = torch.tensor(atoms.positions, requires_grad=True)
        self.cell = torch.tensor(atoms.cell[:], requires_grad=True)
        kinds = np.searchsorted(SPECIES, atoms.numbers)
        self.charges = torch.eye(len(SPECIES), dtype=torch.float64)[torch.from_numpy(kinds)]
        shortest = float(atoms.cell.lengths().min())
        self.calculator = torchpme.PMECalculator(
            torchpme.CoulombPotential(smearing=settings.smearing),
            mesh_spacing=2 * shortest / (settings.mesh - 1),  # it takes 2 L / spacing + 1 nodes
            interpolation_nodes=settings.interpolation_nodes,
        ).to(torch.float64)
        self.find_neighbors()

    def find_neighbors(self) -> None:
        search = vesin.NeighborList(cutoff=self.settings.cutoff, full_list=False)
        i, j, shifts = search.compute(
            points=self.atoms.positions, box=self.atoms.cell[:], periodic=True, quantities="ijS"
        )
        self.pairs = torch.from_numpy(np.stack([i, j], axis=1).astype(np.int64))
        self.shifts = torch.from_numpy(shifts.astype(float))

    def potential(self) -> torch.Tensor:
        """Of each species at each atom, [atom, species], half of it as the package has it."""
        i, j = self.pairs.unbind(1)
        vectors = self.positions[j] - self.positions[i] + self.shifts @ self.cell
        distances = torch.linalg.vector_norm(vectors, dim=1)
        return self.calculator(self.charges, self.cell, self.positions, self.pairs, distances)

    def values(self) -> None:
        with torch.no_grad():
            self.potential()

    def backward(self) -> None:
        found = self.potential()
        torch.autograd.grad(found, (self.positions, self.cell), torch.ones_like(found))

    def backward_with_neighbors(self) -> None:
        self.find_neighbors()
        self.backward()


def converged(atoms: Atoms) -> torch.Tensor:
    """Potential that the error of other settings is measured against."""
    with torch.no_grad():
        return Pme(atoms, _EXACT).potential()


def error(pme: Pme, reference: torch.Tensor) -> float:
    """Largest deviation of a potential over the largest potential."""
    with torch.no_grad():
        return float((pme.potential() - reference).abs().max() / reference.abs().max())


def _candidates(tolerance: float) -> Iterator[tuple[PmeSettings, ...]]:
    """Settings that differ in the interpolation alone, the most accurate first."""
    ratios = (3.9, 4.2) if tolerance > 1e-5 else (5.0, 5.4)
    for cutoff in (4.0, 5.0, 6.0, 7.0, 8.0):
        for ratio in ratios:
            for mesh in (32, 64, 128):
                yield tuple(PmeSettings(cutoff, cutoff / ratio, mesh, n) for n in (7, 6, 5, 4, 3))


def _tuned(atoms: Atoms, tolerance: float, seconds_of: Callable[[Pme], float]) -> None:
    reference = converged(atoms)
    for family in _candidates(tolerance):
        for settings in family:
            pme = Pme(atoms, settings)
            deviation = error(pme, reference)
            if deviation > tolerance:
                break
            print(f"{tolerance:.0e} {deviation:.1e} {seconds_of(pme):7.3f} s  {settings}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Settings of the peer, by trial.")
    parser.add_argument("--threads", type=int, default=2)
    torch.set_num_threads(parser.parse_args().threads)
    for tolerance in SETTINGS:
        _tuned(liquid(4), tolerance, lambda pme: min(once(pme.backward) for _ in range(2)))


if __name__ == "__main__":
    main()
