"""The borders of the package: each takes bytes or words from outside."""

import hashlib
import io
import json
import random
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import corpus
import numpy as np
import yaml
from byte_borders import (
    BYTE_BORDERS,
    a_checkpoint,
    checkpoints,
    configurations,
    extended_xyz,
    kept_results,
    model_files,
    opened,
    parts,
)
from command_borders import arguments, as_yaml, trainings
from judge import Fault, judge
from mutations import mutated, mutated_plain

from multilode.config.config import config_from_dict
from multilode.data.ase_atoms import from_ase
from multilode.data.io import read
from multilode.errors import StructureError, UserError

Attempt = Callable[[random.Random], bool]


@final
@dataclass(frozen=True)
class Border:
    """A place where input comes in.

    Args:
        prepare: makes what it needs in the working folder; its result makes one input from random
            numbers, judges it, and says whether it was accepted.
        share: of the inputs of a campaign.
    """

    prepare: Callable[[], Attempt]
    share: float


def _extended_xyz() -> Attempt:
    use = extended_xyz()

    def attempt(rng: random.Random) -> bool:
        good = rng.choice(corpus.XYZ)
        return use(mutated(good, rng, corpus.XYZ_WORDS, rng.choice(corpus.XYZ)))

    return attempt


def _formats() -> Attempt:
    files = list(corpus.formats().items())
    words = [b"ITEM: ATOMS", b"element", b"data_", b"loop_", b"_atom_site", b"CRYST1", b"Direct"]

    def attempt(rng: random.Random) -> bool:
        name, good = rng.choice(files)
        if rng.random() < 0.02:  # of another kind than its name says
            name = rng.choice(files)[0]
        path = Path("in", name)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(mutated(good, rng, words, rng.choice(files)[1]))
        return judge(lambda: read(path))

    return attempt


def _archives() -> Attempt:
    with np.load(io.BytesIO(corpus.formats()["our-a.npz"]), allow_pickle=False) as file:
        good = {name: file[name] for name in file.files}

    def attempt(rng: random.Random) -> bool:
        arrays = dict(good)
        for _ in range(rng.choice((1, 1, 2))):
            name = rng.choice(sorted(arrays) or ["positions"])
            new = _changed_array(arrays.pop(name, np.zeros(3)), rng)
            if new is not None:
                arrays[rng.choice((name, name, name, f"json:{name}", "column:x"))] = new
        np.savez("in.npz", **arrays)
        return judge(lambda: read("in.npz"))

    return attempt


def _changed_array(array: np.ndarray, rng: random.Random) -> np.ndarray | None:
    kinds = ["<f8", "<f4", "<i8", "<i2", "<u8", "<c16", "?", "<U5", "<M8[s]", "<f2", ">f8"]
    values = [0, -1, 1e308, float("nan"), 2**40, 119, 1e-320]
    kind = rng.randrange(7)
    if kind == 0:
        return None
    if kind == 1:
        return array[: rng.randrange(3)] if array.ndim else array[None]
    if kind == 2:
        return np.concatenate([array, array]) if array.ndim else array
    if kind == 3:
        return array.ravel()
    if kind == 4:
        return array[..., None]
    with np.errstate(all="ignore"):
        if kind == 5:
            try:
                return array.astype(rng.choice(kinds))
            except (ValueError, TypeError):
                return None
        changed = np.array(array)
        if changed.size and changed.dtype.kind in "fiu":
            wanted = np.float64(rng.choice(values))
            changed.flat[rng.randrange(changed.size)] = wanted.astype(changed.dtype)
        return changed


def _yaml() -> Attempt:
    use = configurations()
    plain = [yaml.safe_load(text) for text in corpus.CONFIGS]
    values = [word.decode() for word in corpus.CONFIG_WORDS]

    def attempt(rng: random.Random) -> bool:
        if rng.random() < 0.4:
            return use(as_yaml(mutated_plain(rng.choice(plain), rng, values)))
        good, other = rng.choice(corpus.CONFIGS), rng.choice(corpus.CONFIGS)
        return use(mutated(good, rng, corpus.CONFIG_WORDS, other))

    return attempt


def _settings() -> Attempt:
    """Settings in memory, of a script."""
    plain = [yaml.safe_load(text) for text in corpus.CONFIGS]
    values = [word.decode() for word in corpus.CONFIG_WORDS]

    def attempt(rng: random.Random) -> bool:
        raw = mutated_plain(rng.choice(plain), rng, values)
        return judge(lambda: config_from_dict(raw))

    return attempt


def _damaged_models() -> Attempt:
    use, models = model_files(), corpus.models()

    def attempt(rng: random.Random) -> bool:
        return use(mutated(rng.choice(models), rng, [b"multilode"], rng.choice(models)))

    return attempt


def _sealed_models() -> Attempt:
    """Files whose checksum is right, or of a time without checksums: the reader itself is tried."""
    path = Path("in.safetensors")
    parsed = [_parsed(data) for data in corpus.models()]
    structures = from_ase(corpus.molecules(1)).structures

    def use() -> None:
        predictor = opened(path)
        forces = bool(predictor.target.tensor == "scalar" and predictor.target.per == "structure")
        try:
            found = predictor.predict(structures, forces=forces)
        except StructureError as error:  # of structures in memory; those of files have an origin
            raise UserError(str(error)) from error
        if not bool(found.values.isfinite().all()):
            raise Fault("prediction that is not finite", str(found.values))

    def attempt(rng: random.Random) -> bool:
        header, body = rng.choice(parsed)
        path.write_bytes(_hostile(header, body, rng))
        return judge(use)

    return attempt


def _parsed(data: bytes) -> tuple[dict[str, Any], bytes]:
    text, body = parts(data)
    header = json.loads(text)
    header["__metadata__"] = json.loads(header["__metadata__"]["multilode"])
    return header, body


def _hostile(header: dict[str, Any], body: bytes, rng: random.Random) -> bytes:
    """A file with other metadata, other tensors or another header, sealed again."""
    metadata, tensors = header["__metadata__"], {k: v for k, v in header.items() if k[0] != "_"}
    kind = rng.randrange(10)
    if kind < 6:
        metadata = _other_metadata(metadata, rng)
    elif kind < 8:
        tensors = mutated_plain(
            tensors, rng, ["F32", "I64", "BF16", "F8_E4M3", "BOOL", [1], [0, 8]]
        )
    else:
        body = mutated(body, rng, [struct.pack("<d", x) for x in (0, 1e300, np.nan, -1)], body)
    text = json.dumps(metadata)
    if rng.random() < 0.1:
        words = [b"null", b"1e400", b"-1", b"\\\\u0000"]
        text = mutated(text.encode(), rng, words, text.encode()).decode(errors="replace")
    tensors = tensors if isinstance(tensors, dict) else {}
    whole = json.dumps({"__metadata__": {"multilode": text}, **tensors}, separators=(",", ":"))
    # the metadata begin at once, without a space, as the library writes them
    return _sealed(whole.encode(errors="surrogatepass"), body)


def _other_metadata(metadata: dict[str, Any], rng: random.Random) -> Any:
    """Mutated in a part that decides on numbers, mostly."""
    part = rng.choice(("representation", "model", "model", "baseline", "target", "training", ""))
    if part not in metadata:
        return mutated_plain(metadata, rng)
    return {**metadata, part: mutated_plain(metadata[part], rng)}


def _sealed(header: bytes, body: bytes) -> bytes:
    """The file with its SHA-256 where it belongs, if it has a place for it; written once more."""
    header += b" " * (-len(header) % 8)
    data = struct.pack("<Q", len(header)) + header + body
    start = b'{"__metadata__":{"multilode":"{\\"checksum\\": \\"'
    if not header.startswith(start):
        return data
    at = 8 + len(start)
    empty = data[:at] + b"0" * 64 + data[at + 64 :]
    digest = hashlib.sha256(empty).hexdigest().encode()
    return data[:at] + digest + data[at + 64 :]


def _results() -> Attempt:
    use, (good,) = kept_results(), BYTE_BORDERS["results"].good()
    plain = json.loads(good)

    def attempt(rng: random.Random) -> bool:
        if rng.random() < 0.5:
            raw = json.dumps(mutated_plain(plain, rng))
            return use(raw.encode(errors="surrogatepass"))
        return use(mutated(good, rng, [b"rmse", b"null"], good))

    return attempt


def _checkpoints() -> Attempt:
    use, (data,) = checkpoints(), a_checkpoint()
    text, body = parts(data)
    header = json.loads(text)
    plain = json.loads(header["__metadata__"]["checkpoint"])

    def attempt(rng: random.Random) -> bool:
        if rng.random() < 0.5:
            return use(mutated(data, rng, [b"state"], data))
        text = json.dumps(mutated_plain(plain, rng))
        new = json.dumps({**header, "__metadata__": {"checkpoint": text}})
        encoded = new.encode(errors="surrogatepass")
        return use(struct.pack("<Q", len(encoded)) + encoded + body)

    return attempt


BORDERS: Mapping[str, Border] = {
    "xyz": Border(_extended_xyz, 0.5),
    "formats": Border(_formats, 0.08),
    "npz": Border(_archives, 0.03),
    "yaml": Border(_yaml, 0.09),
    "settings": Border(_settings, 0.15),
    "damaged models": Border(_damaged_models, 0.05),
    "sealed models": Border(_sealed_models, 0.03),
    "arguments": Border(arguments, 0.004),
    "trainings": Border(trainings, 0.0005),
    "results": Border(_results, 0.045),
    "checkpoints": Border(_checkpoints, 0.02),
}
