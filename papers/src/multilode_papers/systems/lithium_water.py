"""Water above a lithium slab: binding energies and induced polarization (2021, Figs. 7 and 8).

The slab is periodic along the surface only, and its potential is that of an infinite vacuum. The
centers are the atoms of the water. Linear models learn binding curves of other molecules, and the
vector that the metal induces in molecules 4.5 Å and more above it. The data are those of a model.
"""

from dataclasses import asdict, dataclass
from typing import final

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from multilode import Target
from multilode.correlations import ContractionSettings
from multilode.data import Dataset, concatenate
from multilode.expansion import FieldExpansion
from multilode.fields import GaussianDensity, SmearedPotential
from multilode.models import Ridge, TargetRegression, as_columns
from multilode.prediction import LearningCurve, LearningData, fit_subsets, rmse, target_values
from multilode.radial import GaussianTypeOrbitals
from multilode.report import Picture, Table, binding_curve
from multilode.representation import Representation
from multilode.symmetry import Irrep
from multilode_papers.systems.curves import curve_picture, series_of
from multilode_papers.systems.models import Model, error_row, group_numbers, species_of
from multilode_papers.systems.outcome import DataUsed, Outcome, Row
from multilode_papers.systems.shared_features import SharedFeatures, shared_features, shared_recipe
from multilode_papers.systems.study import Study

DATA = "lithium-water"
ENERGY = Target(key="interaction_energy", unit="eV")
POLARIZATION = Target(key="polarization", unit="e Å", tensor="vector")
GROUP = "configuration"
CUTOFF, SMEARING, DEGREE = 4.0, 0.3, 2  # Å, Å (both as in the paper), and the largest l
NEAR = 2.2  # Å: around an atom of the water, it holds the molecule and no lithium
FAR = 4.5  # Å: the heights of the polarization
TOLERANCE = 1e-4  # of the coefficients: a quarter of the time of the default
EXAMPLES = 100  # structures to which contractions are fitted
CONTRACTION = ContractionSettings(max_features=300)
ORIGIN = "MODEL DATA: constant-potential electrode of Gaussian charges, polarizable flexible water"
PAPER_STRUCTURES = 81 * 31
LOCAL, NONLOCAL = "rho x rho", "rho x V1"
ENERGY_PRODUCTS = {
    LOCAL: (("rho", "rho"),),
    NONLOCAL: (("rho", "V1"),),
    "rho x V3": (("rho", "V3"),),
    "rho x (V1 + V3)": (("rho", "V1"), ("rho", "V3")),
    "rho + rho x V1": (("radial",), ("rho", "V1")),
    "rho x V1 + near x V1 x V1": (("rho", "V1"), ("near", "V1", "V1")),
    "rho + rho x V1 + near x V1 x V1 + rho x rho x V1": (
        ("radial",),
        ("rho", "V1"),
        ("near", "V1", "V1"),
        ("rho", "rho", "V1"),
    ),
}
VECTOR_PRODUCTS = {
    name: ENERGY_PRODUCTS[name] for name in (LOCAL, NONLOCAL, "rho x V3", "rho x (V1 + V3)")
}
PAPER_ENERGY = {LOCAL: 19.0, NONLOCAL: 9.0}  # RMSE%
PAPER_VECTOR = {NONLOCAL: 20.0}  # RMSE% with 1000 structures


@final
@dataclass(frozen=True, kw_only=True)
class Fitted:
    """One model of one target after training, with its errors.

    Args:
        test: the structures that are predicted.
        reference: their targets.
        predicted: the same after training with all structures.
        n_train: number of training structures.
        cv_percent: error of cross-validation over the standard deviation of the training set.
        curve: test error against the number of structures; None if it was not wanted.
    """

    test: Dataset
    reference: Float[Tensor, "row target"]
    predicted: Float[Tensor, "row target"]
    n_train: int
    cv_percent: float
    curve: LearningCurve | None


def run(study: Study) -> Outcome:
    """Both targets with all models, from features that are computed once."""
    train, test = _parts(study)
    dataset = concatenate([train, test])
    species = species_of(dataset)
    energies, vectors = models(ENERGY_PRODUCTS), models(VECTOR_PRODUCTS)
    recipe = _recipe(energies + vectors, train, species)
    progress = study.stage("features above the slab")
    with dataset.naming_frames():
        shared = shared_features(recipe, dataset.structures, progress)
    learner = Learner(study=study, dataset=dataset, shared=shared)
    split = np.array(dataset.labels("split"))
    energy = {m.name: learner.learn(m, ENERGY, split) for m in energies}
    distant = learner.select(np.flatnonzero(dataset.column("height") >= FAR))
    split = np.array(distant.dataset.labels("polarization_split"))
    sizes = _sizes(int((split == "train").sum()), quick=study.quick)
    vector = {m.name: distant.learn(m, POLARIZATION, split, sizes) for m in vectors}
    return Outcome(
        rows=tuple(_energy_rows(energy) + _vector_rows(vector)),
        data=(DataUsed(name=DATA, structures=len(dataset), paper=PAPER_STRUCTURES, origin=ORIGIN),),
        config={
            "models": {m.name: m.settings(species) for m in energies},
            "contraction": asdict(CONTRACTION) | {"fitted to": EXAMPLES},
            "tolerance": TOLERANCE,
            "sizes": sizes,
            "cross-validation": f"grouped by {GROUP}, energies and polarization",
        },
        seed=study.seed,
        pictures=_pictures(energy, vector),
        tables={
            "Cross-validation on the training set (RMSE%), binding energy": _choice(energy),
            "Cross-validation on the training set (RMSE%), polarization": _choice(vector),
        },
        notes=_notes(energy, vector),
    )


def _recipe(chosen: list[Model], train: Dataset, species: tuple[int, ...]) -> Representation:
    examples = np.linspace(0, len(train) - 1, EXAMPLES).astype(int)
    return shared_recipe(
        chosen,
        train.select(examples).structures,
        species=species,
        irreps=(Irrep(0), Irrep(1)),
        contraction=CONTRACTION,
        tolerance=TOLERANCE,
    )


def models(products: dict[str, tuple[tuple[str, ...], ...]]) -> list[Model]:
    """A linear model of each set of products."""
    fields = _fields()
    return [
        Model(
            name=name,
            fields={part: fields[part] for term in terms for part in term},
            products=terms,
            estimator=Ridge(term_weights=(1.0,) * len(terms), folds=10),
            centers=(1, 8),
        )
        for name, terms in products.items()
    ]


def _fields() -> dict[str, FieldExpansion]:
    density, basis = GaussianDensity(SMEARING), GaussianTypeOrbitals(4, CUTOFF)
    return {
        "rho": FieldExpansion(density, basis, DEGREE, neighbor_cutoff=CUTOFF),
        "radial": FieldExpansion(
            density, GaussianTypeOrbitals(8, CUTOFF), 0, neighbor_cutoff=CUTOFF
        ),
        "near": FieldExpansion(
            density, GaussianTypeOrbitals(2, NEAR), DEGREE, neighbor_cutoff=NEAR
        ),
    } | {
        f"V{p}": FieldExpansion(SmearedPotential(SMEARING, float(p)), basis, DEGREE) for p in (1, 3)
    }


def _cv_percent(error: float | None, y: Float[Tensor, "unit target"]) -> float:
    """Error of cross-validation over the standard deviation of the training set."""
    if error is None:
        raise ValueError(
            "the error of cross-validation is shown: leave a setting of the model open"
        )
    return 100 * error / rmse(y, y.mean(dim=0).expand_as(y))


@final
@dataclass(frozen=True, kw_only=True)
class Learner:
    """A data set with the features of all models, and how they learn it."""

    study: Study
    dataset: Dataset
    shared: SharedFeatures

    def select(self, indices: Int[np.ndarray, " chosen"]) -> "Learner":
        """The same for some of the structures."""
        return Learner(
            study=self.study,
            dataset=self.dataset.select(indices),
            shared=self.shared.select(torch.from_numpy(indices)),
        )

    def learn(
        self,
        model: Model,
        target: Target,
        split: Shaped[np.ndarray, " structure"],
        sizes: tuple[int, ...] = (),
    ) -> Fitted:
        """Train on the structures of the split `train` and predict those of `test`.

        Args:
            model: linear, with its regularization open.
            target: a number or a vector.
            split: the part of each structure.
            sizes: of the subsets for a learning curve; none for no curve.

        Raises:
            ValueError: if the model leaves nothing to cross-validation.
        """
        self.study.stage(f"{target.key}, {model.name}")
        train, test = (self._data(model, target, split == part) for part in ("train", "test"))
        own = TargetRegression(target=target, estimator=model.estimator)
        fitted = own.fit(train.design, train.y, groups=train.groups)
        learner = own.learner(train.design, test.design, groups=train.groups)
        curve = None
        if sizes:
            repeats = 2 if self.study.quick else 3
            curve = fit_subsets(
                own, train, test, sizes=sizes, repeats=repeats, seed=self.study.seed
            )
        return Fitted(
            test=self.dataset.select(np.flatnonzero(split == "test")),
            reference=test.y,
            predicted=learner(torch.arange(len(train.y)), train.y),
            n_train=len(train.y),
            cv_percent=_cv_percent(fitted.summary().cv_rmse, train.y),
            curve=curve,
        )

    def _data(self, model: Model, target: Target, chosen: np.ndarray) -> LearningData:
        indices = np.flatnonzero(chosen)
        part = self.dataset.select(indices)
        return LearningData(
            units=part.structures,
            design=self.shared.select(torch.from_numpy(indices)).design(model, target),
            y=as_columns(target_values(part, target.key, None, target.tensor, target.per)),
            groups=group_numbers(part, GROUP),
        )


def _parts(study: Study) -> tuple[Dataset, Dataset]:
    """All heights, or in the short form every sixth training and every second test structure."""
    train, test = ("::6", "::2") if study.quick else (":", ":")
    return study.load(DATA, "train", index=train), study.load(DATA, "test", index=test)


def _sizes(n_train: int, *, quick: bool) -> tuple[int, ...]:
    return (50, 100, n_train) if quick else (50, 100, 200, 500, n_train)


def best_of(found: dict[str, Fitted]) -> str:
    """Name of the model with the lowest error in cross-validation on the training set."""
    return min(found, key=lambda name: found[name].cv_percent)


def _energy_rows(found: dict[str, Fitted]) -> list[Row]:
    rows = []
    for subset, lowest in (("binding energy", 0.0), (f"binding energy, {FAR} Å and more", FAR)):
        for name, own in found.items():
            high = torch.from_numpy(own.test.column("height") >= lowest)
            rows.append(
                error_row(
                    name,
                    own.reference[high],
                    own.predicted[high],
                    data=DATA,
                    subset=subset,
                    n_train=own.n_train,
                    unit=ENERGY.unit,
                    paper=None if lowest else PAPER_ENERGY.get(name),
                )
            )
    return rows


def _vector_rows(found: dict[str, Fitted]) -> list[Row]:
    return [
        error_row(
            name,
            own.reference,
            own.predicted,
            data=DATA,
            subset="induced polarization",
            n_train=own.n_train,
            unit=POLARIZATION.unit,
            paper=PAPER_VECTOR.get(name),
        )
        for name, own in found.items()
    ]


def _choice(found: dict[str, Fitted]) -> Table:
    rows = tuple((name, own.cv_percent) for name, own in found.items())
    return Table(header=("model", "RMSE%"), rows=rows)


def _pictures(energy: dict[str, Fitted], vector: dict[str, Fitted]) -> dict[str, Picture]:
    label = "MODEL DATA"
    own = energy[NONLOCAL]
    labels = np.array(own.test.labels(GROUP))
    errors = (own.predicted - own.reference).abs()[:, 0].numpy()
    names = np.unique(labels)
    ranked = names[np.argsort([errors[labels == name].mean() for name in names])]
    chosen = ranked[len(names) // 2]
    pictures = {}
    for key, lowest in (("binding-curve", 0.0), ("binding-curve-far", 3.0)):
        mine = (labels == chosen) & (own.test.column("height") >= lowest)
        figure = binding_curve(
            own.test.column("height")[mine],
            1e3 * own.reference[mine, 0].numpy(),
            {
                name: 1e3 * energy[name].predicted[mine, 0].numpy()
                for name in dict.fromkeys((LOCAL, NONLOCAL, best_of(energy)))
            },
            quantity="binding energy",
            unit="meV",
            title=f"test molecule {chosen} above lithium ({label})",
        )
        figure.axes[0].set_xlabel("height of the lowest nucleus (Å)")
        pictures[key] = Picture(
            figure=figure,
            caption="The test molecule whose error of rho x V1 is the median"
            + (f", {lowest:g} Å and more. {label}." if lowest else f". {label}."),
        )
    series = {name: series_of(own.curve) for name, own in vector.items() if own.curve}
    caption = f"Induced polarization {FAR} Å and more above the slab. {label}."
    pictures["learning-curves"] = curve_picture(series, caption)
    return pictures


def _percent(rows: list[Row], name: str, subset: int = 0) -> float:
    found = [row.rmse_percent for row in rows if row.model == name]
    return float(found[subset] or np.nan)


def _notes(energy: dict[str, Fitted], vector: dict[str, Fitted]) -> tuple[str, ...]:
    rows, vectors = _energy_rows(energy), _vector_rows(vector)
    best, best_vector = best_of(energy), best_of(vector)
    local, nonlocal_ = (_percent(rows, name) for name in (LOCAL, NONLOCAL))
    return (
        "These are model data, a classical metal and not density-functional theory: ratios "
        "between models compare with the paper, errors by themselves only in kind.",
        f"Binding energies: rho x rho has {local:.3g} % and rho x V1 {nonlocal_:.3g} %, a ratio "
        f"of {local / nonlocal_:.2g} (paper: 19 % and 9 %, 2.1).",
        f"{FAR} Å and more above the slab, over the deviation there: rho x rho "
        f"{_percent(rows, LOCAL, 1):.3g} %, rho x V1 {_percent(rows, NONLOCAL, 1):.3g} %, "
        f"{best} {_percent(rows, best, 1):.3g} %.",
        f"Our best model of the energy in cross-validation by molecule, {best}, has "
        f"{_percent(rows, best):.3g} % on the test set (paper: 9 %).",
        f"Polarization: rho x rho ends at {_percent(vectors, LOCAL):.3g} % and rho x V1 at "
        f"{_percent(vectors, NONLOCAL):.3g} % with {vector[LOCAL].n_train} structures (paper: no "
        "learning, and about 20 % with 1000). The local model sees the molecule only. What it "
        "has is that a metal always strengthens a dipole: P mu > 0, whatever the height.",
        f"The best in cross-validation, {best_vector}, has {_percent(vectors, best_vector):.3g} %.",
        "Far from a sheet of 1/r^p sources the potential falls as z^(2-p): V1 of a flat slab is a "
        "uniform field, which gives a model the surface normal and a straight line in the height, "
        "no z^-3 of an image. What rho x V1 knows beyond that above 4 Å is the tail of its basis: "
        "Gaussian-type functions still feel the uppermost lithium nuclei through 4 to 8 Å, "
        "exponentially weaker, and a small regularization makes use of it. That interpolates and "
        "is not to be extrapolated. V3 has the right form: its l = 2 part falls as z^-3.",
        "The paper has features on all atoms; here only the three of the water carry them. With "
        "all lithium atoms as centers it was not run.",
    )
