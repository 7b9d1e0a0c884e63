"""States of long computations in files, from which the same computation goes on."""

import errno
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from multilode.errors import UserError
from multilode.files import replacing


def write_checkpoint(
    path: Path, fingerprint: str, plain: Mapping[str, Any], tensors: Mapping[str, Tensor]
) -> None:
    """Write a state atomically.

    Args:
        path: of the file; its folder is made.
        fingerprint: of the settings and data that the state depends on.
        plain: what JSON can hold of it.
        tensors: the rest, by name.
    """
    state = json.dumps(dict(plain))
    known = {"fingerprint": fingerprint, "checksum": _checksum(state, tensors), "state": state}
    text = json.dumps(known)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        try:
            save_file(dict(tensors), temporary, metadata={"checkpoint": text})
        except SafetensorError as error:  # a full disk, or a limit on the size of files
            raise OSError(errno.EIO, str(error), str(path)) from error


def read_checkpoint(
    path: Path, fingerprint: str
) -> tuple[dict[str, Any], dict[str, Tensor]] | None:
    """The two parts of a state; None if there is no file.

    Raises:
        UserError: if it is damaged, or of a computation with other settings or data.
    """
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            known = json.loads((file.metadata() or {})["checkpoint"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        found, text, checksum = (known[key] for key in ("fingerprint", "state", "checksum"))
        if checksum != _checksum(text, tensors):
            raise ValueError("its checksum is not that of its contents")
    except (SafetensorError, OSError, LookupError, TypeError, ValueError, AttributeError) as error:
        raise UserError(
            f"{path}: is no checkpoint of a training, or damaged ({error}); remove it to begin "
            "again"
        ) from error
    if found != fingerprint:
        raise UserError(
            f"{path}: is the checkpoint of a training with other settings or data; remove it, or "
            "write the results of this training to another folder"
        )
    return json.loads(text), tensors


def _checksum(state: str, tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of all numbers, and of their names."""
    found = hashlib.sha256(state.encode())
    for name, tensor in sorted(tensors.items()):
        found.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        found.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return found.hexdigest()
