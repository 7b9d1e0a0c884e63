"""Warnings of data that can be learned from or predicted, but hardly as the user hopes."""

import warnings

import torch
from jaxtyping import Float, Int
from torch import Tensor

from multilode.data.dataset import NO_FILE, Dataset
from multilode.errors import DataWarning, StructureError
from multilode.models.network import NetworkModel
from multilode.models.targets import Forces
from multilode.representation.abstract import AbstractRepresentation
from multilode.structures.batch import Structures
from multilode.structures.elements import chemical_symbol

FEW_ATOMS = 5  # of an element, below which nothing is learned of it
_NET_FORCE = 0.1  # of a structure, relative to sqrt(sum of squared forces on its atoms)
_LEARNED = 0.5  # part of the forces that may be left where they are called learned


def warn_of_data(structures: Structures, forces: Forces | None) -> None:
    """Look at a training set before the training.

    Warns:
        DataWarning: of elements with few atoms, and forces that do not add up to zero.
    """
    species, counts = structures.species.unique(return_counts=True)
    rare = [
        f"{chemical_symbol(number)} ({count})"
        for number, count in zip(species.tolist(), counts.tolist(), strict=True)
        if count < FEW_ATOMS
    ]
    if rare:
        _warn(
            f"the training set has fewer than {FEW_ATOMS} atoms of {', '.join(rare)}; energies and "
            "forces of structures with them are guesses: add structures, or leave these out"
        )
    if forces is None:
        return
    values = torch.as_tensor(forces.values).double()
    sums = values.new_zeros(structures.n_structures, 3)
    net = sums.index_add(0, structures.structure_index, values).square().sum()
    share = float((net / values.square().sum().clamp(min=1e-30)).sqrt())
    if share > _NET_FORCE:
        _warn(
            "forces on the atoms of a structure do not add up to zero (their sums are "
            f"{100 * share:.0f} % of their root of summed squares), so that no energy of the atoms "
            "alone has them as its slope: check their order, or that constraints and external "
            "fields are not part of them"
        )


def check_finite(values: Float[Tensor, "row target"], owners: Int[Tensor, " row"]) -> None:
    """Look at a prediction.

    Args:
        values: of structures or centers.
        owners: structure of each of them.

    Raises:
        StructureError: if a number of a structure is not finite; structures are.
    """
    wrong = ~values.isfinite().all(dim=1)
    if bool(wrong.any()):
        raise StructureError(
            "the prediction is not finite, because numbers of the model are too large for these "
            "structures; train the model again",
            int(owners[wrong.nonzero()[0, 0]]),
        )


def warn_of_contradiction(
    model: NetworkModel,
    structures: Structures,
    energies: Float[Tensor, "structure 1"],
    forces: Float[Tensor, "atom 3"],
) -> None:
    """Look at the errors of a training whose forces were learned.

    Args:
        structures: those of the validation set.
        energies: of the same, less the baseline.
        forces: of the same.

    Warns:
        DataWarning: if energies are predicted no better than by the baseline alone.
    """
    errors = {row.epoch: row for row in model.history}.get(model.best_epoch or 0)
    if errors is None or errors.energy is None or errors.force is None:
        return
    counts = structures.counts.to(energies)
    spread = float((energies[:, 0].square() / counts).mean().sqrt())
    strength = float(forces.double().square().mean().sqrt())
    if errors.force < _LEARNED * strength and errors.energy > spread:
        _warn(
            f"forces of the validation set are learned ({errors.force:.3g} of {strength:.3g} "
            "unit/Å are left), but energies are not predicted better than by the baseline alone "
            f"({errors.energy:.3g} against {spread:.3g} over the square root of the number of "
            "atoms): if the training was not very short, the forces are not minus the slope of "
            "the energies; check their sign and unit"
        )


def warn_of_undescribed(representation: AbstractRepresentation, dataset: Dataset) -> None:
    """Look at structures before their prediction.

    Warns:
        DataWarning: of those without any atom that carries features.
    """
    structures = dataset.structures
    described = torch.zeros(len(dataset), dtype=torch.bool)
    centers = representation.centers_of(structures)
    described[structures.structure_index[centers].cpu()] = True
    empty = (~described).nonzero().flatten().tolist()
    if empty:
        origin = dataset.source[empty[0]]
        place = str(origin) if origin.file != NO_FILE else f"structure {origin.frame}"
        others = f" (and {len(empty) - 1} more)" if len(empty) > 1 else ""
        _warn(
            f"{place}{others}: has no atom of the elements that are centers; nothing in it is "
            "described, and the prediction is what the model says of nothing"
        )


def _warn(text: str) -> None:
    warnings.warn(DataWarning(text), stacklevel=3)
