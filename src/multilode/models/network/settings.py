"""Settings of a network and of its training."""

import math
import re
from dataclasses import dataclass
from typing import final

import torch

from multilode.models.network.network import FieldSize, NetworkSize, TensorOutput
from multilode.representation.field_set import FieldSet

_COUNTS = (
    "channels",
    "hidden",
    "rounds",
    "charges",
    "epochs",
    "batch_atoms",
    "average",
    "n_members",
)
_FEWEST_STEPS = 500
_STEPS_PER_EPOCH = 50  # at most, on average
_DTYPES = {"float32": torch.float32, "float64": torch.float64}


@final
@dataclass(frozen=True, kw_only=True)
class Network:
    """A network on the fields of structures, trained on energies and forces, epoch by epoch.

    Args:
        channels: learned mixtures of element and radial function, for every l.
        hidden: width of the two hidden layers of a readout.
        rounds: readouts; each but the last makes sources of fields for the next.
        charges: sources without direction that an atom makes in a round.
        dipoles: sources with a direction that it makes.
        epochs: passes over the training set; the learning rate ends at zero with the last. More
            of a small set, so that there are 500 steps, and fewer of a large one: at most 50
            steps for each epoch asked for.
        steps: of the optimizer, rounded up to whole epochs; None to count epochs instead.
        batch_atoms: atoms per step; as many whole structures as have about so many.
        learning_rate: largest step of the optimizer (AdamW).
        weight_decay: of the optimizer.
        energy_weight: Å^-2; weight of the mean squared (error of an energy / sqrt(atoms)) beside
            the mean squared error of a component of a force.
        stress_weight: Å^-2; likewise of stress times volume, on average over its components.
        average: steps over which weights are averaged; the averaged weights are the model.
        validation: part of the structures that is set aside, whole groups at a time; the weights
            that are best for it are kept. 0 for none: the last weights are kept.
        patience: epochs without a better validation after which the training ends; None for all.
        n_members: networks that are trained one after the other; their mean is the model, their
            spread its error bars.
        seed: of weights, batches and the validation set.
        device: "cpu" or "cuda".
        dtype: "float32" or "float64" in training; energies are added up in float64.

    Raises:
        ValueError: if a setting is out of range.
    """

    channels: int = 24
    hidden: int = 64
    rounds: int = 2
    charges: int = 8
    dipoles: int = 4
    epochs: int = 80
    steps: int | None = None
    batch_atoms: int = 240
    learning_rate: float = 4e-3
    weight_decay: float = 0.02
    energy_weight: float = 1.0
    stress_weight: float = 1.0
    average: int = 500
    validation: float = 0.1
    patience: int | None = None
    n_members: int = 1
    seed: int = 0
    device: str = "cpu"
    dtype: str = "float32"

    def __post_init__(self) -> None:
        self._check_training()
        for name in _COUNTS:
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; use 1 or more")
        if self.steps is not None and self.steps < 1:
            raise ValueError(f"steps is {self.steps}; use 1 or more, or None to count epochs")
        if self.dipoles < 0:
            raise ValueError(f"dipoles is {self.dipoles}; use 0 or more")
        if self.patience is not None and self.patience < 1:
            raise ValueError(f"patience is {self.patience}; use 1 or more epochs, or None")
        if self.dtype not in _DTYPES:
            raise ValueError(f"dtype is {self.dtype!r}; use one of {', '.join(map(repr, _DTYPES))}")
        if not re.fullmatch(r"cpu|cuda(:\d{1,3})?", self.device):
            raise ValueError(f"device is {self.device!r}; use 'cpu' or 'cuda'")

    def _check_training(self) -> None:
        for name in ("learning_rate", "energy_weight", "stress_weight"):
            if not 0 < getattr(self, name) < float("inf"):
                raise ValueError(f"{name} is {getattr(self, name)}; it must be larger than 0")
        if not 0 <= self.weight_decay < float("inf"):
            raise ValueError(f"weight_decay is {self.weight_decay}; it must be 0 or larger")
        if not 0 <= self.validation < 1:
            raise ValueError(f"validation is {self.validation}; it must lie in [0, 1)")

    @property
    def torch_dtype(self) -> torch.dtype:
        """Type of the weights in training."""
        return _DTYPES[self.dtype]

    def torch_device(self) -> torch.device:
        """The device to train on.

        Raises:
            ValueError: if this machine has none of the kind, or fewer.
        """
        device = torch.device(self.device)
        here = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if device.type == "cuda" and (device.index or 0) >= here:
            raise ValueError(
                f"estimator.device is {self.device!r}, and PyTorch finds {here or 'no'} CUDA "
                f"device{'s' * (here > 1)} here; use 'cpu', or a PyTorch with CUDA on a machine "
                "with a GPU"
            )
        return device

    def passes(self, n_batches: int) -> int:
        """Passes over a training set of so many batches."""
        steps = self.steps
        if steps is None:
            most = self.epochs * _STEPS_PER_EPOCH
            steps = min(max(self.epochs * n_batches, _FEWEST_STEPS), most)
        return math.ceil(steps / n_batches)

    def size(self, recipe: FieldSet, tensor: TensorOutput | None = None) -> NetworkSize:
        """The shapes of the weights for these fields.

        Raises:
            ValueError: if dipoles are wanted where no field has l = 1.
        """
        fields = {
            name: FieldSize(max_angular=part.max_angular, n_radial=part.basis.n_radial)
            for name, part in recipe.fields.items()
        }
        if self.dipoles and max(size.max_angular for size in fields.values()) < 1:
            raise ValueError("dipoles need a field with max_angular of 1 or more; use dipoles=0")
        return NetworkSize(
            fields=fields,
            n_species=len(recipe.species),
            channels=self.channels,
            n_hidden=self.hidden,
            rounds=self.rounds,
            charges=self.charges,
            dipoles=self.dipoles,
            tensor=tensor,
        )
