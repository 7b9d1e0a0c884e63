"""What each border does with bytes: for the campaign, and for the fuzzer that follows coverage."""

import functools
import json
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final
from unittest import mock

import corpus
from judge import Fault, judge

from multilode.config.config import dump_config, load_config, plain_config
from multilode.config.store import ModelFileError, load, read_metadata
from multilode.data.io import read, write
from multilode.errors import UserError

Use = Callable[[bytes], bool]


@final
@dataclass(frozen=True)
class ByteBorder:
    """A place where bytes come in.

    Args:
        prepare: makes what it needs in the working folder; its result judges one input, and says
            whether it was accepted.
        good: inputs that are accepted.
        words: that mean something in such an input.
    """

    prepare: Callable[[], Use]
    good: Callable[[], list[bytes]]
    words: tuple[bytes, ...] = ()


def extended_xyz() -> Use:
    """Files that are read, written, and read again."""
    path, back = Path("in.xyz"), Path("back.xyz")

    def use() -> None:
        dataset = read(path)
        write(back, dataset)
        try:
            same = read(back)
        except UserError as error:
            raise Fault("written and not read again", str(error)) from error
        if len(same) != len(dataset) or set(same.columns) != set(dataset.columns):
            raise Fault("not the same after writing and reading", f"{dataset}, {same}")

    def attempt(data: bytes) -> bool:
        path.write_bytes(data)
        return judge(use)

    return attempt


def other_formats() -> Use:
    """Files of other programs; the first byte chooses the name."""
    names = list(corpus.formats())

    def attempt(data: bytes) -> bool:
        path = Path("in", names[(data[0] if data else 0) % len(names)])
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data[1:])
        return judge(lambda: read(path))

    return attempt


def configurations() -> Use:
    """Configurations that are read, written, and read again."""
    path = Path("in.yaml")

    def use() -> None:
        config = load_config(path)
        text = dump_config(config, ".")
        Path("back.yaml").write_text(text, encoding="utf-8")
        try:
            same = load_config("back.yaml")
        except UserError as error:
            raise Fault("written and not read again", f"{error}\n{text}") from error
        if plain_config(same) != plain_config(config):
            raise Fault("not the same after writing and reading", text)

    def attempt(data: bytes) -> bool:
        path.write_bytes(data)
        return judge(use)

    return attempt


def model_files() -> Use:
    """Models, as `inspect` and `predict` open them."""
    path = Path("in.safetensors")

    def attempt(data: bytes) -> bool:
        path.write_bytes(data)
        return judge(lambda: opened(path))

    return attempt


def opened(path: Path) -> Any:
    """What `inspect` and `predict` read of a model file."""
    try:
        read_metadata(path)
    except ModelFileError:
        load(path)
        raise
    return load(path)


def kept_results() -> Use:
    """Results that are kept with the systems of the papers."""
    from multilode_papers.expected import comparison

    good = _results()
    plain = json.loads(good[0])
    path = Path("water-co2.quick.json")

    def use() -> None:
        with mock.patch.object(comparison, "files", return_value=Path()):
            comparison.check("water-co2", {**plain})

    def attempt(data: bytes) -> bool:
        path.write_bytes(data)
        return judge(use)

    return attempt


def _results() -> list[bytes]:
    from multilode_papers.expected import comparison

    return [(Path(comparison.__file__).parent / "water-co2.quick.json").read_bytes()]


def checkpoints() -> Use:
    """States of trainings of networks that were interrupted."""
    from multilode.models.network.checkpoint import read_state

    path = Path("in.checkpoint")

    def attempt(data: bytes) -> bool:
        path.write_bytes(data)
        return judge(functools.partial(read_state, path, "same"))

    return attempt


def a_checkpoint() -> list[bytes]:
    """The bytes of one state."""
    import tempfile

    import torch

    from multilode.models.network.checkpoint import fresh_state, write_state

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "in.checkpoint")
        write_state(fresh_state(torch.nn.Linear(2, 3)), path, "same")
        return [path.read_bytes()]


def parts(data: bytes) -> tuple[bytes, bytes]:
    """Header and body of a file of safetensors."""
    (length,) = struct.unpack("<Q", data[:8])
    return data[8 : 8 + length], data[8 + length :]


def _named_formats() -> list[bytes]:
    return [bytes([k]) + data for k, data in enumerate(corpus.formats().values())]


BYTE_BORDERS: Mapping[str, ByteBorder] = {
    "xyz": ByteBorder(extended_xyz, lambda: list(corpus.XYZ), tuple(corpus.XYZ_WORDS)),
    "formats": ByteBorder(other_formats, _named_formats),
    "yaml": ByteBorder(configurations, lambda: list(corpus.CONFIGS), tuple(corpus.CONFIG_WORDS)),
    "models": ByteBorder(model_files, lambda: list(corpus.models())),
    "results": ByteBorder(kept_results, _results),
    "checkpoints": ByteBorder(checkpoints, a_checkpoint),
}
