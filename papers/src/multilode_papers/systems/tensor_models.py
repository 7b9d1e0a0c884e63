"""Tensors of third-party data and the models that learn them, as data."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from multilode import Target
from multilode.data import Dataset, random_split
from multilode.expansion import FieldExpansion
from multilode.fields import GaussianDensity, ShiftedCosine, SmearedPotential
from multilode.models import KernelRidge, PolynomialKernel, Ridge
from multilode.radial import GaussianTypeOrbitals
from multilode_papers.systems.models import Model

Split = tuple[Dataset, Dataset]  # training and test structures
TOLERANCE = 1e-5  # of potentials: three times faster in crystals than the default
OXYGEN, WATER = (8,), (1, 8)
KERNEL = KernelRidge(kernel=PolynomialKernel(zeta=2, normalize=True), uncertainty=False)
WATER_SEED = 1


@final
@dataclass(frozen=True, kw_only=True)
class Family:
    """Structures, their tensors and the models that learn them.

    Args:
        data: name of the data set.
        origin: of the data, in a few words.
        targets: tensors of each structure.
        models: by name, the same with each choice of centers; cross-validation takes the best.
        splits: training and test sets, one pair or several.
        sizes: training structures of the learning curves of vectors.
        repeats: random orders for them.
    """

    data: str
    origin: str
    targets: tuple[Target, ...]
    models: dict[str, tuple[Model, ...]]
    splits: Callable[[Dataset], Sequence[Split]]
    sizes: tuple[int, ...] = ()
    repeats: int = 2


def families(*, quick: bool) -> list[Family]:
    """All of them; the short form has fewer models, structures and splits."""
    return [
        *(_water_cluster(name, quick=quick) for name in ("monomer", "dimer", "zundel")),
        _bulk_water(quick=quick),
        *(_small_molecules(name, quick=quick) for name in ("chno", "chns")),
        _dipeptides(quick=quick),
    ]


def _water_cluster(name: str, *, quick: bool) -> Family:
    targets = [Target(key="mu", unit="a.u.", tensor="vector")]
    if not quick:
        targets.append(Target(key="alpha", unit="a.u.", tensor="symmetric"))
    if name == "monomer" and not quick:
        targets.append(Target(key="beta", unit="a.u.", tensor="symmetric3"))
    fields = _fields(4.0, (6, 4), 4, ("V1",)) if not quick else _fields(4.0, (3, 2), 2, ("V1",))

    def splits(dataset: Dataset) -> list[Split]:
        train, test = random_split(len(dataset), 0.2, seed=WATER_SEED)
        if quick:
            train, test = train[:100], test[:100]
        return [(dataset.select(train), dataset.select(test))]

    return Family(
        data=f"water-{name}",
        origin="third-party: coupled clusters, Grisafi et al. 2018",
        targets=tuple(targets),
        models=_scales(fields, ("V1",)),
        splits=splits,
        sizes=(25, 50) if quick else (25, 50, 100, 200, 400),
    )


def _bulk_water(*, quick: bool) -> Family:
    fields, products = _fields(3.0, (6, 4), 4, ("V1", "V2", "V4")), {}
    if quick:
        fields = _fields(3.0, (3, 2), 2, ("V1",))
    else:
        products["SOAP 3 Å"] = (("rho", "rho"),)
    products["rho x V 3 Å"] = (("rho", "V1"),)
    if not quick:
        products["SOAP + rho x V 3 Å"] = (("rho", "rho"), ("rho", "V1"))
        products["SOAP + rho x (V2, V4) 3 Å"] = (("rho", "rho"), ("rho", "V2"), ("rho", "V4"))
    models = {name: _either(name, fields, terms) for name, terms in products.items()}
    if not quick:
        wide = _fields(4.0, (6, 4), 4, ())
        models["SOAP 4 Å"] = _either("SOAP 4 Å", wide, (("rho", "rho"),))

    def splits(dataset: Dataset) -> list[Split]:
        parts = np.array(dataset.labels("split"))
        train, test = (np.flatnonzero(parts == part) for part in ("train", "test"))
        if quick:
            train, test = train[:60], test[:40]
        return [(dataset.select(train), dataset.select(test))]

    return Family(
        data="bulk-water",
        origin="third-party: density-functional theory, Grisafi et al. 2018",
        targets=(
            Target(key="epsilon", reduce="mean", tensor="symmetric"),
            Target(key="alpha", unit="Å^3", reduce="mean", tensor="symmetric"),
        ),
        models=models,
        splits=splits,
    )


def _small_molecules(name: str, *, quick: bool) -> Family:
    powers = ("V3",) if quick else ("V1", "V3", "V6")

    def splits(dataset: Dataset) -> list[Split]:
        pairs = (random_split(len(dataset), 0.2, seed=seed) for seed in range(2 if quick else 8))
        return [(dataset.select(train), dataset.select(test)) for train, test in pairs]

    return Family(
        data=f"qm7x-{name}",
        origin="third-party: PBE0 + MBD, Hoja et al. 2021",
        targets=(Target(key="alpha", unit="a.u.", tensor="symmetric"),),
        models=_scales(_fields(3.0, (4, 3), 3, powers), powers),
        splits=splits,
    )


def _dipeptides(*, quick: bool) -> Family:
    fields = _fields(3.0, (2, 2), 2, ("V1",)) if quick else _fields(3.0, (4, 3), 3, ("V1",))
    models = _scales(fields, ("V1",))
    if not quick:
        wide = _fields(5.0, (6, 3), 3, ())
        alone = {"rho x V alone, kernel": (fields, ("rho", "V1"))}
        alone["local 5 Å, kernel"] = (wide, ("rho", "rho"))
        models |= {
            name: (Model.of(name, own, (term,), KERNEL, tolerance=TOLERANCE),)
            for name, (own, term) in alone.items()
        }

    def splits(dataset: Dataset) -> list[Split]:
        parts = dataset.select(range(495)), dataset.select(range(495, 550))  # files of the source
        return [(parts[0].select(range(60)), parts[1]) if quick else parts]

    return Family(
        data="dipeptides",
        origin="third-party: wB97M-D3(BJ)/def2-TZVPPD, SPICE, Eastman et al. 2023",
        targets=(Target(key="mu", unit="e Å", tensor="vector"),),
        models=models,
        splits=splits,
        sizes=(30,) if quick else (50, 100, 200, 400),
        repeats=2 if quick else 3,
    )


def _fields(
    cutoff: float, n_radial: tuple[int, int], degree: int, powers: tuple[str, ...]
) -> dict[str, FieldExpansion]:
    """The density, and potentials by the exponent in their names, on bases of one radius (Å)."""
    rho = FieldExpansion(
        GaussianDensity(0.3),
        GaussianTypeOrbitals(n_radial[0], cutoff),
        degree,
        neighbor_cutoff=cutoff,
        cutoff_function=ShiftedCosine(0.5),
    )
    basis = GaussianTypeOrbitals(n_radial[1], cutoff)
    return {"rho": rho} | {
        name: FieldExpansion(SmearedPotential(1.0, float(name.removeprefix("V"))), basis, degree)
        for name in powers
    }


def _scales(
    fields: dict[str, FieldExpansion], powers: tuple[str, ...]
) -> dict[str, tuple[Model, ...]]:
    """Kernels with and without a potential, and linear models of the same features."""
    products: dict[str, tuple[tuple[str, str], ...]] = {"local": (("rho", "rho"),)}
    for power in powers:
        name = f"multi-scale p = {power.removeprefix('V')}"
        products[name] = (("rho", "rho"), ("rho", power))
    found = {}
    for kind, estimator in (("kernel", KERNEL), ("linear", Ridge())):
        for name, terms in products.items():
            full = f"{name}, {kind}"
            found[full] = (Model.of(full, fields, terms, estimator, tolerance=TOLERANCE),)
    return found


def _either(
    name: str, fields: dict[str, FieldExpansion], terms: tuple[tuple[str, ...], ...]
) -> tuple[Model, ...]:
    """Linear models with oxygens as centers, and with all atoms."""
    return tuple(
        Model.of(name, fields, terms, Ridge(), centers=centers, tolerance=TOLERANCE)
        for centers in (OXYGEN, WATER)
    )
