"""Configuration: YAML to validated settings, and settings to the objects that compute."""

import json
import os
import re
import warnings
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

import multilode.config.tables  # noqa: F401 - kernels, which are read by the codec
from multilode.config.codec import decode
from multilode.config.errors import ConfigError, first_problem
from multilode.config.settings import Config
from multilode.correlations import ContractionSettings
from multilode.data.dataset import Dataset
from multilode.data.io import atomic_number, chemical_symbol
from multilode.errors import DataWarning
from multilode.expansion import FieldExpansion
from multilode.fields.cutoffs import CUTOFF_FUNCTIONS
from multilode.fields.field import FIELDS
from multilode.models import (
    ESTIMATORS,
    AbstractEstimator,
    AbstractKernel,
    Committee,
    TargetRegression,
    polynomial_kernels,
)
from multilode.models.targets import Forces, Target
from multilode.prediction.baseline import BASELINES, AbstractBaseline, baseline_of
from multilode.prediction.evaluation import force_values
from multilode.radial.bases import RADIAL_BASES
from multilode.representation.recipe import Representation


def load_config(path: str | Path) -> Config:
    """Read and check a configuration; paths in it are taken relative to its folder.

    Args:
        path: the YAML file.

    Raises:
        ConfigError: naming file and key, if the file cannot be read or a setting is unknown,
            missing, of the wrong type or out of range.
    """
    path = Path(path)
    try:
        raw = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such file; check the path") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error}); check the file") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: is not valid YAML: {' '.join(str(error).split())}") from error
    return config_from_dict(raw, source=str(path), folder=path.parent)


def config_from_dict(
    raw: object, *, source: str = "configuration", folder: str | Path = ""
) -> Config:
    """Check settings that are in memory.

    Args:
        raw: the settings as nested dictionaries.
        source: what error messages call them.
        folder: what paths are relative to.

    Raises:
        ConfigError: as for `load_config`.
    """
    if not isinstance(raw, dict):
        raise ConfigError(f"{source}: is not a mapping of settings; start with 'data: ...'")
    raw = _with_kinds(raw)
    try:
        text = json.dumps(raw, default=str)
    except ValueError as error:  # a YAML anchor inside of itself
        raise ConfigError(f"{source}: cannot be used ({error}); write it without '*'") from error
    try:
        config = Config.model_validate_json(text)
    except ValidationError as error:
        raise ConfigError(f"{source}: {first_problem(error, raw)}") from error
    _check_ranges(config, source)
    data = {
        key: [str(Path(folder) / name) for name in getattr(config.data, key)]
        for key in ("train", "test")
    }
    return config.model_copy(update={"data": config.data.model_copy(update=data)})


def dump_config(config: Config, folder: str | Path) -> str:
    """The complete configuration as YAML, every default filled in.

    Args:
        config: the settings.
        folder: where the text will be stored; paths are written relative to it.
    """
    plain = config_dict(config)
    place = os.path.realpath(folder)  # ".." leaves the folder itself, not a link to it
    for key in ("train", "test"):
        plain["data"][key] = [os.path.relpath(name, place) for name in plain["data"][key]]
    return yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, default_flow_style=None)


def config_dict(config: Config) -> dict[str, Any]:
    """The complete configuration as nested dictionaries; fields that nothing uses are left out."""
    plain = config.model_dump(mode="json")
    used = {name for names in config.features for name in names}
    plain["fields"] = {name: part for name, part in plain["fields"].items() if name in used}
    return plain


def build_representation(config: Config, species: Sequence[int]) -> Representation:
    """The features that a configuration describes.

    Args:
        config: the settings.
        species: atomic numbers of the training set.

    Raises:
        ConfigError: if the centers are not among the species or a value is out of range.
    """
    absent = [s for s in config.centers or () if atomic_number(s) not in species]
    if absent:
        known = ", ".join(chemical_symbol(number) for number in sorted(set(species)))
        raise ConfigError(
            f"setting 'centers': {absent[0]} is not in the training set, which has {known}; "
            "remove it or add structures with it"
        )
    try:
        return _representation(config, species)
    except ValueError as error:
        raise ConfigError(f"setting 'features': {error}") from error


def build_estimator(config: Config) -> AbstractEstimator:
    """The model, not fitted yet, that a configuration describes."""
    settings = config.model
    arguments = settings.model_dump(exclude={"kind", "committee", "zeta", "normalize", "kernel"})
    if hasattr(settings, "kernel"):
        arguments["kernel"] = _kernel(settings)
    member = ESTIMATORS[settings.kind](**arguments)
    if settings.committee is None:
        return member
    return Committee(estimator=member, **settings.committee.model_dump())


def _kernel(settings: Any) -> AbstractKernel | tuple[AbstractKernel, ...]:
    """The kernel of all terms, or one per term; `zeta` and `normalize` are those of polynomials."""
    given = settings.kernel
    if given is None:
        return polynomial_kernels(zeta=settings.zeta, normalize=settings.normalize)
    if {"zeta", "normalize"} & settings.model_fields_set:
        raise ValueError("give zeta and normalize, or a kernel, not both")
    if isinstance(given, list):
        return tuple(decode(AbstractKernel, part, where="kernel") for part in given)
    return decode(AbstractKernel, given, where="kernel")


def build_baseline(config: Config) -> AbstractBaseline:
    """The baseline that a configuration describes, by default the one that suits the target."""
    chosen = config.target.baseline
    return baseline_of(build_target(config), None if chosen is None else BASELINES[chosen]())


def build_contraction(config: Config) -> ContractionSettings:
    """What a configuration keeps of products of three fields or more."""
    return ContractionSettings(**config.contraction.model_dump(exclude={"atoms"}))


def build_target(config: Config) -> Target:
    """What a configuration asks to learn."""
    target = config.target
    return Target(
        key=target.key,
        unit=target.unit,
        reduce=target.reduce,
        tensor=target.tensor,
        per=target.per,
    )


def build_forces(config: Config, dataset: Dataset) -> Forces | None:
    """The forces of a data set to learn from, if a configuration asks for them.

    Raises:
        DataError: if an atom has none.
    """
    asked = config.target.forces
    if asked is None:
        return None
    return Forces(
        values=force_values(dataset, asked.key),
        weight=asked.weight,
        directions=asked.directions,
        seed=asked.seed,
    )


def _representation(config: Config, species: Sequence[int]) -> Representation:
    known = tuple(sorted(set(species)))
    chosen = known if config.centers is None else [atomic_number(s) for s in config.centers]
    used = {name for names in config.features for name in names}
    regression = TargetRegression(target=build_target(config), estimator=build_estimator(config))
    return Representation(
        expansions={k: _expansion(config, f) for k, f in config.fields.items() if k in used},
        correlations=tuple(tuple(names) for names in config.features),
        species=known,
        centers=tuple(sorted(set(chosen))),
        irreps=regression.feature_irreps,
        method=config.method,
        tolerance=config.tolerance,
    )


def _expansion(config: Config, settings: Any) -> FieldExpansion:
    cls, basis, function = FIELDS[settings.kind], settings.basis, settings.cutoff_function
    density_cutoff = config.cutoff if settings.kind == "density" else None
    divided = config.cutoff if settings.range != "all" else None
    return FieldExpansion(
        field=cls(**{f.name: getattr(settings, f.name) for f in fields(cls)}),
        radial=RADIAL_BASES[basis.kind](
            n_radial=basis.n_radial, radius=basis.radius or config.cutoff
        ),
        max_angular=basis.max_angular,
        neighbor_cutoff=settings.neighbor_cutoff or density_cutoff,
        cutoff_function=CUTOFF_FUNCTIONS[function.kind](**function.model_dump(exclude={"kind"})),
        center_weight=settings.center_weight,
        range=settings.range,
        near_radius=settings.near_radius or divided,
    )


def _check_ranges(config: Config, source: str) -> None:
    """The classes know their ranges; ask them once, and say which setting they complain about."""
    parts = [(f"fields.{k}", lambda f=f: _expansion(config, f)) for k, f in config.fields.items()]
    parts.append(("model", lambda: build_estimator(config)))
    parts.append(("contraction", lambda: build_contraction(config)))
    parts.append(("centers", lambda: [atomic_number(s) for s in config.centers or ()]))
    # The species are not known yet; which fields may be multiplied does not depend on them.
    anything = config.model_copy(update={"centers": None})
    parts.append(("features", lambda: _representation(anything, [1])))
    for key, build in parts:
        try:
            build()
        except ValueError as error:
            raise ConfigError(f"{source}: setting '{key}': {error}") from error
    for key, value in config.model:
        if isinstance(value, tuple) and len(value) != len(config.features):
            raise ConfigError(
                f"{source}: setting 'model.{key}': has {len(value)} values for "
                f"{len(config.features)} features; give one for each entry of 'features'"
            )


def _with_kinds(raw: dict[str, Any]) -> dict[str, Any]:
    """Fill in the kinds that have a default, and the two fields that always exist."""
    raw = dict(raw)
    given = raw.get("fields", {})
    if given is None or isinstance(given, dict):
        named = {"rho": {"kind": "density"}, "V": {"kind": "potential"}}
        merged = {**named, **(given or {})}
        for name, part in merged.items():
            if isinstance(part, dict):
                part = {**named.get(name, {}), **_renamed(part, f"fields.{name}", _FIELD_WORDS)}
                if isinstance(part.get("basis"), dict):
                    where = f"fields.{name}.basis"
                    part["basis"] = _renamed(part["basis"], where, _BASIS_WORDS)
                part = _with_kind(part, "basis", "gto")
                merged[name] = _with_kind(part, "cutoff_function", "shifted_cosine")
        raw["fields"] = merged
    return _with_kind(raw, "model", "ridge")


# words of earlier versions, which are still read
_FIELD_WORDS = {"cutoff": "neighbor_cutoff", "range_cutoff": "near_radius"}
_BASIS_WORDS = {"cutoff": "radius"}


def _renamed(raw: dict[str, Any], where: str, words: dict[str, str]) -> dict[str, Any]:
    """The same settings under the words of today, with a note for each word of an older version."""
    result = {}
    for key, value in raw.items():
        new = words.get(key, key)
        if new != key and new in raw:
            raise ConfigError(f"setting '{where}': '{key}' is the old name of '{new}'; remove it")
        if new != key:
            note = f"setting '{where}.{key}' is now called '{new}'; rename it"
            warnings.warn(DataWarning(note), stacklevel=2)
        result[new] = value
    return result


def _with_kind(raw: dict[str, Any], key: str, kind: str) -> dict[str, Any]:
    if isinstance(raw.get(key), dict):
        return {**raw, key: {"kind": kind, **raw[key]}}
    return raw


class _Loader(yaml.SafeLoader):
    """YAML that reads 1e-6 as a number and refuses a key that is given twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:  # noqa: FBT001, FBT002
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        repeated = [key for key in dict.fromkeys(keys) if keys.count(key) > 1]
        if repeated:
            raise yaml.constructor.ConstructorError(
                None, None, f"the key '{repeated[0]}' is given twice", node.start_mark
            )
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"),
    list("-+0123456789."),
)
