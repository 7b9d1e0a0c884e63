"""Coefficients of a potential as a multipole expansion (2021, Eqs. 11-19).

Numbers instead of curves: coefficients of far sources against solid harmonics, energies of linear
models against sums over their multipoles, the limit of point charges, and which l carries what.
"""

import numpy as np
import torch
from jaxtyping import Float
from scipy.special import eval_legendre
from torch import Tensor

from multilode import Target
from multilode.expansion import FieldExpansion
from multilode.fields import GaussianDensity, SmearedPotential
from multilode.models import Ridge
from multilode.prediction import NoBaseline, train
from multilode.radial import GaussianTypeOrbitals, Monomials
from multilode.report import Picture, Table, error_bars
from multilode.representation import Representation
from multilode.structures import Structures
from multilode_papers.systems.models import error_row
from multilode_papers.systems.multipole_numbers import (
    COULOMB,
    DEGREE,
    RADIUS,
    SMEARING,
    coefficient_deviation,
    coulomb_deviation,
    energy_deviation,
    surrounded,
)
from multilode_papers.systems.outcome import DataUsed, Outcome, Row
from multilode_papers.systems.study import Study

NAMES = ("charge", "dipole", "quadrupole", "octupole")
HEAD, TAIL, MIDDLE, PROBE = 7, 8, 6, 1  # labels of the atoms of the rigid molecule and the probe
ARMS = (0.9, -1.1)  # Å, places of the two ends on the axis
POINTLIKE = ((0.5, 1.0), (0.5, 0.5), (0.25, 0.25))  # Å, radius and smearing
N_TRAIN, N_TEST = 200, 200


def run(study: Study) -> Outcome:
    """The identities as numbers, and errors of each degree for each multipole."""
    structures = surrounded(study.seed)
    deviations = coefficient_deviation(structures)
    energy = energy_deviation(structures, study.seed)
    limit = {pair: coulomb_deviation(*pair, study.seed) for pair in POINTLIKE}
    rows = _which_degree(study)
    return Outcome(
        rows=tuple(rows),
        data=(
            DataUsed(
                name="multipoles",
                structures=N_TRAIN + N_TEST,
                paper=None,
                origin="exact: a point charge in the field of an axial multipole",
            ),
        ),
        config={
            "identities": {"radius": RADIUS, "smearing": SMEARING, "max_angular": DEGREE},
            "which degree": {"train": "6-9 Å", "test": "9.5-20 Å", "features": "rho x V"},
        },
        seed=study.seed,
        pictures={"degrees": _picture(rows)},
        tables={
            "Coefficients of far sources against the multipole expansion (Eq. 12)": Table(
                header=("l", "largest relative deviation"),
                rows=tuple((str(l), f"{d:.1e}") for l, d in enumerate(deviations)),
            ),
            "l = 0 as a Coulomb sum without a fit (Eq. 19)": Table(
                header=("radius (Å)", "smearing (Å)", "RMSE%"),
                rows=tuple((f"{r:g}", f"{s:g}", error) for (r, s), error in limit.items()),
            ),
        },
        notes=_notes(deviations, energy, limit, rows),
        numbers={f"Coulomb sum, {r:g} Å, smearing {s:g} Å": e for (r, s), e in limit.items()},
    )


def _which_degree(study: Study) -> list[Row]:
    """Each multipole learned with each degree, and extrapolated."""
    rows = []
    sets = {name: _probes(study.seed + k, bounds) for k, (name, bounds) in enumerate(_RANGES)}
    for order, multipole in enumerate(NAMES):
        for degree in range(len(NAMES)):
            study.stage(f"{multipole}, l <= {degree}")
            energies = {k: _energies(part, order) for k, part in sets.items()}
            predictor = train(
                _representation(degree),
                sets["train"],
                y=energies["train"],
                target=Target(key="energy", unit="eV"),
                estimator=Ridge(regularization=1e-12),
                baseline=NoBaseline(),
            )
            rows.append(
                error_row(
                    f"{multipole}, l <= {degree}",
                    energies["test"],
                    predictor.predict(sets["test"]).values,
                    data="multipoles",
                    subset="9.5-20 Å",
                    n_train=N_TRAIN,
                    unit="eV",
                )
            )
    return rows


_RANGES = (("train", (6.0, 9.0)), ("test", (9.5, 20.0)))


def _probes(seed: int, bounds: tuple[float, float]) -> Structures:
    """A linear molecule along z and a charge in some direction, at 6 to 9 or 9.5 to 20 Å."""
    rng = np.random.default_rng(seed)
    count = N_TRAIN if bounds == _RANGES[0][1] else N_TEST
    directions = rng.normal(size=(count, 3))
    directions /= np.linalg.norm(directions, axis=1)[:, None]
    molecule = np.array([[0, 0, 0], [0, 0, ARMS[0]], [0, 0, ARMS[1]]])
    probes = directions * rng.uniform(*bounds, count)[:, None]
    species = np.array([MIDDLE, HEAD, TAIL, PROBE])
    return Structures.from_arrays(
        [np.vstack([molecule, probe]) for probe in probes],
        [species] * count,
        [np.zeros((3, 3))] * count,
        [np.zeros(3, dtype=bool)] * count,
    )


def _energies(structures: Structures, order: int) -> Float[Tensor, " structure"]:
    """Energy (eV) of a unit charge and an axial multipole of 1 e Å^order: P_l(cos) / R^(l+1)."""
    probes = structures.positions.numpy().reshape(-1, 4, 3)[:, -1]
    distance = np.linalg.norm(probes, axis=1)
    cosine = probes[:, 2] / distance
    return torch.from_numpy(COULOMB * eval_legendre(order, cosine) / distance ** (order + 1))


def _representation(degree: int) -> Representation:
    density = FieldExpansion(
        GaussianDensity(0.3), GaussianTypeOrbitals(3, 3.0), degree, neighbor_cutoff=3.0
    )
    potential = FieldExpansion(
        SmearedPotential(0.3, 1.0), Monomials(1, RADIUS), degree, range="far", near_radius=3.0
    )
    return Representation(
        fields={"rho": density, "V": potential},
        products=(("rho", "V"),),
        species=tuple(sorted((MIDDLE, HEAD, TAIL, PROBE))),
        centers=(MIDDLE,),
    )


def _percent(rows: list[Row]) -> dict[str, float]:
    return {row.model: row.rmse_percent or 0.0 for row in rows}


def _picture(rows: list[Row]) -> Picture:
    percent = _percent(rows)
    errors = {
        f"l <= {degree}": {name: percent[f"{name}, l <= {degree}"] for name in NAMES}
        for degree in range(len(NAMES))
    }
    figure = error_bars(errors, unit="%", quantity="test RMSE")
    figure.axes[0].set_xscale("log")
    caption = "Error of each multipole with each largest degree, extrapolated to 9.5-20 Å."
    return Picture(figure=figure, caption=caption)


def _notes(deviations: list[float], energy: float, limit: dict, rows: list[Row]) -> tuple[str, ...]:
    percent = _percent(rows)
    before = min(percent[f"{name}, l <= {k - 1}"] for k, name in enumerate(NAMES) if k)
    after = max(percent[f"{name}, l <= {k}"] for k, name in enumerate(NAMES))
    return (
        f"The coefficients of far sources are their multipoles: up to l = {DEGREE} the largest "
        f"relative deviation is {max(deviations):.0e} (Eq. 12).",
        "The energy of a linear model of `rho x V` with random weights equals the sum over the "
        f"multipoles that its weights make of the near atoms, to {energy:.0e} (Eqs. 13, 14).",
        f"With l = 0 in a small sphere it is the Coulomb sum: {limit[POINTLIKE[-1]]:.1e} % without "
        f"any fit at smearing {POINTLIKE[-1][1]:g} Å, {limit[POINTLIKE[0]]:.2g} % at "
        f"{POINTLIKE[0][1]:g} Å, where charges 2.5 Å apart overlap (Eq. 19).",
        f"A multipole of order l needs the degree l: one less leaves at least {before:.0f} %, that "
        f"degree at most {after:.1g} % where it was not trained.",
    )
