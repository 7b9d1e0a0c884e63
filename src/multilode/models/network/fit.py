"""From structures and energies to a trained network, or to several of them."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from multilode.models.committee.calibration import Calibration, calibrate
from multilode.models.network.field_store import FieldStore
from multilode.models.network.loss import Reference
from multilode.models.network.network import TensorOutput
from multilode.models.network.network_committee import NetworkCommittee
from multilode.models.network.network_model import NetworkModel
from multilode.models.network.network_tensor import NetworkTensorModel
from multilode.models.network.posterior import FEWEST
from multilode.models.network.settings import Network
from multilode.models.network.training import Samples, Training
from multilode.models.targets import Forces, Stress
from multilode.numerics.modes import own_modes
from multilode.progress import Progress
from multilode.representation.field_set import FieldSet
from multilode.scheduling import distributed, mapped
from multilode.structures.batch import Structures
from multilode.structures.periods import along_periods, projectors


@own_modes(gradients=True)
def fit_network(
    settings: Network,
    recipe: FieldSet,
    structures: Structures,
    values: Float[Tensor, "row column"],
    *,
    output: TensorOutput | None = None,
    forces: Forces | None = None,
    stress: Stress | None = None,
    groups: Int[Tensor, " structure"] | None = None,
    checkpoint: Path | None = None,
    progress: Progress | None = None,
) -> NetworkModel | NetworkTensorModel | NetworkCommittee:
    """Train a network, or several.

    Args:
        settings: of the network and the training.
        recipe: the fields.
        structures: of the training set; some are set aside for validation.
        values: energies less the baseline, or flattened tensors of structures or atoms.
        output: of a network of tensors; None for one of energies.
        forces: to learn from as well; their weight is that of `settings`.
        stress: of periodic structures, likewise.
        groups: structures with equal numbers are set aside together.
        checkpoint: file that the state of the training is written to, and continued from; further
            members have a number in its name.
        progress: called with the structures whose fields are stored and those in all, then after
            each epoch with the epochs done and those in all,
            of all members.

    Returns:
        The model, with error bars if enough structures are set aside to know their scale.

    Raises:
        UserError: if the checkpoint is that of another training.
        ValueError: if there are too few structures, or a setting does not fit the fields.
    """
    folder = None if checkpoint is None else checkpoint.with_name(f"{checkpoint.stem}-fields")
    store = FieldStore(recipe, structures, settings.torch_dtype, folder, strains=stress is not None)
    apart = validation_set(structures.n_structures, groups, settings)
    scale = 1.0 if output is None else _scale(structures, values, output)
    samples = Samples(
        store=store,
        references=references_of(structures, values / scale, forces, stress, output),
        output=output,
        scale=scale,
        train=[k for k in range(structures.n_structures) if k not in set(apart)],
        validation=apart,
        apart=len(apart) if groups is None else len(groups[apart].unique()),
    )
    trainings = []
    for k in range(settings.n_members):
        own = replace(settings, seed=settings.seed + k, n_members=1)
        fingerprint = _fingerprint(own, recipe, structures, values, forces, stress)
        trainings.append(Training(own, samples, _numbered(checkpoint, k), fingerprint))
    store.fill(progress)
    # progress stays in this process
    told = None if distributed() and len(trainings) > 1 else progress
    members: list[Any] = list(mapped(_trained, range(len(trainings)), trainings, told))
    calibration = _calibration(trainings, members) if len(members) > 1 else None
    store.remove()
    if len(members) == 1:
        return members[0]
    return NetworkCommittee(members=tuple(members), calibration=calibration)


def _trained(
    number: int, trainings: Sequence[Training], progress: Progress | None
) -> NetworkModel | NetworkTensorModel:
    return trainings[number].run(_part(progress, number, len(trainings)))


def _numbered(checkpoint: Path | None, member: int) -> Path | None:
    """The checkpoint of a member."""
    if checkpoint is None or member == 0:
        return checkpoint
    return checkpoint.with_stem(f"{checkpoint.stem}-{member + 1}")


def _part(progress: Progress | None, number: int, parts: int) -> Progress | None:
    """Progress of one of several trainings of the same length."""
    if progress is None:
        return None
    return lambda done, total: progress(number * total + done, parts * total)


def _calibration(
    trainings: Sequence[Training], members: Sequence[NetworkModel]
) -> Calibration | None:
    """How much larger the errors of the validation set are than the spread of the members."""
    if trainings[0].samples.apart < FEWEST:
        return None
    pairs = zip(trainings, members, strict=True)
    errors = torch.stack([training.errors(member) for training, member in pairs], dim=1)
    return calibrate(
        -errors[:, :, None],
        torch.ones_like(errors, dtype=torch.bool),
        torch.zeros_like(errors[:, :1]),
    )


def validation_set(
    n_structures: int, groups: Int[Tensor, " structure"] | None, settings: Network
) -> list[int]:
    """Structures that are set aside, ascending: whole groups, drawn at random.

    Raises:
        ValueError: if nothing would be left to train on.
    """
    wanted = round(settings.validation * n_structures)
    if settings.validation == 0 or wanted == 0:
        return []
    own = torch.arange(n_structures) if groups is None else groups
    numbers = own.unique(return_inverse=True)[1]
    generator = torch.Generator().manual_seed(settings.seed)
    order = torch.randperm(int(numbers.max()) + 1, generator=generator)
    if len(order) < 2:
        raise ValueError(
            "all structures are one group, so that none can be set aside for validation; use "
            "validation=0 or other groups"
        )
    sizes = torch.bincount(numbers)[order].cumsum(0)
    n_groups = min(max(1, int((sizes <= wanted).sum())), len(order) - 1)
    return torch.isin(numbers, order[:n_groups]).nonzero().flatten().tolist()


def references_of(
    structures: Structures,
    values: Float[Tensor, "row column"],
    forces: Forces | None,
    stress: Stress | None,
    output: TensorOutput | None,
) -> list[Reference]:
    """What each structure is to have."""
    if output is not None:
        counts = structures.counts.tolist()
        sizes = counts if output.per == "atom" else [1] * len(counts)
        return [Reference(tensors=rows) for rows in values.split(sizes)]
    nothing: list[Tensor | None] = [None] * structures.n_structures
    known, virials, onto = nothing, nothing, nothing
    if forces is not None:
        known = list(torch.as_tensor(forces.values).split(structures.counts.tolist()))
    if stress is not None:
        own = torch.as_tensor(stress.values) * structures.volumes.detach().cpu()[:, None, None]
        virials = list(along_periods((own + own.mT) / 2, structures))
        whole = structures.pbc.all(dim=1)[:, None, None]
        found = projectors(structures)
        onto = list(torch.where(whole, torch.eye(3).to(found), found))
    rows = zip(values[:, 0].tolist(), known, virials, onto, strict=True)
    return [Reference(*row) for row in rows]


def _scale(
    structures: Structures, values: Float[Tensor, "row column"], output: TensorOutput
) -> float:
    """Size of the tensors of atoms, if they are independent of each other."""
    size = float(values.square().mean().sqrt()) or 1.0
    if output.per == "structure" and output.reduce == "sum":
        return size / float(structures.counts.double().mean().sqrt())
    return size


def _fingerprint(
    settings: Network,
    recipe: FieldSet,
    structures: Structures,
    values: Float[Tensor, "row column"],
    forces: Forces | None,
    stress: Stress | None,
) -> str:
    """Of everything that the result depends on."""
    digest = hashlib.sha256(f"{settings} {sorted(recipe.fields.items())} {recipe}".encode())
    parts = [structures.positions, structures.cell, structures.species, values]
    parts += [torch.as_tensor(x.values) for x in (forces, stress) if x is not None]
    for part in parts:
        digest.update(part.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
