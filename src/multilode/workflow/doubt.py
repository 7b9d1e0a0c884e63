"""A doubt: what can be used, but is probably not what its user means."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from jaxtyping import Bool

from multilode.data.dataset import Dataset

_SHOWN = 4  # frames of a note


@final
@dataclass(frozen=True, kw_only=True)
class Doubt:
    """Something to look at.

    Args:
        kind: a word for programs.
        text: a sentence for people, with the remedy.
        frames: file and number of the structures that it is about.
    """

    kind: str
    text: str
    frames: tuple[tuple[str, int], ...] = ()

    def __str__(self) -> str:
        if not self.frames:
            return self.text
        named = ", ".join(f"{file} frame {frame}" for file, frame in self.frames[:_SHOWN])
        more = len(self.frames) - _SHOWN
        return f"{self.text}: {named}{f' and {more} more' if more > 0 else ''}"

    def as_dict(self) -> dict[str, Any]:
        """For a file of metrics."""
        frames = [{"file": file, "frame": frame} for file, frame in self.frames]
        return {"kind": self.kind, "text": self.text, "frames": frames}


def doubt_of(
    kind: str, text: str, dataset: Dataset, which: Bool[np.ndarray, " structure"]
) -> Doubt:
    """A doubt about some structures of a data set."""
    numbers: Sequence[int] = np.flatnonzero(which).tolist()
    origins = (dataset.source[k] for k in numbers)
    return Doubt(kind=kind, text=text, frames=tuple((str(o.file), o.frame) for o in origins))
