"""Normal equations in a file: a fit that was stopped goes on where it was."""

import hashlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import final

import torch
from jaxtyping import Int
from torch import Tensor

from multilode.checkpoints import read_checkpoint, write_checkpoint
from multilode.models.solve.normal import NormalEquations
from multilode.models.solve.term_weights import Search
from multilode.prediction.streamed.rows import StreamedRows
from multilode.representation.representation import Representation

_SECONDS = 20.0  # between two states, if writing them takes little of it
_SHARE = 10  # times longer than the writing of a state


@final
class StateFile:
    """The file of a fit, written every now and then; without a path nothing is written.

    Args:
        path: of the file; None for none.
        mark: of settings and data, from `fingerprint`.
    """

    def __init__(self, path: Path | None, mark: str) -> None:
        self.path, self.mark = path, mark
        self.written, self.pause = time.monotonic(), _SECONDS

    def read(self, widths: Sequence[int]) -> tuple[NormalEquations, int] | None:
        """What was added up, and the number of chunks; None if there is no file.

        Raises:
            UserError: if it is damaged, or of a fit with other settings or data.
        """
        known = None if self.path is None else read_checkpoint(self.path, self.mark)
        if known is None:
            return None
        plain, tensors = known
        return NormalEquations.of_tensors(widths, tensors), int(plain["chunks"])

    def write(self, equations: NormalEquations, chunks: int, *, now: bool = False) -> None:
        """Write the state, unless the last one was a moment ago."""
        begun = time.monotonic()
        if self.path is None or (begun - self.written < self.pause and not now):
            return
        write_checkpoint(self.path, self.mark, {"chunks": chunks}, equations.tensors())
        self.written = time.monotonic()
        self.pause = max(_SECONDS, _SHARE * (self.written - begun))


def fingerprint(
    rows: StreamedRows,
    search: Search,
    folds: Int[Tensor, " structure"],
    batches: Sequence[Int[Tensor, " _"]],
) -> str:
    """Of everything that the sums depend on, in the order in which it is added up."""
    recipe = rows.representation
    plain = [recipe, sorted(recipe.fields.items()), recipe.method, recipe.tolerance, rows.map]
    weights = [rows.force_weight, rows.stress_weight]
    sizes = [len(members) for members in batches]
    digest = hashlib.sha256(f"{plain} {search.seed} {search.folds} {weights} {sizes}".encode())
    structures = rows.structures
    parts = [structures.positions, structures.cell, structures.pbc, structures.species]
    parts += [structures.counts, rows.y, rows.roots, folds, *batches]
    parts += [u for name in recipe.used for u in _matrices(recipe, name)]
    parts += [torch.as_tensor(x.values) for x in (rows.forces, rows.stress) if x is not None]
    for part in parts:
        digest.update(part.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _matrices(recipe: Representation, name: str) -> Sequence[torch.Tensor]:
    channels = recipe.channels_of(name)
    return () if channels is None else channels.matrices
