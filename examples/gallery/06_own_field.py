r"""
A field of one's own
====================

A field is a measure over Gaussians, :math:`v(r) = \int \mathrm{d}t\, w(t)\, e^{-t r^2}`. With the
weight alone a field is known to every method of expansion, periodicity and derivative. Here
:math:`e^{-r/b}`.
"""

import math
from dataclasses import dataclass

import matplotlib.pyplot as plt
import torch
from ase.build import bulk

import multilode as ml
from multilode import fields
from multilode.testing import check_field


@dataclass(frozen=True)
class Slater(fields.AbstractField):
    """exp(-r / b), smooth at the atom."""

    smearing: float
    length: float
    ranges = {
        "smearing": fields.ParameterRange(0.01, 100.0, 0.05),
        "length": fields.ParameterRange(0.1, 50.0, 0.05),
    }
    tail = None  # no power law,
    widest = math.inf  # but Gaussians of any width

    def __post_init__(self):
        fields.check_parameters(self)

    def measure(self, lowest, highest):
        rate = 0.25 / torch.as_tensor(self.length, dtype=torch.float64) ** 2
        lowest = fields.higher(lowest, rate / 60)  # below, exp(-60) is left
        highest = fields.lower(highest, fields.rate_of(self.smearing))
        weight = lambda t: torch.sqrt(rate / (math.pi * t)) * torch.exp(-rate / t)
        return fields.log_quadrature(weight, lowest, highest)


# %%
# A check says whether profile and transform belong together; then the field has a name for
# configurations.

check_field(Slater(0.4, 1.5))
fields.FIELDS["slater"] = Slater

# %%
# Its profile beside what is meant, and coefficients of a crystal by two methods that know
# nothing of each other.

r = torch.linspace(0.01, 8, 100, dtype=torch.float64)
figure, axis = plt.subplots(figsize=(4.5, 3.5), layout="constrained")
axis.semilogy(r, Slater(0.4, 1.5).profile(r), label="Slater(0.4, 1.5)")
axis.semilogy(r, torch.exp(-r / 1.5), "k--", label="exp(-r / 1.5 Å)")
axis.set(xlabel="r (Å)")
axis.legend()
plt.show()

expansion = ml.FieldExpansion(Slater(0.4, 1.5), ml.GaussianTypeOrbitals(3, 3.0), max_angular=2)
crystal = ml.from_ase(bulk("NaCl", "rocksalt", a=5.64)).structures
waves, split = (
    ml.expand(expansion, crystal, species=(11, 17), method=method)
    for method in (ml.ReciprocalSum(), ml.EwaldSplit())
)
for irrep, block in waves.blocks.items():
    print(irrep, "largest difference:", float((block - split.blocks[irrep]).abs().max()))
