"""The configuration: a YAML file at the door, the objects that compute behind it."""

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, final

import multilode.config.tables  # noqa: F401 - what can be configured
from multilode.config.build import (
    build_baseline,
    build_estimator,
    build_recipe,
    build_target,
    check_kernel_words,
    check_keys,
    mapping,
    plain_baseline,
    plain_estimator,
    plain_recipe,
    under,
)
from multilode.config.changes import is_pattern, matching_files, with_changes
from multilode.config.codec import decode, encode, kind_of
from multilode.config.codec_errors import CodecError
from multilode.config.errors import ConfigError
from multilode.config.memory import memory_bytes, plain_memory
from multilode.config.networks import network_features
from multilode.config.presets import with_preset
from multilode.config.settings import (
    AtLeastOne,
    CommitteeSettings,
    CurveSettings,
    DataSettings,
    ForceSettings,
    Names,
    Radius,
    StressSettings,
    TuneSettings,
)
from multilode.config.trained_sources import TRAINED, sources_in
from multilode.config.words import in_words_of_today
from multilode.config.yaml_text import read_yaml, to_yaml
from multilode.correlations import ContractionSettings
from multilode.models import (
    ESTIMATORS,
    AbstractEstimator,
    Committee,
    Network,
    TargetRegression,
)
from multilode.models.targets import Target
from multilode.prediction.baseline import AbstractBaseline, baseline_of
from multilode.representation.feature_recipe import DEFAULT_CUTOFF, FeatureRecipe
from multilode.representation.representation import Representation
from multilode.structures.elements import atomic_number, chemical_symbol
from multilode.symmetry.irrep import Irrep

KEYS = (
    "preset",
    "data",
    "target",
    "cutoff",
    "centers",
    "fields",
    "features",
    "channels",
    "contraction",
    "method",
    "tolerance",
    "estimator",
    "learning_curve",
    "tune",
    "memory",
)


@final
@dataclass(frozen=True, kw_only=True)
class Config:
    """A complete configuration, built, for the workflow.

    Args:
        data: files with the structures.
        target: the property to learn.
        component: index into a flat property, or `trace` of a 3x3 tensor.
        forces: minus the derivatives of an energy, if the model is to learn from them too.
        plain_baseline: subtracted before the fit; by default the one that suits the target.
        cutoff: radius in Å that fields have by default.
        centers: atomic numbers of the centers; by default all of the training set.
        recipe: fields on bases and their products.
        contraction: features to keep where three fields or more are multiplied.
        contraction_atoms: centers that it is fitted to, at most about this many.
        regression: the estimator of one number, or of one member of a committee.
        committee: the members, if the model is to be a committee.
        learning_curve: sizes and repeats of learning curves.
        stress: derivatives of an energy with respect to strain, to learn from too.
        memory: bytes that a training may take; by default what is free.
        tune: what a search for better settings tries.

    Raises:
        CodecError: naming the setting, if parts do not fit together.
    """

    data: DataSettings
    target: Target
    component: int | Literal["trace"] | None
    forces: ForceSettings | None
    plain_baseline: AbstractBaseline | None
    cutoff: float
    centers: tuple[int, ...] | None
    recipe: FeatureRecipe
    contraction: ContractionSettings
    contraction_atoms: int
    regression: AbstractEstimator | Network
    committee: CommitteeSettings | None
    learning_curve: CurveSettings
    stress: StressSettings | None = None
    memory: float | None = None
    tune: TuneSettings = field(default_factory=TuneSettings)

    def __post_init__(self) -> None:
        self._check_target()
        self._check_lengths()
        if isinstance(self.regression, Network) and self.committee is not None:
            raise CodecError(
                "estimator.committee",
                "is for models that are fitted to rows; for several networks use "
                "estimator.n_members: 4",
            )
        with under("estimator" if self.committee is None else "estimator.committee"):
            irreps = self.irreps
        # The species are not known yet; which fields may be multiplied does not depend on them
        with under("features"):
            self.recipe.representation([1], irreps=irreps)

    def _check_target(self) -> None:
        target = self.target
        with under("target"):
            if target.tensor is not None and self.component is not None:
                raise ValueError(
                    "use only one of tensor and component: a part alone does not rotate"
                )
            if self.forces is None and self.stress is None:
                return
            noun = "stresses" if self.forces is None else "forces"
            if target.tensor is not None or target.per == "atom":
                raise ValueError(f"{noun} are derivatives of an energy: one number per structure")
            if target.reduce != "sum":
                raise ValueError(f"{noun} are derivatives of an extensive energy; use reduce: sum")
        for name, asked in (("forces", self.forces), ("stress", self.stress)):
            with under(f"target.{name}.unit"):
                _ = asked and asked.factor(target.unit)
        if encode(self.regression)[0].get("intercept"):
            raise CodecError(
                "", f"'estimator.intercept' has no derivative; leave it out with target.{noun}"
            )

    def _check_lengths(self) -> None:
        """A list among the settings of an estimator has one value for each product."""
        n = len(self.recipe.products)
        for key, value in encode(self.regression)[0].items():
            if isinstance(value, list) and len(value) != n:
                raise CodecError(
                    f"estimator.{key}",
                    f"has {len(value)} values for {n} features; give one for each entry of "
                    "'features'",
                )

    @property
    def estimator(self) -> AbstractEstimator | Network:
        """The estimator, not fitted yet, or a committee of such."""
        members = self.committee
        if isinstance(self.regression, Network) or members is None:
            return self.regression
        return Committee(
            estimator=self.regression,
            n_members=members.n_members,
            fraction=members.fraction,
            seed=members.seed,
        )

    @property
    def baseline(self) -> AbstractBaseline:
        """The baseline for the target."""
        return baseline_of(self.target, self.plain_baseline)

    @property
    def irreps(self) -> tuple[Irrep, ...] | None:
        """Symmetries of the features that the model of a tensor needs; None for numbers."""
        estimator = self.estimator
        if isinstance(estimator, Network):
            return None
        return TargetRegression(target=self.target, estimator=estimator).feature_irreps

    @property
    def name(self) -> str:
        """A short name of the model: its features and its kind."""
        terms = [" x ".join(names) for names in self.recipe.products]
        members = "" if self.committee is None else f"committee of {self.committee.n_members} x "
        return f"{' + '.join(terms)} ({members}{kind_of(self.regression, ESTIMATORS)})"

    def representation(self, species: Sequence[int]) -> Representation:
        """The features for a training set with these atomic numbers.

        Raises:
            ConfigError: if the centers are not among the species.
        """
        absent = [number for number in self.centers or () if number not in species]
        if absent:
            known = ", ".join(chemical_symbol(number) for number in sorted(set(species)))
            raise ConfigError(
                f"setting 'centers': {chemical_symbol(absent[0])} is not in the training set, "
                f"which has {known}; remove it or add structures with it"
            )
        return self.recipe.representation(species, self.centers, self.irreps)


def load_config(path: str | Path, changes: Sequence[str] = ()) -> Config:
    """Read, check and build a configuration; paths in it are taken relative to its folder.

    Args:
        path: the YAML file.
        changes: settings that replace those of the file, such as `target.unit=eV`.

    Raises:
        ConfigError: naming file and key, if the file cannot be read or a setting is unknown,
            missing, of the wrong type or out of range.
    """
    path = Path(path)
    raw = with_changes(read_yaml(path), changes)
    return config_from_dict(raw, source=str(path), folder=path.parent)


def config_from_dict(
    raw: object, *, source: str = "configuration", folder: str | Path = ""
) -> Config:
    """Check and build settings that are in memory.

    Args:
        raw: the settings as nested dictionaries.
        source: their name in error messages.
        folder: folder that paths are relative to.

    Raises:
        ConfigError: as for `load_config`.
    """
    if not isinstance(raw, dict):
        raise ConfigError(f"{source}: is not a mapping of settings; start with 'data: ...'")
    try:
        plain = json.loads(json.dumps(raw, default=str))
    except (ValueError, TypeError, RecursionError) as error:  # a value inside of itself; odd keys
        raise ConfigError(f"{source}: cannot be used ({error}); write it without '*'") from error
    try:
        _check_finite(plain, "")
        config = _built(in_words_of_today(plain))
    except CodecError as error:
        raise ConfigError(f"{source}: {error}") from error
    try:
        data = _found(folder, config.data)
    except ConfigError as error:
        raise ConfigError(f"{source}: {error}") from error
    return replace(config, data=data, recipe=sources_in(folder, config.recipe))


def plain_config(config: Config) -> dict[str, Any]:
    """The complete configuration as nested dictionaries, every default filled in."""
    contraction, _ = encode(config.contraction)
    recipe = plain_recipe(config.recipe)
    network = isinstance(config.regression, Network)
    products = {
        "channels": recipe["channels"],
        "contraction": {**contraction, "atoms": config.contraction_atoms},
    }
    centers = None if config.centers is None else [chemical_symbol(z) for z in config.centers]
    return {
        "data": encode(config.data)[0],
        "target": {
            **encode(config.target)[0],
            "baseline": plain_baseline(config.plain_baseline),
            "component": config.component,
            "forces": encode(config.forces)[0],
            "stress": encode(config.stress)[0],
        },
        "cutoff": config.cutoff,
        "centers": centers,
        "fields": recipe.pop("fields"),
        "features": recipe["features"],
        **({} if network else products),
        "method": recipe["method"],
        "tolerance": recipe["tolerance"],
        "estimator": plain_estimator(config.regression, config.committee),
        "learning_curve": encode(config.learning_curve)[0],
        "tune": encode(config.tune)[0],
        "memory": plain_memory(config.memory),
    }


def dump_config(config: Config, folder: str | Path) -> str:
    """The complete configuration as YAML, every default filled in.

    Args:
        config: the settings.
        folder: folder of the text; paths are written relative to it.
    """
    plain = plain_config(config)
    place = os.path.realpath(folder)  # ".." leaves the folder itself, not a link to it
    for key in ("train", "test"):
        plain["data"][key] = [os.path.relpath(name, place) for name in plain["data"][key]]
    for sources in (part["sources"] for part in plain["fields"].values()):
        if isinstance(sources, dict) and sources["kind"] == TRAINED:
            sources["model"] = os.path.relpath(sources["model"], place)
    return to_yaml(plain)


def _built(raw: Mapping[str, Any]) -> Config:
    check_keys(raw, KEYS, "")
    raw = with_preset(raw)
    for key in ("data", "target"):
        if key not in raw:
            raise CodecError(key, kind="missing")
    cutoff = decode(Radius, raw.get("cutoff", DEFAULT_CUTOFF), where="cutoff")
    target = mapping(raw["target"], "target")
    contraction = {"max_features": 200, **mapping(raw.get("contraction"), "contraction")}
    atoms = contraction.pop("atoms", 2000)
    forces = decode(ForceSettings | None, _named(target.get("forces")), where="target.forces")
    learned = build_target(target)
    regression, committee = build_estimator(raw.get("estimator"))
    if isinstance(regression, Network):
        raw = {**raw, "features": network_features(raw)}
    recipe = build_recipe(raw, cutoff)
    check_kernel_words(raw.get("estimator"), len(recipe.products))
    curve = mapping(raw.get("learning_curve"), "learning_curve")
    return Config(
        data=_data(raw["data"]),
        target=learned,
        component=decode(
            int | Literal["trace"] | None, target.get("component"), where="target.component"
        ),
        forces=forces,
        plain_baseline=build_baseline(target.get("baseline"), learned, forces=forces is not None),
        cutoff=cutoff,
        centers=_centers(raw.get("centers")),
        recipe=recipe,
        contraction=decode(ContractionSettings, contraction, where="contraction"),
        contraction_atoms=decode(AtLeastOne, atoms, where="contraction.atoms"),
        regression=regression,
        committee=committee,
        learning_curve=decode(CurveSettings, curve, where="learning_curve"),
        stress=decode(StressSettings | None, _named(target.get("stress")), where="target.stress"),
        memory=memory_bytes(raw.get("memory")),
        tune=decode(TuneSettings, mapping(raw.get("tune"), "tune"), where="tune"),
    )


def _named(raw: Any) -> Any:
    """Settings of derivatives: their key alone, or `true` for the key that they have by default."""
    if isinstance(raw, bool):
        return {} if raw else None
    return {"key": raw} if isinstance(raw, str) else raw


def _data(raw: Any) -> DataSettings:
    short = isinstance(raw, str) or (isinstance(raw, list) and bool(raw))
    part = mapping({"train": raw} if short else raw, "data")
    for key in ("train", "test"):
        if isinstance(part.get(key), str):
            part[key] = [part[key]]
    if part.get("test", ()) is None:
        del part["test"]
    return decode(DataSettings, part, where="data")


def _found(folder: str | Path, data: DataSettings) -> DataSettings:
    """The same with paths of files; a pattern for training leaves out what is for the test."""
    test = matching_files(folder, data.test, "data.test")
    named = [name for name in data.train if not is_pattern(folder, name)]
    own = matching_files(folder, named, "data.train")
    matched = matching_files(folder, data.train, "data.train")
    train = tuple(file for file in matched if file in own or file not in test)
    if not train:
        raise ConfigError("setting 'data.train': all files that match are those of data.test")
    return replace(data, train=train, test=test)


def _centers(raw: Any) -> tuple[int, ...] | None:
    symbols = decode(Names | None, raw, where="centers")
    with under("centers"):
        return None if symbols is None else tuple(atomic_number(symbol) for symbol in symbols)


def _check_finite(plain: Any, path: str) -> None:
    if isinstance(plain, float) and not math.isfinite(plain):
        raise CodecError(path, f"input should be a finite number, got {plain}")
    items = plain.items() if isinstance(plain, dict) else ()
    items = enumerate(plain) if isinstance(plain, list) else items
    for key, value in items:
        _check_finite(value, f"{path}.{key}" if path else str(key))
