"""What the training of a network takes, from a few of its steps."""

import math
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import final

import torch

from multilode.models.network.field_store import FieldStore
from multilode.models.network.fit import references_of, validation_set
from multilode.models.network.loss import Reference
from multilode.models.network.network import TensorOutput
from multilode.models.network.network_model import NetworkModel
from multilode.models.network.network_tensor import NetworkTensorModel
from multilode.models.network.settings import Network
from multilode.models.network.training import Samples, Training
from multilode.models.targets import Forces, Stress
from multilode.numerics.memory import largest_memory
from multilode.numerics.modes import own_modes
from multilode.representation.batches import BATCH_ATOMS, batch_limits
from multilode.representation.field_set import FieldSet
from multilode.structures.batch import Structures
from multilode.symmetry.cartesian import tensor_kind

_STEPS = 3  # that are timed
_FEWEST = 3  # structures that fields are computed of


@final
@dataclass(frozen=True, kw_only=True)
class NetworkCost:
    """Rough sizes of a training, of all members.

    Args:
        weights: of one network.
        passes: over the training set, if no validation ends them.
        steps: of the optimizer, in all.
        step_seconds: for all steps, and for the errors of the validation set after each pass.
        field_seconds: for the fields, which are stored.
        stored: bytes of the stored fields.
        peak: bytes of memory that this process has had, in a step and a batch of predictions too.
    """

    weights: int
    passes: int
    steps: int
    step_seconds: float
    field_seconds: float
    stored: float
    peak: float


@own_modes(gradients=True)
def probe_network(
    settings: Network,
    recipe: FieldSet,
    structures: Structures,
    *,
    output: TensorOutput | None = None,
    forces: bool = False,
    stress: bool = False,
) -> NetworkCost:
    """Compute the fields of one batch, make a few steps on it, and count.

    Args:
        settings: of the network and the training.
        recipe: the fields.
        structures: of the training set, from which one batch is taken.
        output: of a network of tensors; None for one of energies.
        forces: whether it learns from forces.
        stress: whether it learns from stresses.

    Raises:
        ValueError: if a setting does not fit the fields.
    """
    n, atoms = structures.n_structures, structures.n_atoms
    size = max(1, round(settings.batch_atoms * n / atoms))
    some = structures.select(torch.linspace(0, n - 1, min(n, max(size, _FEWEST))).long().unique())
    share = atoms / some.n_atoms
    references = _references(some, output, forces=forces, stress=stress)
    with tempfile.TemporaryDirectory(prefix="multilode-probe-") as folder:
        store = FieldStore(recipe, some, settings.torch_dtype, Path(folder), strains=stress)
        store.computed([0])  # makes tables
        begun = time.perf_counter()
        store.fill()
        field_seconds = share * (time.perf_counter() - begun)
        stored = share * sum(file.stat().st_size for file in Path(folder).rglob("*.safetensors"))
        samples = Samples(store, references, list(range(some.n_structures)), [], output=output)
        training = Training(replace(settings, validation=0.0), samples, None, "")
        step, judged = training.trial(samples.train[:size], _STEPS)
    _predict(training, structures)
    apart = len(validation_set(n, None, settings))
    batches, validated = math.ceil((n - apart) / size), math.ceil(apart / size)
    passes = settings.passes(batches)
    return NetworkCost(
        weights=sum(weight.numel() for weight in training.parameters.values()),
        passes=passes,
        steps=settings.n_members * passes * batches,
        step_seconds=settings.n_members * passes * (batches * step + validated * judged),
        field_seconds=field_seconds,
        stored=stored,
        peak=1e9 * largest_memory(),
    )


def _predict(training: Training, structures: Structures) -> None:
    """One batch with slopes, as all are predicted in the end: it takes more than a step."""
    size, weights = training.size, dict(training.network.cpu().state_dict())
    model = NetworkModel(size=size, weights=weights)
    if size.tensor is not None:
        model = NetworkTensorModel(size=size, weights=weights, scale=1.0)
    some = structures.select(torch.arange(*batch_limits(structures, BATCH_ATOMS)[0]))
    positions = some.positions.clone().requires_grad_()
    fields = training.samples.store.recipe.compute(replace(some, positions=positions))
    torch.autograd.grad(model.predict(fields).sum(), positions)


def _references(
    structures: Structures, output: TensorOutput | None, *, forces: bool, stress: bool
) -> list[Reference]:
    """Zeros of the right shapes: sizes do not depend on values."""
    rows = structures.n_structures
    if output is not None and output.per == "atom":
        rows = structures.n_atoms
    columns = 1 if output is None else tensor_kind(output.kind).size
    zeros = torch.zeros(rows, columns, dtype=torch.float64)
    own = Forces(values=torch.zeros_like(structures.positions)) if forces else None
    strain = Stress(values=torch.zeros_like(structures.cell)) if stress else None
    return references_of(structures, zeros, own, strain, output)
