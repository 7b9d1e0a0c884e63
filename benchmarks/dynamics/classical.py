"""Classical models whose energies, forces and stresses are learned: a molten salt, and water.

Point charges by Ewald's sums in three dimensions or two (Parry's), with a pair repulsion. The salt
is that of Tosi and Fumi without dispersion; water has the charges, bonds and angles of SPC/Fw and a
Lennard-Jones term that ends smoothly at 5 Å. Derivatives are those of autograd.
"""

import math

import numpy as np
import torch
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.stress import full_3x3_to_voigt_6_stress
from torch import Tensor

COULOMB = 14.399645  # eV Å
CHARGES = {11: 1.0, 17: -1.0, 8: -0.82, 1: 0.41}
SIZE = {11: 1.170, 17: 1.585}  # Å
STRENGTH = {22: 0.2637, 28: 0.2110, 34: 0.1582}  # eV, by the sum of atomic numbers
SOFTNESS = 0.317  # Å
KCAL = 0.0433641  # eV
BOND, LENGTH = 1059.162 * KCAL, 1.012  # eV/Å^2, Å
ANGLE, OPENING = 75.90 * KCAL, math.radians(113.24)
SIGMA, DEPTH, ENDS = 3.165492, 0.1554253 * KCAL, (4.0, 5.0)  # Å, eV, Å
STEPS = torch.cartesian_prod(*[torch.arange(-1.0, 2.0, dtype=torch.float64)] * 3)
SPLIT, REACH = 5.0, 8  # 1/sides, between near and far; waves along each side


class Classical(Calculator):
    """Energies, forces and stresses of one of the two, in eV and Å; water as O, H, H, O, ..."""

    implemented_properties = ("energy", "forces", "stress")

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        assert self.atoms is not None
        image: Atoms = self.atoms
        x = torch.from_numpy(image.positions).requires_grad_()
        strain = torch.zeros(3, 3, dtype=torch.float64, requires_grad=True)
        bent = torch.eye(3, dtype=torch.float64) + 0.5 * (strain + strain.T)
        cell = torch.from_numpy(np.array(image.cell))
        energy = total(x @ bent, cell @ bent, image.pbc, image.numbers)
        slopes, slope = torch.autograd.grad(energy, (x, strain))
        self.results = {"energy": float(energy.detach()), "forces": -slopes.numpy()}
        if image.pbc.all():
            stress = slope.numpy() / image.get_volume()
            self.results["stress"] = full_3x3_to_voigt_6_stress(stress)


def total(x: Tensor, cell: Tensor, pbc: np.ndarray, numbers: np.ndarray) -> Tensor:
    charges = torch.tensor([CHARGES[int(z)] for z in numbers], dtype=torch.float64)
    alpha = SPLIT / float(cell.detach()[:2].norm(dim=1).min()) if pbc.any() else 0.0
    first, second, r = neighbors(x, cell, pbc, 6.0 / alpha if alpha else math.inf)
    products = charges[first] * charges[second]
    energy = COULOMB * (products * torch.special.erfc(alpha * r) / r).sum()
    if pbc.any():
        energy = energy + COULOMB * far(x, cell, pbc, charges, alpha)
    if 8 in numbers:  # charges of one molecule do not meet
        inside = (first // 3 == second // 3) & (r < 2.5)
        energy = energy - COULOMB * (products / r)[inside].sum()
        oxygens = torch.from_numpy(np.array(numbers) == 8)
        return energy + water(x, r[oxygens[first] & oxygens[second]])
    sizes = torch.tensor([SIZE[int(k)] for k in numbers], dtype=torch.float64)
    z = torch.from_numpy(np.array(numbers))
    strengths = torch.zeros(35, dtype=torch.float64)
    strengths[list(STRENGTH)] = torch.tensor(list(STRENGTH.values()), dtype=torch.float64)
    repulsion = ((sizes[first] + sizes[second] - r) / SOFTNESS).exp()
    return energy + (strengths[z[first] + z[second]] * repulsion).sum()


def neighbors(
    x: Tensor, cell: Tensor, pbc: np.ndarray, reach: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Both atoms of each pair, and their distance."""
    steps = STEPS[(STEPS[:, ~torch.from_numpy(np.array(pbc))] == 0).all(dim=1)]
    apart = x[:, None] - x
    if pbc.any():  # to the nearest image along the periods
        known = torch.linalg.inv(cell) if pbc.all() else torch.linalg.pinv(cell[:2])
        whole = (apart.detach() @ known.detach()).round()
        apart = apart - whole @ cell[: whole.shape[2]]
    with torch.no_grad():
        square = (apart[:, :, None] + steps @ cell).square().sum(dim=3)
        once = torch.ones(len(x), len(x)).triu(1).bool()[:, :, None].repeat(1, 1, len(steps))
        once |= torch.eye(len(x)).bool()[:, :, None] & (torch.arange(len(steps)) > len(steps) // 2)
        first, second, image = torch.nonzero(once & (square < reach**2), as_tuple=True)
    d = apart[first, second] + steps[image] @ cell
    return first, second, d.norm(dim=1)


def far(x: Tensor, cell: Tensor, pbc: np.ndarray, charges: Tensor, alpha: float) -> Tensor:
    """The part of smooth charges, without that of each with itself."""
    own = alpha / math.sqrt(math.pi) * charges.square().sum()
    dimensions = 3 if pbc.all() else 2
    kinds = torch.cartesian_prod(*[torch.arange(-REACH, REACH + 1.0)] * dimensions).double()
    kinds = kinds[len(kinds) // 2 + 1 :]  # one of each pair k, -k
    kinds = kinds[kinds.norm(dim=1) <= REACH]
    if dimensions == 2:
        return _layer_waves(x, cell, alpha, kinds, charges) - own
    waves = 2 * math.pi * kinds @ torch.linalg.inv(cell).T
    square = waves.square().sum(dim=1)
    phases = x @ waves.T
    amount = (charges @ phases.cos()).square() + (charges @ phases.sin()).square()
    weights = torch.exp(-square / (4 * alpha**2)) / square
    return 4 * math.pi / torch.linalg.det(cell).abs() * (weights * amount).sum() - own


def _layer_waves(x: Tensor, cell: Tensor, alpha: float, kinds: Tensor, charges: Tensor) -> Tensor:
    """The part of smooth charges in a layer along x and y."""
    area = torch.linalg.det(cell[:2, :2]).abs()
    waves = 2 * math.pi * kinds @ torch.linalg.inv(cell[:2, :2]).T
    k = waves.norm(dim=1)
    first, second = torch.triu_indices(len(x), len(x))
    products = charges[first] * charges[second] * (2.0 - (first == second).double())
    d = x[first] - x[second]
    z = d[:, 2:]
    profile = _decay(k, z, alpha) + _decay(k, -z, alpha)
    flat = z * torch.special.erf(alpha * z)
    flat = flat + torch.exp(-((alpha * z) ** 2)) / (alpha * math.sqrt(math.pi))
    oscillating = ((d[:, :2] @ waves.T).cos() * profile / k).sum(dim=1)
    return math.pi / area * (products * (oscillating - flat[:, 0])).sum()


def _decay(k: Tensor, z: Tensor, alpha: float) -> Tensor:
    """exp(kz) erfc(k/2a + az) without overflow."""
    argument = k / (2 * alpha) + alpha * z
    envelope = torch.exp(-((k / (2 * alpha)) ** 2) - (alpha * z) ** 2)
    small = envelope * torch.special.erfcx(argument.clamp(min=0))
    large = torch.exp((k * z).clamp(max=0)) * torch.special.erfc(argument.clamp(max=0))
    return torch.where(argument > 0, small, large)


def water(x: Tensor, apart: Tensor) -> Tensor:
    """Bonds, angles, and what oxygens at these distances feel beside their charges."""
    arms = x.reshape(-1, 3, 3)[:, 1:] - x.reshape(-1, 3, 3)[:, :1]
    lengths = arms.norm(dim=2)
    cosine = (arms[:, 0] * arms[:, 1]).sum(dim=1) / lengths.prod(dim=1)
    energy = 0.5 * BOND * (lengths - LENGTH).square().sum()
    energy = energy + 0.5 * ANGLE * (torch.acos(cosine) - OPENING).square().sum()
    near = apart[apart < ENDS[1]]
    part = ((near - ENDS[0]) / (ENDS[1] - ENDS[0])).clamp(0, 1)
    weight = 1 - part**3 * (10 - 15 * part + 6 * part**2)
    power = (SIGMA / near) ** 6
    return energy + 4 * DEPTH * (weight * (power**2 - power)).sum()
