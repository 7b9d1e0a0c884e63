"""The schema of the configuration, made from the tables of fields, bases, cutoffs and models.

Whatever stands in a table can be configured, under the names of the arguments of its class.
"""

import functools
import operator
import types
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from types import MappingProxyType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from jaxtyping import AbstractArray
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    Strict,
    create_model,
    field_validator,
    model_validator,
)

from multilode.config.errors import check_keys, nearest
from multilode.correlations import SELECTIONS
from multilode.expansion import METHODS
from multilode.expansion.expansion import Range
from multilode.fields.cutoffs import CUTOFF_FUNCTIONS
from multilode.fields.field import FIELDS
from multilode.models import ESTIMATORS
from multilode.prediction.baseline import BASELINES
from multilode.radial.bases import RADIAL_BASES
from multilode.symmetry.cartesian import TENSORS

Seed = Annotated[int, Field(ge=0, lt=2**63)]
Radius = Annotated[float, Field(gt=0, le=100)]  # Å; tables of larger spheres exhaust the memory


class Settings(BaseModel):
    """A group of settings: no unknown keys, no change after it was read, no guessed types."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, raw: Any) -> Any:
        if isinstance(raw, dict):
            check_keys(raw, list(cls.model_fields))
        return raw


_PLAIN = (int, float, str, bool, type(None))


def _is_plain(annotation: Any) -> bool:
    """Whether a value of this type can be written in a line of YAML."""
    if get_origin(annotation) in (Union, types.UnionType):
        return all(_is_plain(a) for a in get_args(annotation))
    if get_origin(annotation) is tuple:
        return get_args(annotation)[0] in _PLAIN
    return annotation in _PLAIN or get_origin(annotation) is Literal


def _numbers(annotation: Any) -> Any:
    """The same type without tensors, which only Python can pass."""
    if get_origin(annotation) not in (Union, types.UnionType):
        return annotation
    kept = [
        a
        for a in get_args(annotation)
        if not (isinstance(a, type) and issubclass(a, AbstractArray))
    ]
    return functools.reduce(operator.or_, kept)


def _from_list(annotation: Any) -> Any:
    """The same type, its tuples written as lists in YAML."""
    if get_origin(annotation) in (Union, types.UnionType):
        return functools.reduce(operator.or_, [_from_list(a) for a in get_args(annotation)])
    return (
        Annotated[annotation, Strict(strict=False)]
        if get_origin(annotation) is tuple
        else annotation
    )


def _choice(
    table: Mapping[str, type],
    name: str,
    *,
    defaults: Mapping[str, Mapping[str, Any]],
    extra: Mapping[str, tuple[Any, Any]],
    without: Sequence[str] = (),
    words: Mapping[str, Mapping[str, tuple[Any, Any]]] = MappingProxyType({}),
) -> Any:
    """The settings of one of the classes of a table, told apart by `kind`.

    Args:
        table: classes by kind.
        name: prefix of the names of the pydantic models.
        defaults: defaults that the classes do not have, by kind.
        extra: further settings with type and default.
        without: arguments of the classes that are set elsewhere.
        words: settings from which arguments are made, with type and default, by kind.
    """
    models = []
    for kind, cls in table.items():
        hints = {key: _numbers(hint) for key, hint in get_type_hints(cls).items()}
        own = {
            f.name: (hints[f.name], defaults.get(kind, {}).get(f.name, f.default))
            for f in fields(cls)
            if f.init and f.name not in without
        }
        if not all(_is_plain(hint) for hint, _ in own.values()):
            continue  # such as a table of values, which only Python can pass
        shown = {
            key: (
                Seed if key == "seed" else _from_list(hint),
                ... if default is MISSING else default,
            )
            for key, (hint, default) in own.items()
        }
        models.append(
            create_model(
                f"{name}{cls.__name__}",
                __base__=Settings,
                kind=(Literal[kind], kind),  # type: ignore[valid-type]
                **{**shown, **words.get(kind, {}), **extra},
            )
        )
    union = functools.reduce(operator.or_, models)
    return union if len(models) == 1 else Annotated[union, Field(discriminator="kind")]


BasisSettings = _choice(
    RADIAL_BASES,
    "Basis",
    defaults={kind: {"n_radial": 6, "radius": None} for kind in RADIAL_BASES},
    extra={"max_angular": (int, 4), "radius": (Radius | None, None)},
)
CutoffSettings = _choice(CUTOFF_FUNCTIONS, "Cutoff", defaults={}, extra={})
FieldSettings = _choice(
    FIELDS,
    "Field",
    defaults={"density": {"smearing": 0.3}, "potential": {"smearing": 1.0}},
    extra={
        "basis": (BasisSettings, Field(default={"kind": "gto"}, validate_default=True)),
        "neighbor_cutoff": (Radius | None, None),
        "cutoff_function": (
            CutoffSettings,
            Field(default={"kind": "shifted_cosine"}, validate_default=True),
        ),
        "center_weight": (float, 1.0),
        "range": (Range, "all"),
        "near_radius": (Radius | None, None),
    },
)


class CommitteeSettings(Settings):
    """Members of a committee: their number, the part of the data that each sees, a random seed."""

    n_members: int = Field(default=8, ge=3)
    fraction: float = Field(default=0.8, gt=0, lt=1)
    seed: Seed = 0


_KERNEL_WORDS: dict[str, tuple[Any, Any]] = {
    "zeta": (_from_list(int | tuple[int, ...]), 2),  # with normalize, a polynomial kernel
    "normalize": (_from_list(bool | tuple[bool, ...]), False),
    "kernel": (dict[str, Any] | list[dict[str, Any]] | None, None),  # any other
}
ModelSettings = _choice(
    ESTIMATORS,
    "Model",
    defaults={},
    extra={"committee": (CommitteeSettings | None, None)},
    without=("kernel",),
    words={"kernel": _KERNEL_WORDS, "sparse": _KERNEL_WORDS},
)


class DataSettings(Settings):
    """Where the structures are.

    Args:
        train: file or files; paths are relative to the configuration file.
        test: file or files that are never trained on.
        test_fraction: part of `train` that is set aside at random for the test.
        split: key whose value, `train` or `test`, says where a structure of `train` belongs.
        seed: seed of the random test set.
        group: key that keeps structures together in cross-validation, and by which errors are
            listed.
    """

    train: list[str] = Field(min_length=1)
    test: list[str] = []
    test_fraction: float = Field(default=0.0, ge=0, lt=1)
    split: str | None = None
    seed: Seed = 0
    group: str | None = None

    @field_validator("train", "test", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value or []

    @model_validator(mode="after")
    def _one_test_set(self) -> "DataSettings":
        if sum([bool(self.test), self.test_fraction > 0, self.split is not None]) > 1:
            raise ValueError("use only one of test, test_fraction and split")
        return self


class ForceSettings(Settings):
    """Forces to learn from beside the energies.

    Args:
        key: name of the forces in the files, of each atom.
        weight: Å; an error of 1 unit/Å in a component counts as much as one of `weight` units in an
            energy. By default all forces together count as much as all energies together.
        directions: number of directions per structure, drawn at random, along which forces are
            learned; by default every component.
        seed: of the directions.
    """

    key: str = "forces"
    weight: float | None = Field(default=None, gt=0)
    directions: int | None = Field(default=None, ge=1)
    seed: Seed = 0


class TargetSettings(Settings):
    """What is learned.

    Args:
        key: name of the property in the files.
        unit: its unit, which is printed with every error.
        reduce: `sum` over centers for extensive, `mean` for intensive properties.
        baseline: what is subtracted before the fit; by default the composition of extensive, the
            mean of intensive properties.
        component: index into a flat property, or `trace` of a 3x3 tensor.
        tensor: kind of tensor that the property is; its predictions rotate with the structure.
        per: `atom` for a property that the files give for each atom.
        forces: minus the derivatives of an energy, if the model is to learn from them too.
    """

    key: str
    unit: str = "eV"
    reduce: Literal["sum", "mean"] = "sum"
    baseline: Literal[tuple(BASELINES)] | None = None  # type: ignore[valid-type]
    component: int | Literal["trace"] | None = None
    tensor: Literal[tuple(TENSORS)] | None = None  # type: ignore[valid-type]
    per: Literal["structure", "atom"] = "structure"
    forces: ForceSettings | None = None

    @model_validator(mode="after")
    def _energy(self) -> "TargetSettings":
        if self.forces is None:
            return self
        if self.tensor is not None or self.per == "atom":
            raise ValueError("forces are derivatives of an energy: one number per structure")
        if self.reduce != "sum":
            raise ValueError("forces are derivatives of an extensive energy; use reduce: sum")
        return self

    @model_validator(mode="after")
    def _whole_tensor(self) -> "TargetSettings":
        if self.tensor is not None and self.component is not None:
            raise ValueError("use only one of tensor and component: a part alone does not rotate")
        return self


class CurveSettings(Settings):
    """Learning curve: training sizes (None: five, doubling up to all), repeats and seed."""

    sizes: list[Annotated[int, Field(ge=2)]] | None = None
    repeats: int = Field(default=4, ge=1)
    seed: Seed = 0


class ContractionOptions(Settings):
    """What is kept after each product of three fields or more.

    Args:
        selection: `pca` keeps combinations of features, `fps` and `cur` keep some of them.
        max_features: largest number per symmetry.
        variance: with `pca`, stop at this fraction of the variance.
        atoms: centers of the training set that it is fitted to, at most about this many.
    """

    selection: Literal[SELECTIONS] = "pca"  # type: ignore[valid-type]
    max_features: int = Field(default=200, ge=1)
    variance: float = Field(default=1.0, gt=0, le=1)
    atoms: int = Field(default=2000, ge=1)


class Config(Settings):
    """A complete configuration; only `data.train` and `target.key` have no default.

    Args:
        data: where the structures are.
        target: what is learned.
        cutoff: radius in Å of the local environments.
        centers: elements of the centers; by default all of the training set.
        fields: named fields; `rho` (density) and `V` (potential) exist without being named.
        features: names of fields to multiply: one for its own coefficients, two for a power
            spectrum, more for higher orders.
        contraction: what is kept where three fields or more are multiplied.
        method: how fields without a cutoff are expanded; auto chooses for each structure.
        tolerance: relative accuracy of the expansion, by default 1e-8.
        model: ridge or kernel regression, or a committee of either.
        learning_curve: sizes and repeats of learning curves.
    """

    data: DataSettings
    target: TargetSettings
    cutoff: Radius = 4.0
    centers: Annotated[list[str], Field(min_length=1)] | None = None
    fields: dict[str, FieldSettings] = Field(default={}, validate_default=True)
    features: list[Annotated[list[str], Field(min_length=1, max_length=6)]] = Field(
        default=[["rho", "rho"], ["rho", "V"]], min_length=1
    )
    contraction: ContractionOptions = ContractionOptions()
    method: Literal[("auto", *METHODS)] = "auto"  # type: ignore[valid-type]
    tolerance: float | None = Field(default=None, ge=1e-12, le=1e-2)
    model: ModelSettings = Field(default={"kind": "ridge"}, validate_default=True)
    learning_curve: CurveSettings = CurveSettings()

    @model_validator(mode="after")
    def _known_fields(self) -> "Config":
        used = {name for names in self.features for name in names}
        for name in sorted(used - set(self.fields)):
            close = nearest(name, self.fields)
            hint = f"did you mean '{close}'?" if close else f"defined are {', '.join(self.fields)}"
            raise ValueError(f"'features' names the field '{name}'; {hint}")
        for name in sorted(set(self.fields) - used - {"rho", "V"}):
            raise ValueError(f"'features' does not use the field '{name}'; add or remove it")
        return self

    @model_validator(mode="after")
    def _forces_without_intercept(self) -> "Config":
        if self.target.forces is not None and self.model.intercept:
            raise ValueError("'model.intercept' has no derivative; leave it out with target.forces")
        return self
