"""The state of a training, written while it runs and read again by the same training."""

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from multilode.checkpoints import read_checkpoint, write_checkpoint
from multilode.models.network.network_model import EpochErrors

_PARTS = ("weights", "average", "best", "first_moment", "second_moment")


@final
@dataclass(kw_only=True)
class State:
    """Everything that the next step depends on; mutable, of one training.

    Args:
        weights: trained parameters and scales, by name.
        average: their running average.
        best: the average that was best for the validation set.
        first_moment: of the optimizer, of the parameters alone.
        second_moment: of the optimizer.
        epoch: epochs done.
        batch: batches of the next epoch that are done.
        step: steps of the optimizer in all.
        best_loss: validation loss of `best`.
        best_epoch: when it was found.
        squares: sum of squared errors of the epoch that goes on, and their number.
        history: errors of epochs.
    """

    weights: dict[str, Float[Tensor, "..."]]
    average: dict[str, Float[Tensor, "..."]]
    best: dict[str, Float[Tensor, "..."]]
    first_moment: dict[str, Float[Tensor, "..."]]
    second_moment: dict[str, Float[Tensor, "..."]]
    epoch: int = 0
    batch: int = 0
    step: int = 0
    best_loss: float = float("inf")
    best_epoch: int = 0
    squares: tuple[float, int] = (0.0, 0)
    history: list[EpochErrors] = field(default_factory=list)

    def to(self, device: torch.device) -> "State":
        """The same with all tensors on a device."""
        tensors = {
            part: {name: tensor.to(device) for name, tensor in getattr(self, part).items()}
            for part in _PARTS
        }
        return replace(self, **tensors)


def write_state(state: State, path: Path, fingerprint: str) -> None:
    """Write a state atomically.

    Args:
        fingerprint: of settings and data.
    """
    tensors = {
        f"{part}.{name}": tensor.detach().cpu().clone().contiguous()
        for part in _PARTS
        for name, tensor in getattr(state, part).items()
    }
    plain = {
        key: getattr(state, key)
        for key in ("epoch", "batch", "step", "best_loss", "best_epoch", "squares")
    }
    plain["history"] = [asdict(row) for row in state.history]
    write_checkpoint(path, fingerprint, plain, tensors)


def read_state(path: Path, fingerprint: str) -> State | None:
    """The state in a file; None if there is no file.

    Raises:
        UserError: if it is damaged, or of a training with other settings or data.
    """
    known = read_checkpoint(path, fingerprint)
    if known is None:
        return None
    plain, tensors = known
    history = [EpochErrors(**row) for row in plain.pop("history")]
    parts = {
        part: {
            n.removeprefix(f"{part}."): t for n, t in tensors.items() if n.startswith(f"{part}.")
        }
        for part in _PARTS
    }
    squares = tuple(plain.pop("squares"))
    return State(**parts, **plain, squares=squares, history=history)


def fresh_state(module: torch.nn.Module) -> State:
    """Before the first step."""

    def copies() -> dict[str, Tensor]:
        return {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}

    parameters = dict(module.named_parameters())
    zeros = [{n: torch.zeros_like(p) for n, p in parameters.items()} for _ in range(2)]
    return State(
        weights=copies(),
        average=copies(),
        best=copies(),
        first_moment=zeros[0],
        second_moment=zeros[1],
    )
