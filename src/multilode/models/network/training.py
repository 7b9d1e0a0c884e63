"""The training of a network: batches of whole structures, averaged weights, checkpoints."""

import logging
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from dataclasses import fields as dataclass_fields
from pathlib import Path
from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor

from multilode.models.network.checkpoint import fresh_state, read_state, write_state
from multilode.models.network.field_store import FieldStore
from multilode.models.network.loss import Deviations, Reference, deviations, energies_of
from multilode.models.network.network import FieldNetwork, TensorOutput
from multilode.models.network.network_model import EpochErrors, NetworkModel
from multilode.models.network.network_tensor import NetworkTensorModel
from multilode.models.network.posterior import (
    FEWEST,
    LastLayerPosterior,
    fit_posterior,
    structure_features,
)
from multilode.models.network.settings import Network
from multilode.models.network.stored import StoredFields
from multilode.progress import Progress

_LOG = logging.getLogger(__name__)
_WARM_UP = 100  # steps in which the learning rate rises
_LARGEST_GRADIENT = 1.0
_BETAS = (0.9, 0.99)
# Forces say more while weights are far off, and few energies in a batch are a noisy gradient
_FIRST_ENERGY_WEIGHT = 0.01  # of that at the end
_ENERGIES_BEGIN = 0.5  # part of the training after which the weight of energies rises
_SECONDS = 20.0  # between two checkpoints
_SCALED_BY = 40  # structures that scales are taken from


@final
@dataclass(frozen=True)
class Samples:
    """Structures as the training sees them.

    Args:
        store: their fields.
        references: of each.
        train: numbers of those that are trained on.
        validation: numbers of those that are set aside.
        apart: number of groups that these are of; single structures without groups.
        output: tensors instead of energies.
        scale: of the tensors, in units of the target.
    """

    store: FieldStore
    references: list[Reference]
    train: list[int]
    validation: list[int]
    apart: int = 0
    output: TensorOutput | None = None
    scale: float = 1.0

    def batch(
        self, numbers: Sequence[int], device: torch.device
    ) -> tuple[StoredFields, list[Reference]]:
        """Some of them side by side."""
        fields = self.store.together(numbers).to(device)
        return fields, [self.references[k] for k in numbers]


def energy_share(done: float) -> float:
    """Weight of energies relative to that at the end, when this part of the training is done."""
    left = min(1.0, (1 - done) / (1 - _ENERGIES_BEGIN))
    return _FIRST_ENERGY_WEIGHT**left


def _batches(settings: Network, samples: Samples) -> tuple[int, int]:
    """Structures in a batch, and batches in an epoch."""
    counts = samples.store.structures.counts[torch.tensor(samples.train)]
    size = max(1, round(settings.batch_atoms / float(counts.double().mean())))
    return size, math.ceil(len(samples.train) / size)


@final
class Training:
    """One training: settings, data and a state that changes with every step."""

    def __init__(
        self, settings: Network, samples: Samples, checkpoint: Path | None, fingerprint: str
    ) -> None:
        self.settings, self.samples = settings, samples
        self.checkpoint, self.fingerprint = checkpoint, fingerprint
        self.device = settings.torch_device()
        self.size = settings.size(samples.store.recipe, samples.output)
        self.batch_size, self.n_batches = _batches(settings, samples)
        self.epochs = settings.passes(self.n_batches)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            self.network = FieldNetwork(self.size).to(settings.torch_dtype)
        self.network.to(self.device)
        self.parameters = dict(self.network.named_parameters())
        found = None if checkpoint is None else read_state(checkpoint, fingerprint)
        self.begins = found is None
        self.state = fresh_state(self.network) if found is None else found.to(self.device)
        self.network.load_state_dict(self.state.weights)
        self.optimizer = self._optimizer()
        self.written = time.monotonic()

    def _optimizer(self) -> torch.optim.AdamW:
        """The optimizer, with its moments from the state."""
        own = self.settings
        optimizer = torch.optim.AdamW(
            self.parameters.values(),
            lr=own.learning_rate,
            weight_decay=own.weight_decay,
            betas=_BETAS,
        )
        for name, parameter in self.parameters.items():
            optimizer.state[parameter] = {
                "step": torch.tensor(self.state.step, dtype=torch.float32),
                "exp_avg": self.state.first_moment[name].clone(),
                "exp_avg_sq": self.state.second_moment[name].clone(),
            }
        return optimizer

    def run(self, progress: Progress | None) -> NetworkModel | NetworkTensorModel:
        """All epochs that are left."""
        if self.begins:
            self._standardise()
        state = self.state
        while state.epoch < self.epochs and not self._without_progress():
            self._epoch()
            if progress is not None:
                progress(state.epoch, self.epochs)
        if progress is not None and state.epoch < self.epochs:
            progress(self.epochs, self.epochs)
        validated = bool(self.samples.validation)
        weights = state.best if validated else state.average
        common: dict[str, Any] = {
            "size": self.size,
            "weights": {name: weight.cpu() for name, weight in weights.items()},
            "history": tuple(state.history),
            "best_epoch": state.best_epoch if validated else None,
        }
        if self.samples.output is not None:
            return NetworkTensorModel(scale=self.samples.scale, **common)
        return NetworkModel(posterior=self._posterior(weights), **common)

    def trial(self, numbers: list[int], steps: int) -> tuple[float, float]:
        """Seconds of a step on some structures, and of their errors; the state is of no use then.

        Args:
            numbers: of the structures, as many as a batch has.
            steps: of which the time is taken, after one more.
        """
        self._standardise()
        self._step(numbers)
        begun = time.perf_counter()
        for _ in range(steps):
            self._step(numbers)
        between = time.perf_counter()
        deviations(self.network, *self.samples.batch(numbers, self.device), train=False)
        return (between - begun) / steps, time.perf_counter() - between

    @torch.no_grad()
    def _standardise(self) -> None:
        """Take the scales of what the network sees from some structures."""
        fields, _ = self.samples.batch(self.samples.train[:_SCALED_BY], self.device)
        self.network(fields, standardise=True)
        self.state = fresh_state(self.network)

    def _posterior(self, weights: dict[str, Float[Tensor, "..."]]) -> LastLayerPosterior | None:
        """Error bars of the trained network, from what it was and was not trained on."""
        if self.samples.apart < FEWEST:
            return None
        self.network.load_state_dict(weights)
        train, sizes, _ = self._last_layers(self.samples.train)
        validation, _, errors = self._last_layers(self.samples.validation)
        return fit_posterior(train, sizes, validation, errors)

    def errors(self, model: NetworkModel) -> Float[Tensor, " structure"]:
        """Errors of the energies of the validation set."""
        self.network.load_state_dict(model.weights)
        return self._last_layers(self.samples.validation)[2]

    @torch.no_grad()
    def _last_layers(
        self, numbers: list[int]
    ) -> tuple[
        Float[Tensor, "structure feature"],
        Float[Tensor, " structure"],
        Float[Tensor, " structure"],
    ]:
        """What energies are linear in, numbers of atoms, and errors of energies."""
        found, n_species = [], self.size.n_species
        for start in range(0, len(numbers), self.batch_size):
            some = numbers[start : start + self.batch_size]
            fields, references = self.samples.batch(some, self.device)
            atoms, layers = self.network(fields)
            own = fields.structure_index, fields.n_structures
            known = torch.tensor([one.energy for one in references], dtype=torch.float64)
            errors = known - energies_of(atoms, *own).cpu()
            features = structure_features(layers, fields.kinds, *own, n_species).cpu()
            found.append((features, features[:, -n_species:].sum(dim=1), errors))
        features, sizes, errors = (torch.cat(parts) for parts in zip(*found, strict=True))
        return features, sizes, errors

    def _without_progress(self) -> bool:
        patience = self.settings.patience
        if patience is None or not self.samples.validation:
            return False
        return self.state.epoch - self.state.best_epoch >= patience

    def _epoch(self) -> None:
        """The batches of an epoch that are left, and its errors."""
        state, size = self.state, self.batch_size
        generator = torch.Generator().manual_seed(self.settings.seed + 1000003 * (state.epoch + 1))
        train = self.samples.train
        order = torch.randperm(len(train), generator=generator).tolist()
        for number in range(state.batch, self.n_batches):
            chosen = order[number * size : (number + 1) * size]
            self._step([train[k] for k in chosen])
            state.batch = number + 1
            self._write(often=False)
        state.epoch, state.batch = state.epoch + 1, 0
        squares, count = state.squares
        state.squares = (0.0, 0)
        state.history.append(self._judged((squares / max(count, 1)) ** 0.5))
        _LOG.info("epoch %d of %d: %s", state.epoch, self.epochs, state.history[-1])
        self._write(often=True)

    def _step(self, numbers: list[int]) -> None:
        """One step of the optimizer, and of the average."""
        state, own = self.state, self.settings
        done = (state.epoch + state.batch / self.n_batches) / self.epochs
        rate = own.learning_rate * 0.5 * (1 + math.cos(math.pi * done))
        for group in self.optimizer.param_groups:
            group["lr"] = rate * min(1.0, (state.step + 1) / _WARM_UP)
        fields, references = self.samples.batch(numbers, self.device)
        found = deviations(self.network, fields, references, train=True)
        self.optimizer.zero_grad(set_to_none=True)
        found.loss(own.energy_weight * energy_share(done), own.stress_weight).backward()
        torch.nn.utils.clip_grad_norm_(self.parameters.values(), _LARGEST_GRADIENT)
        self.optimizer.step()
        state.step += 1
        parts = found.forces if len(found.forces) else found.energies
        squares, count = state.squares
        state.squares = (squares + float(parts.detach().sum()), count + len(parts))
        self._average()

    @torch.no_grad()
    def _average(self) -> None:
        """The running average follows the weights, at first faster."""
        share = 1 / min(self.settings.average, self.state.step / 10 + 1)
        for name, parameter in self.parameters.items():
            self.state.average[name].lerp_(parameter, share)

    def _judged(self, train_error: float) -> EpochErrors:
        """Errors after an epoch; the average is kept if it is the best so far."""
        state = self.state
        row = EpochErrors(epoch=state.epoch, train=self.samples.scale * train_error)
        if not self.samples.validation:
            return row
        found = self._validated()
        loss = float(found.loss(self.settings.energy_weight, self.settings.stress_weight))
        error = self.samples.scale * float(found.energies.mean()) ** 0.5
        row = replace(row, **{"energy" if self.samples.output is None else "component": error})
        if len(found.forces):
            row = replace(row, force=float(found.forces.mean()) ** 0.5)
        if len(found.virials):
            row = replace(row, virial=float(found.virials.mean()) ** 0.5)
        if loss < state.best_loss:
            state.best_loss, state.best_epoch = loss, state.epoch
            state.best = {name: tensor.clone() for name, tensor in state.average.items()}
        return row

    def _validated(self) -> Deviations:
        """Squared errors of the validation set with averaged weights."""
        current = {name: tensor.clone() for name, tensor in self.network.state_dict().items()}
        self.network.load_state_dict(self.state.average)
        size, found, apart = self.batch_size, [], self.samples.validation
        for start in range(0, len(apart), size):
            fields, references = self.samples.batch(apart[start : start + size], self.device)
            found.append(deviations(self.network, fields, references, train=False))
        self.network.load_state_dict(current)
        names = [part.name for part in dataclass_fields(Deviations)]
        joined = (torch.cat([getattr(part, name).detach() for part in found]) for name in names)
        return Deviations(*joined)

    def _write(self, *, often: bool) -> None:
        """A checkpoint, if the last one is some time ago."""
        now = time.monotonic()
        if self.checkpoint is None or (now - self.written < _SECONDS and not often):
            return
        state = self.state
        state.weights = dict(self.network.state_dict())
        for name, parameter in self.parameters.items():
            moments = self.optimizer.state[parameter]
            state.first_moment[name] = moments["exp_avg"]
            state.second_moment[name] = moments["exp_avg_sq"]
        write_state(state, self.checkpoint, self.fingerprint)
        self.written = now
