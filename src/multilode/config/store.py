"""Model files: safetensors with JSON metadata, versioned, without pickle."""

import errno
import json
import warnings
from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

import multilode.config.tables  # noqa: F401 - what can be read and written
from multilode.config.codec import decode, encode
from multilode.config.migration import migrated
from multilode.config.model_limits import DTYPES, LimitError, check_sizes, check_texts, shown
from multilode.config.model_migration import migrated_model
from multilode.config.sealed import CHECKSUM, is_sealed, is_whole, seal
from multilode.errors import DataWarning, UserError
from multilode.files import replacing
from multilode.models import AbstractModel
from multilode.models.targets import Target
from multilode.numerics.modes import own_modes
from multilode.prediction.baseline import FittedBaseline
from multilode.prediction.known_environments import KnownEnvironments
from multilode.prediction.predictor import Predictor
from multilode.representation import AbstractRepresentation
from multilode.structures.batch import Structures

FORMAT = "multilode-model"
# 2: ranges, method and tolerance, which a reader of version 1 would pass over in silence
# 3: committees and sparse kernels, which a reader of version 2 would call damaged
# 4: written by the codec; the words of configurations
# 5: networks, which read fields without products
# 6: fields in channels before they are multiplied
# 7: sources of fields, and features less those of fragments
# 8: a checksum over the file
FORMAT_VERSION = 8
_FIRST_SEALED = 8
_ENTRIES = {"package_version": str} | dict.fromkeys(
    ("representation", "model", "baseline", "target", "training"), dict
)


# what parts raise that do not belong together; no memory is among them: its message is another
_DAMAGED = (
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    RuntimeError,
    TypeError,
    ValueError,
)


class ModelFileError(UserError):
    """A model file that cannot be used; the message is one line."""


@own_modes(gradients=True)
def save(
    predictor: Predictor, path: str | Path, *, training: Mapping[str, Any] | None = None
) -> None:
    """Write a predictor to a file, atomically.

    Args:
        predictor: the trained model.
        path: the file, usually with the suffix `.safetensors`.
        training: how it was trained, in types that JSON knows; for the reader only.

    Raises:
        OSError: if the folder does not exist or cannot be written to.
    """
    encoded = {
        "representation": encode(predictor.representation, AbstractRepresentation),
        "baseline": encode(predictor.baseline),
        "target": encode(predictor.target),
        "model": encode(predictor.model, AbstractModel),
    }
    if predictor.known is not None:
        encoded["known"] = encode(predictor.known)
    metadata = {
        **CHECKSUM,
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "package_version": package_version(),
        **{part: plain for part, (plain, _) in encoded.items()},
        "training": dict(training or {}),
    }
    tensors = {
        # a clone, because two names may not share memory in this format
        f"{part}.{name}": tensor.detach().cpu().clone().contiguous()
        for part, (_, named) in encoded.items()
        for name, tensor in named.items()
    }
    with replacing(path) as temporary:
        try:
            save_file(tensors, temporary, metadata={"multilode": json.dumps(metadata)})
        except SafetensorError as error:  # a full disk, or a limit on the size of files
            raise OSError(errno.EIO, str(error), str(path)) from error
        seal(temporary)


@own_modes(gradients=True)
def load(path: str | Path) -> Predictor:
    """A predictor from a file that `save` wrote.

    Args:
        path: the file.

    Raises:
        ModelFileError: if there is no such file, or it is truncated or damaged, not a model of
            ours, or of a format version that this version does not know.
    """
    metadata, tensors = _read(Path(path), with_tensors=True)
    for name, tensor in tensors.items():
        if tensor.dtype not in DTYPES:
            raise ModelFileError(
                f"{path}: the numbers {shown(name)} are {tensor.dtype}, which no model has; copy "
                "the file again or train the model again"
            )
        if not bool(tensor.isfinite().all()):
            raise ModelFileError(
                f"{path}: the numbers {shown(name)} are not finite; copy the file again or train "
                "the model again"
            )
    try:
        if metadata["format_version"] < 4:
            metadata, tensors = _with_model_of_today(metadata, tensors)
        predictor = Predictor(
            representation=_decoded(AbstractRepresentation, "representation", metadata, tensors),
            model=_decoded(AbstractModel, "model", metadata, tensors),
            baseline=_decoded(FittedBaseline, "baseline", metadata, tensors),
            target=_decoded(Target, "target", metadata, tensors),
            known=_known(metadata, tensors),
        )
    except _DAMAGED as error:
        raise ModelFileError(
            f"{path}: is incomplete ({type(error).__name__}: {_short(error)}); train the model "
            "again"
        ) from error
    _try(predictor, path)
    return predictor


def _known(metadata: dict[str, Any], tensors: dict[str, Tensor]) -> KnownEnvironments | None:
    """Environments of the training set, which files of formats before 8, and some of it, lack."""
    if "known" not in metadata:
        return None
    return _decoded(KnownEnvironments, "known", metadata, tensors)


def _with_model_of_today(
    metadata: dict[str, Any], tensors: dict[str, Tensor]
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Metadata of an earlier format and its tensors, with the model as it is written now."""
    plain, more = migrated_model(metadata["model"], _part(tensors, "model"))
    added = {f"model.{name}": tensor for name, tensor in more.items()}
    return {**metadata, "model": plain}, {**tensors, **added}


def _try(predictor: Predictor, path: str | Path) -> None:
    """Predict one atom of each species: sizes and types of all parts must fit together."""
    species = np.array(predictor.representation.species)
    n, isolated = len(species), np.zeros(3, dtype=bool)
    atoms = Structures.from_arrays(
        [np.zeros((1, 3))] * n, list(species[:, None]), [np.zeros((3, 3))] * n, [isolated] * n
    )
    names = predictor.representation.arrays
    atoms = replace(atoms, arrays={name: torch.zeros(n, dtype=torch.float64) for name in names})
    # a sum over pairs costs nothing here, whatever method the model asks for
    cheap = replace(predictor.representation, method="pair_sum")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DataWarning)  # single atoms that are no centers
            replace(predictor.without_model(), representation=cheap).predict(atoms)
    except _DAMAGED as error:
        raise ModelFileError(
            f"{path}: its parts do not fit together ({_short(error)}); train the model again"
        ) from error


def read_metadata(path: str | Path) -> dict[str, Any]:
    """Everything in a model file but its tensors.

    Args:
        path: the file.

    Raises:
        ModelFileError: as for `load`.
    """
    return _read(Path(path), with_tensors=False)[0]


def package_version() -> str:
    """The version of this package as it is installed."""
    try:
        return version("multilode")
    except PackageNotFoundError:
        return "unknown"


def _read(path: Path, *, with_tensors: bool) -> tuple[dict[str, Any], dict[str, Tensor]]:
    if not path.is_file():
        raise ModelFileError(f"{path}: there is no such model file; check the path")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = _checked(_plain((file.metadata() or {}).get("multilode"), path), path)
            names = file.keys() if with_tensors else ()
            tensors = {name: file.get_tensor(name) for name in names}
    except (SafetensorError, OSError) as error:
        raise ModelFileError(
            f"{path}: is truncated or not a model file ({error}); copy it again or train a model "
            "with 'multilode train'"
        ) from error
    try:
        today = migrated(metadata)
        check_sizes(today)
    except LimitError as error:
        raise ModelFileError(f"{path}: {error}; train the model again") from error
    except _DAMAGED as error:
        raise ModelFileError(
            f"{path}: is incomplete ({type(error).__name__}: {_short(error)}); train the model "
            "again"
        ) from error
    return today, tensors


def _plain(text: str | None, path: Path) -> Any:
    """The metadata as JSON has them, if a terminal and a file can hold every text in them."""
    try:
        found = json.loads(text) if text else None
        check_texts(found)
    except (ValueError, RecursionError) as error:  # numbers of thousands of digits; deep nesting
        raise ModelFileError(
            f"{path}: its metadata is damaged ({_short(error)}); train it again"
        ) from error
    return found


def _short(error: BaseException) -> str:
    """The first words of an error, whatever a stranger's file has made of it."""
    first = " ".join(str(error).split())
    return shown(first)[1:-1]


def _checked(metadata: Any, path: Path) -> dict[str, Any]:
    """The metadata, if it is that of a model which this version can read."""
    if not isinstance(metadata, dict) or metadata.get("format") != FORMAT:
        raise ModelFileError(
            f"{path}: is a safetensors file but not a multilode model; "
            "train one with 'multilode train'"
        )
    found: Any = metadata.get("format_version")
    _check_version(found, metadata, path)
    sealed = is_sealed(path)  # the flip of one bit may make the version an earlier one
    wanted = sealed or "checksum" in metadata or found >= _FIRST_SEALED
    if wanted and not (sealed and is_whole(path)):
        raise ModelFileError(
            f"{path}: is damaged: its checksum is not that of its contents; copy it again or train "
            "the model again"
        )
    for key, kind in _ENTRIES.items():
        if not isinstance(metadata.get(key), kind):
            raise ModelFileError(
                f"{path}: is incomplete, its entry '{key}' is missing or damaged; train the model "
                "again"
            )
    return metadata


def _check_version(found: Any, metadata: dict[str, Any], path: Path) -> None:
    if type(found) is int and 1 <= found <= FORMAT_VERSION:
        return
    newer = type(found) is int and found > FORMAT_VERSION
    remedy = "update multilode" if newer else "train the model again"
    raise ModelFileError(
        f"{path}: has format version {shown(found)}, written by multilode "
        f"{shown(metadata.get('package_version', 'unknown'))[1:-1]}; this version reads up to "
        f"{FORMAT_VERSION}: {remedy}"
    )


def _decoded(
    cls: type, part: str, metadata: Mapping[str, Any], tensors: Mapping[str, Tensor]
) -> Any:
    return decode(cls, metadata[part], _part(tensors, part), where=part)


def _part(tensors: Mapping[str, Tensor], part: str) -> dict[str, Tensor]:
    prefix = f"{part}."
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
