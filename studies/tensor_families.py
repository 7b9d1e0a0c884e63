"""The systems of the study of tensors and their models, as data."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, final

from tensor_data import Data, bulk_water, dipeptides, qm7x, water_clusters

from multilode.expansion import FieldExpansion
from multilode.fields import GaussianDensity, SmearedPotential
from multilode.fields.cutoffs import ShiftedCosine
from multilode.models.targets import Reduce
from multilode.radial import GaussianTypeOrbitals

Zeta = Literal[1, 2]
HYDROGEN, CARBON, NITROGEN, OXYGEN, SULFUR = 1, 6, 7, 8, 16
WATER = (HYDROGEN, OXYGEN)


@final
@dataclass(frozen=True, kw_only=True)
class Basis:
    """Fields and their bases, all with the same largest l.

    Args:
        cutoff: radius in Å of the environments.
        density: radial functions of the density, smearing 0.3 Å.
        potential: radial functions of potentials, smearing 1 Å.
        max_angular: largest l.
    """

    cutoff: float
    density: int
    potential: int
    max_angular: int

    def expansion(self, field: str) -> FieldExpansion:
        """The expansion of `rho`, or of the potential `V` with the exponent that follows."""
        if field == "rho":
            return FieldExpansion(
                GaussianDensity(0.3),
                GaussianTypeOrbitals(self.density, self.cutoff),
                self.max_angular,
                neighbor_cutoff=self.cutoff,
                cutoff_function=ShiftedCosine(0.5),
            )
        return FieldExpansion(
            SmearedPotential(1.0, float(field.removeprefix("V"))),
            GaussianTypeOrbitals(self.potential, self.cutoff),
            self.max_angular,
        )


@final
@dataclass(frozen=True, kw_only=True)
class Term:
    """The product of the density with a field.

    Args:
        field: `rho`, or `V` with its exponent.
        basis: bases of both.
    """

    field: str
    basis: Basis

    @property
    def name(self) -> str:
        """For tables."""
        return f"rho x {self.field} {self.basis.radius:g} Å"


@final
@dataclass(frozen=True, kw_only=True)
class Row:
    """One model.

    Args:
        name: in tables and legends.
        terms: products whose kernels are added up.
        zeta: 1 for linear models of raw features, 2 for kernels of normalized ones.
        centers: sets of center species, among which cross-validation chooses.
    """

    name: str
    terms: tuple[Term, ...]
    zeta: Zeta
    centers: tuple[tuple[int, ...], ...]


@final
@dataclass(frozen=True, kw_only=True)
class Family:
    """Structures with properties that share their features.

    Args:
        name: of the structures.
        data: structures, properties and splits.
        reduce: "sum" for extensive, "mean" for intensive properties.
        rows: the models.
        sizes: training structures of the learning curves, below all.
        orders: random orders of each training set.
    """

    name: str
    data: Data
    reduce: Reduce
    rows: tuple[Row, ...]
    sizes: tuple[int, ...]
    orders: int


def _scales(
    centers: tuple[tuple[int, ...], ...], basis: Basis, *potentials: str
) -> tuple[Row, ...]:
    """Kernels with and without potentials, and the linear models of the same features."""
    local = Term(field="rho", basis=basis)
    far = [Term(field=field, basis=basis) for field in potentials]
    sums = [("local", (local,))]
    sums += [(f"multi-scale, {t.field.replace('V', 'p = ')}", (local, t)) for t in far]
    zetas: list[tuple[Zeta, str]] = [(2, "kernel"), (1, "linear")]
    return tuple(
        Row(name=f"{name}, {kind}", terms=terms, zeta=zeta, centers=centers)
        for zeta, kind in zetas
        for name, terms in sums
    )


def _water_families(folder: Path) -> list[Family]:
    basis = Basis(cutoff=4.0, density=6, potential=4, max_angular=4)
    wanted = {
        "monomer": {"mu": "vector", "alpha": "symmetric", "beta": "symmetric3"},
        "dimer": {"mu": "vector", "alpha": "symmetric"},
        "zundel": {"mu": "vector", "alpha": "symmetric"},
    }
    return [
        Family(
            name=name,
            data=water_clusters(folder, name, tensors),
            reduce="sum",
            rows=_scales((WATER,), basis, "V1"),
            sizes=(25, 50, 100, 200, 400),
            orders=2,
        )
        for name, tensors in wanted.items()
    ]


def _bulk_families(folder: Path) -> list[Family]:
    either = ((OXYGEN,), WATER)
    small = Basis(cutoff=3.0, density=6, potential=4, max_angular=4)
    near = Term(field="rho", basis=small)
    wide = Term(field="rho", basis=Basis(cutoff=4.0, density=6, potential=4, max_angular=4))
    far, fast, faster = (Term(field=field, basis=small) for field in ("V1", "V2", "V4"))
    models = {
        "SOAP 3 Å": (near,),
        "SOAP 4 Å": (wide,),
        "rho x V 3 Å": (far,),
        "SOAP + rho x V 3 Å": (near, far),
        "SOAP + rho x (V2, V4) 3 Å": (near, fast, faster),
    }
    return [
        Family(
            name="bulk water",
            data=bulk_water(folder),
            reduce="mean",
            rows=tuple(
                Row(name=name, terms=terms, zeta=1, centers=either)
                for name, terms in models.items()
            ),
            sizes=(50, 100, 200, 400),
            orders=3,
        )
    ]


def _qm7x_families(folder: Path) -> list[Family]:
    basis = Basis(cutoff=3.0, density=4, potential=3, max_angular=3)
    elements = {
        "chno": (HYDROGEN, CARBON, NITROGEN, OXYGEN),
        "chns": (HYDROGEN, CARBON, NITROGEN, SULFUR),
    }
    return [
        Family(
            name=f"qm7x {name}",
            data=qm7x(folder, name, range(8)),
            reduce="sum",
            rows=_scales((species,), basis, "V1", "V3", "V6"),
            sizes=(20, 40),
            orders=1,
        )
        for name, species in elements.items()
    ]


def _dipeptide_families(folder: Path) -> list[Family]:
    centers = ((HYDROGEN, CARBON, NITROGEN, OXYGEN),)
    basis = Basis(cutoff=3.0, density=4, potential=3, max_angular=3)
    wide = Basis(cutoff=5.0, density=6, potential=3, max_angular=3)
    alone = {
        "rho x V alone": Term(field="V1", basis=basis),
        "local 5 Å": Term(field="rho", basis=wide),
    }
    return [
        Family(
            name="dipeptides",
            data=dipeptides(folder),
            reduce="sum",
            rows=(
                *_scales(centers, basis, "V1"),
                *(
                    Row(name=f"{name}, kernel", terms=(term,), zeta=2, centers=centers)
                    for name, term in alone.items()
                ),
            ),
            sizes=(50, 100, 200, 400),
            orders=3,
        )
    ]


SYSTEMS = {
    "water_clusters": _water_families,
    "bulk_water": _bulk_families,
    "qm7x": _qm7x_families,
    "dipeptides": _dipeptide_families,
}
