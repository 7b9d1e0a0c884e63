"""Reference values of data sets: targets, forces and stresses, read from columns and checked."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from multilode.data.dataset import DataError, Dataset
from multilode.data.properties import is_number, is_virial, is_voigt
from multilode.data.stated_units import check_stated_unit
from multilode.models.targets import Per
from multilode.symmetry.cartesian import TENSORS, tensor_kind

Component = int | Literal["trace"] | None

_VOIGT = [0, 5, 4, 5, 1, 3, 4, 3, 2]  # places of 3x3 numbers in xx, yy, zz, yz, xz, xy
_UNEVEN = 0.02  # of the norm of a stress; what programs leave of its antisymmetric part
_ASYMMETRY = 1e-3  # of the norm; what is left of the noise of a response calculation


def target_values(
    dataset: Dataset,
    key: str,
    component: Component = None,
    tensor: str | None = None,
    per: Per = "structure",
    species: Sequence[int] | None = None,
    unit: str | None = None,
) -> Float[Tensor, "row target"]:
    """The targets of a data set, one row per structure or per atom.

    Args:
        dataset: structures with their properties.
        key: name of the property.
        component: index into the flattened property, or `trace` of a 3x3 tensor; None takes all.
        tensor: kind of tensor that the property is, a name in `TENSORS`; one that is symmetric but
            for a thousandth of its norm is made so.
        per: whether it is a property of structures or of atoms.
        species: atomic numbers of the atoms that must have a value, the centers; others may have
            NaN. By default all atoms must.
        unit: that the numbers are taken for; None if that is not to be checked.

    Raises:
        DataError: if a value is missing, not a finite number, has no such component, or is no such
            tensor; if the files name another unit; if an energy has several numbers.
    """
    if unit is not None:
        check_stated_unit(dataset, key, unit, setting="target.unit (for 'evaluate' --unit)")
    values = dataset.atom_column(key, species) if per == "atom" else dataset.column(key)
    values = values.reshape(len(values), -1)
    if tensor == "symmetric" and values.shape[1] == 6 and is_voigt(key):
        values = values[:, _VOIGT]
    if tensor is not None:
        return _tensors(dataset, key, torch.from_numpy(values), tensor, per)
    return torch.from_numpy(np.ascontiguousarray(_chosen(dataset, key, values, component)))


def _chosen(
    dataset: Dataset, key: str, values: Float[np.ndarray, "row _"], component: Component
) -> Float[np.ndarray, "row target"]:
    """All numbers of a property, or the one that is asked for."""
    size, source = values.shape[1], dataset.source[0]
    if component == "trace" and size == 9:
        return values[:, [0, 4, 8]].sum(axis=1, keepdims=True)
    if isinstance(component, int) and 0 <= component < size:
        return values[:, [component]]
    if component is not None:
        raise DataError(
            f"has {size} numbers and no component {component!r}",
            remedy="set target.component to null, to an index that exists, or to 'trace' for a "
            "tensor of 9 numbers",
            file=source.file,
            frame=source.frame,
            key=key,
        )
    if size > 1 and is_number(key):
        raise DataError(
            f"has {size} numbers, and by its name one is expected",
            remedy="write numbers with a decimal point, not a comma, or choose one of several with "
            "target.component, or give them another name",
            file=source.file,
            frame=source.frame,
            key=key,
        )
    return values


def force_values(dataset: Dataset, key: str, unit: str | None = None) -> Float[Tensor, "atom 3"]:
    """The forces in a data set.

    Args:
        dataset: structures with their forces.
        key: of the forces.
        unit: that the numbers are taken for; None if that is not to be checked.

    Raises:
        DataError: if an atom has none, or not three numbers; if the files name another unit.
    """
    if unit is not None:
        check_stated_unit(dataset, key, unit, setting="target.forces.unit (--forces-unit)")
    values = dataset.atom_column(key)
    if values.shape[1:] != (3,):
        raise DataError(
            f"has {values[0].size} numbers per atom, a force has 3",
            remedy="give the key of the forces",
            file=dataset.source[0].file,
            frame=dataset.source[0].frame,
            key=key,
        )
    return torch.from_numpy(values)


def stress_values(
    dataset: Dataset, key: str, unit: str | None = None
) -> Float[Tensor, "structure 3 3"]:
    """The stresses in a data set, per volume of the cell and positive under tension, as ASE has it.

    Of virials, known by their key, minus what they are per volume of the cell: they are energies,
    W = -dE/dstrain.

    Args:
        dataset: structures with their stresses.
        key: of the stresses.
        unit: that the numbers are taken for; None if that is not to be checked.

    Raises:
        DataError: if a structure has none, or it has neither 3x3 (9) numbers nor 6 in the order xx,
            yy, zz, yz, xz, xy, or is not symmetric; if it has a virial and no volume; if the files
            name another unit.
    """
    if unit is not None:
        check_stated_unit(dataset, key, unit, setting="target.stress.unit (--stress-unit)")
    values = torch.from_numpy(dataset.column(key))
    values = values.reshape(len(values), -1)
    if values.shape[1] == 6:
        values = values[:, _VOIGT]
    if values.shape[1] != 9:
        raise DataError(
            f"has {values.shape[1]} numbers, a stress has 9, or 6 in the order xx, yy, zz, yz, xz, "
            "xy",
            remedy="give the key of the stress",
            file=dataset.source[0].file,
            frame=dataset.source[0].frame,
            key=key,
        )
    stress = values.reshape(-1, 3, 3)
    _require_symmetry(dataset, key, stress)
    if is_virial(key):
        stress = -stress / _volumes(dataset, key)[:, None, None]
    return (stress + stress.mT) / 2


def _require_symmetry(dataset: Dataset, key: str, stress: Float[Tensor, "structure 3 3"]) -> None:
    """Raise a DataError if a stress is far from symmetric: its numbers mean something else."""
    size = stress.flatten(1).norm(dim=1)
    lost = (stress - stress.mT).flatten(1).norm(dim=1) / 2
    wrong = lost > _UNEVEN * size
    if bool(wrong.any()):
        frame = int(wrong.to(torch.int8).argmax())
        origin = dataset.source[frame]
        raise DataError(
            f"{100 * float(lost[frame] / size[frame]):.2g} % of the nine numbers is not symmetric, "
            "as a stress is",
            remedy="write them row by row, xx xy xz yx yy yz zx zy zz, or six: xx yy zz yz xz xy",
            file=origin.file,
            frame=origin.frame,
            key=key,
        )


def _volumes(dataset: Dataset, key: str) -> Float[Tensor, " structure"]:
    """Of the cells of structures that have virials."""
    volumes = dataset.structures.volumes.detach().cpu().double()
    if len(volumes) and not float(volumes.min()) > 0:
        origin = dataset.source[int(volumes.argmin())]
        raise DataError(
            "is a virial of a structure without a cell, so that its stress has no volume",
            remedy="give a cell of three vectors, or leave the virials out",
            file=origin.file,
            frame=origin.frame,
            key=key,
        )
    return volumes


def _tensors(
    dataset: Dataset, key: str, values: Float[Tensor, "row _"], tensor: str, per: Per
) -> Float[Tensor, "row cartesian"]:
    kind = tensor_kind(tensor)
    if values.shape[1] != kind.size:
        six = tensor == "symmetric" and values.shape[1] == 6
        order = "give all nine, since six may stand in any order; or " if six else ""
        raise DataError(
            f"has {values.shape[1]} numbers, a tensor of kind '{tensor}' has {kind.size}",
            remedy=f"{order}choose target.tensor among {', '.join(TENSORS)}, or another property",
            file=dataset.source[0].file,
            frame=dataset.source[0].frame,
            key=key,
        )
    kept = kind.to_cartesian(kind.to_spherical(values))
    lost = (kept - values).norm(dim=1) / values.norm(dim=1).clamp(min=1e-300)
    lost = lost.nan_to_num()  # of atoms without a value
    worst = int(lost.argmax()) if len(lost) else 0
    if len(lost) and float(lost[worst]) > _ASYMMETRY:
        frame = int(dataset.structures.structure_index[worst]) if per == "atom" else worst
        raise DataError(
            f"{100 * float(lost[worst]):.2g} % of the tensor is not symmetric",
            remedy="symmetrise it, or set target.tensor to 'matrix' or another kind without "
            "symmetry",
            file=dataset.source[frame].file,
            frame=dataset.source[frame].frame,
            key=key,
        )
    return kept
