"""Stored fields of many structures in files: an epoch reads them, and a new start finds them."""

import hashlib
import shutil
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, final

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from multilode.errors import DataWarning, renumber_errors
from multilode.files import replacing
from multilode.models.network.stored import StoredField, StoredFields, store, together
from multilode.progress import Progress
from multilode.representation.batches import batch_limits
from multilode.representation.field_set import FieldSet
from multilode.structures.batch import Structures

_PARTS = ("source", "values", "slopes")
_BATCH_ATOMS = 256  # structures that are computed together; large boxes one by one
_DISK_SHARE = 0.8  # of what is free, for files; beyond it fields are computed anew in every epoch


@final
class FieldStore:
    """The stored fields of structures, each in a file of its own.

    Memory is that of the structures that are asked for together, however many there are; what is
    read again and again stays in the cache of the file system while there is room.

    Args:
        recipe: fields and species.
        structures: at fixed positions.
        dtype: of what is stored.
        folder: for the files; those that are there already are taken if they are of the same
            recipe and structures. None for a temporary folder.
        strains: whether slopes under strain are stored as well.
    """

    def __init__(
        self,
        recipe: FieldSet,
        structures: Structures,
        dtype: torch.dtype,
        folder: Path | None = None,
        *,
        strains: bool = False,
    ) -> None:
        self.recipe, self.structures, self.dtype = recipe, structures, dtype
        self.strains = strains
        self._temporary = None
        if folder is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="multilode-fields-")
            folder = Path(self._temporary.name)
        self.folder = folder / _fingerprint(recipe, structures, dtype, strains=strains)[:16]
        self.in_files = True

    def __getstate__(self) -> dict[str, Any]:
        """For other processes, which read the files and do not remove them."""
        return {**self.__dict__, "_temporary": None}

    def fill(self, progress: Progress | None = None) -> None:
        """Compute the fields of all structures whose files are missing.

        Raises:
            OSError: if the folder cannot be written to.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        total = self.structures.n_structures
        for start, stop in batch_limits(self.structures, _BATCH_ATOMS):
            numbers = range(start, stop)
            missing = [k for k in numbers if not self._path(k).is_file()]
            for k, fields in zip(missing, self.computed(missing), strict=True):
                self._write(k, fields)
            if progress is not None and stop < total:
                progress(stop, total)
            if missing and not self._has_room(stop):
                self._give_up()
                break

        if progress is not None:
            progress(total, total)

    def _give_up(self) -> None:
        """Go on without files."""
        self.in_files = False
        shutil.rmtree(self.folder, ignore_errors=True)
        free = shutil.disk_usage(self.folder.parent).free
        warnings.warn(
            f"the stored fields of {self.structures.n_structures} structures do not fit into the "
            f"{free / 1e9:.1f} GB that are free in {self.folder.parent}; they are computed anew in "
            "every epoch, which takes some times longer",
            DataWarning,
            stacklevel=2,
        )

    def together(self, numbers: Sequence[int]) -> StoredFields:
        """Some structures as one batch."""
        found = {k: self._read(k) for k in numbers}
        missing = [k for k, fields in found.items() if fields is None]
        computed = dict(zip(missing, self.computed(missing), strict=True))
        return together([found[k] or computed[k] for k in numbers])

    def remove(self) -> None:
        """Remove the files."""
        if self._temporary is not None:
            self._temporary.cleanup()
        else:
            shutil.rmtree(self.folder.parent, ignore_errors=True)

    def computed(self, numbers: Sequence[int]) -> list[StoredFields]:
        """Fields of some structures, whether they are in files or not."""
        if not numbers:
            return []
        with renumber_errors(numbers):
            some = self.structures.select(torch.tensor(numbers))
            return store(self.recipe, some, self.dtype, strains=self.strains)

    def _has_room(self, done: int) -> bool:
        """Whether files for the structures that are left fit on the disk."""
        sizes = [self._path(k).stat().st_size for k in range(done)]
        squares = self.structures.counts.double().square()  # fields of all pairs take the most
        left = sum(sizes) * float(squares[done:].sum() / squares[:done].sum())
        return left < _DISK_SHARE * shutil.disk_usage(self.folder).free

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:06d}.safetensors"

    def _write(self, number: int, fields: StoredFields) -> None:
        tensors = {"kinds": fields.kinds}
        for name, field in fields.fields.items():
            tensors |= {f"{part}.{name}": getattr(field, part) for part in _PARTS}
        contents = save({key: tensor.contiguous() for key, tensor in tensors.items()})
        with replacing(self._path(number)) as temporary:
            temporary.write_bytes(contents)

    def _read(self, number: int) -> StoredFields | None:
        """The fields in a file; None if there is none, or it is damaged."""
        if not self.in_files:
            return None
        try:
            tensors = load(self._path(number).read_bytes())
            fields = {
                name: StoredField(
                    *(tensors[f"{part}.{name}"] for part in _PARTS),
                    components=(expansion.max_angular + 1) ** 2,
                )
                for name, expansion in self.recipe.fields.items()
            }
        except (FileNotFoundError, SafetensorError, KeyError):
            return None
        kinds = tensors["kinds"]
        return StoredFields(kinds, torch.zeros_like(kinds), 1, fields)


def _fingerprint(
    recipe: FieldSet, structures: Structures, dtype: torch.dtype, *, strains: bool
) -> str:
    """Of everything that the stored fields depend on."""
    digest = hashlib.sha256(f"{recipe} {sorted(recipe.fields.items())} {dtype} {strains}".encode())
    for part in (structures.positions, structures.cell, structures.pbc, structures.species):
        digest.update(part.detach().cpu().contiguous().numpy().tobytes())
    digest.update(structures.counts.cpu().numpy().tobytes())
    return digest.hexdigest()
