"""Errors of predictions on one set of structures: of the target, per atom, of its derivatives."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from multilode.errors import UserError
from multilode.models.targets import Target, atom_unit, force_unit, stress_unit
from multilode.prediction.errors import ErrorRow, error_table, read_unit
from multilode.prediction.predictor import Prediction
from multilode.prediction.stress import along_periods
from multilode.structures.batch import Structures
from multilode.structures.elements import chemical_symbol
from multilode.symmetry.cartesian import tensor_kind
from multilode.symmetry.irrep import irrep_name

_SHOWN_GROUPS = 8  # of a description
_SIZES = 4  # bins of structures by their number of atoms


@final
@dataclass(frozen=True, kw_only=True, repr=False)
class Errors:
    """Errors of a model on one set of structures.

    Rows hold them in `unit`, per atom, per Å or per Å^3; what is printed and what `as_dicts` gives
    is in meV where these are eV.

    Args:
        model: its name.
        split: name of the set.
        unit: of the target.
        rows: errors of all structures first, then of each group.
        components: of tensors, errors of the spherical components of each irrep, by its name.
        per_atom: of an extensive target that has a unit, errors over the number of atoms.
        sizes: the same by number of atoms, in a few bins; of other targets not over that number.
        forces: errors of the components of forces, in unit/Å, if they were compared too; counted
            are atoms.
        elements: the same for the atoms of each element.
        stress: errors of the components of the stress, in unit/Å^3, if it was compared too; of
            layers and wires those along the periods.
    """

    model: str
    split: str
    unit: str
    rows: tuple[ErrorRow, ...]
    components: tuple[ErrorRow, ...] = ()
    per_atom: ErrorRow | None = None
    sizes: tuple[ErrorRow, ...] = ()
    forces: ErrorRow | None = None
    elements: tuple[ErrorRow, ...] = ()
    stress: ErrorRow | None = None

    def __repr__(self) -> str:
        shown = [*self.rows[:_SHOWN_GROUPS], *self.components]
        lines = [row.written(row.group, self.unit) for row in shown]
        if len(self.rows) > _SHOWN_GROUPS:
            lines.append(f"and {len(self.rows) - _SHOWN_GROUPS} groups more")
        lines += [
            row.written(name, unit) for name, unit, row in self._parts() if row.group == "all"
        ]
        return "\n  ".join([f"Errors({self.model}, {self.split}", *lines]) + ")"

    def as_dicts(self) -> list[dict[str, Any]]:
        """One plain dictionary per row; errors that are not defined are None.

        Those of components of tensors, per atom, of forces and of stresses come last, and name
        their `component`; `group` is then "all", an element or a range of sizes.
        """
        whole = [_as_dict(row, self.unit) for row in self.rows]
        irreps = [
            {**_as_dict(row, self.unit), "group": "all", "component": row.group}
            for row in self.components
        ]
        parts = [{**_as_dict(row, unit), "component": name} for name, unit, row in self._parts()]
        named = {"model": self.model, "split": self.split}
        return [{**named, **row} for row in whole + irreps + parts]

    def _parts(self) -> list[tuple[str, str, ErrorRow]]:
        """Component, unit and row of everything beside the target itself."""
        over_atoms = self.per_atom is not None
        name, unit = ("per atom", atom_unit(self.unit)) if over_atoms else ("sizes", self.unit)
        sized = [self.per_atom, *self.sizes]
        forces = [self.forces, *self.elements]
        parts = [(name, unit, row) for row in sized]
        parts += [("forces", force_unit(self.unit), row) for row in forces]
        parts += [("stress", stress_unit(self.unit), self.stress)]
        return [(name, unit, row) for name, unit, row in parts if row is not None]


def compare(
    predicted: Prediction,
    reference: Float[Tensor, "row column"],
    target: Target,
    *,
    model: str,
    split: str,
    groups: Sequence[str] | None = None,
    structures: Structures | None = None,
    forces: Float[Tensor, "atom 3"] | None = None,
    stress: Float[Tensor, "structure 3 3"] | None = None,
) -> Errors:
    """Errors of the model called `model` on the structures called `split`, whole and by group.

    Args:
        reference: of the same structures, or atoms; those without prediction are left out.
        target: what they are; of tensors, irreps are listed too, all components and copies pooled.
        groups: a label per structure, or atom.
        structures: whose sizes and elements errors are listed by; needed for stresses.
        forces: references in unit/Å, whose components are pooled.
        stress: references in unit/Å^3, likewise.

    Raises:
        UserError: if the references have other columns than the predictions, or forces or stresses
            were not predicted.
    """
    every = _compared(reference, predicted)
    known = ~every.predicted.isnan().any(dim=1)  # atoms that are no centers have no prediction
    whole = every.changed(lambda part: part[known])
    return Errors(
        model=model,
        split=split,
        unit=target.unit,
        rows=whole.rows(groups and [g for g, k in zip(groups, known, strict=True) if k]),
        components=() if target.tensor is None else _irrep_errors(whole, target.tensor),
        stress=_stress_errors(stress, predicted, structures),
        **_size_errors(every, structures, target),
        **_force_errors(forces, predicted, structures),
    )


@final
@dataclass(frozen=True)
class _Compared:
    """References and predictions, with what the baseline says and error bars where these are known.

    Args:
        reference: the truth.
        predicted: what is compared with it.
        baseline: a part of the predictions.
        bars: their error bars.
    """

    reference: Float[Tensor, "row column"]
    predicted: Float[Tensor, "row column"]
    baseline: Float[Tensor, "row column"] | None = None
    bars: Float[Tensor, "row column"] | None = None

    def changed(self, change: Callable[[Tensor], Tensor]) -> "_Compared":
        """The same with all of them changed alike."""
        return _Compared(
            change(self.reference),
            change(self.predicted),
            None if self.baseline is None else change(self.baseline),
            None if self.bars is None else change(self.bars),
        )

    def rows(self, groups: Sequence[str] | None = None) -> tuple[ErrorRow, ...]:
        """Errors of all, and of each group."""
        more = {"baseline": self.baseline, "bars": self.bars}
        return tuple(error_table(self.reference, self.predicted, groups, **more))


def _compared(reference: Float[Tensor, "row target"], predicted: Prediction) -> _Compared:
    size, base, bars = len(reference), predicted.baseline, predicted.std
    values = predicted.values.reshape(size, -1)
    if values.shape != reference.shape:
        raise UserError(
            f"the model predicts {values.shape[1]} numbers per structure but the reference has "
            f"{reference.shape[1]}; give the property that the model was trained on with --key"
        )
    return _Compared(
        reference,
        values,
        None if base is None else base.values.reshape(size, -1),
        None if bars is None else bars.reshape(size, -1),
    )


def _size_errors(
    compared: _Compared, structures: Structures | None, target: Target
) -> dict[str, Any]:
    """Errors over the number of atoms where that means something, and by that number."""
    if structures is None or target.per == "atom":
        return {}
    counts = structures.counts.cpu()
    if target.adds_up:
        compared = compared.changed(lambda part: part / counts[:, None])
    names = size_names(counts)
    order = sorted(range(len(counts)), key=lambda i: int(counts[i]))
    first, *rest = compared.changed(lambda part: part[order]).rows([names[i] for i in order])
    several = tuple(rest) if len(rest) > 1 else ()
    return {"per_atom": first if target.adds_up else None, "sizes": several}


def size_names(counts: Int[Tensor, " structure"]) -> list[str]:
    """The range of sizes that each structure belongs to: few ranges with as many structures each.

    Args:
        counts: number of atoms of each structure.
    """
    lowest = counts.unique()
    if len(lowest) > _SIZES:
        cuts = torch.arange(_SIZES) * len(counts) // _SIZES
        lowest = counts.sort().values[cuts].unique()
    bins = torch.searchsorted(lowest, counts, right=True)
    names = {}
    for number in bins.unique().tolist():
        inside = counts[bins == number]
        low, high = int(inside.min()), int(inside.max())
        names[number] = f"{low} atoms" if low == high else f"{low} to {high} atoms"
    return [names[number] for number in bins.tolist()]


def _irrep_errors(compared: _Compared, tensor: str) -> tuple[ErrorRow, ...]:
    """Errors of each irrep of a tensor; none if there is only one."""
    kind = tensor_kind(tensor)
    if len(kind.irreps) == 1:
        return ()
    pairs = (compared.reference, compared.predicted)
    expected, found = (kind.to_spherical(x.double()) for x in pairs)
    flat = {irrep: (expected[irrep].flatten(1), found[irrep].flatten(1)) for irrep in expected}
    return tuple(
        replace(error_table(*pair)[0], group=irrep_name(irrep)) for irrep, pair in flat.items()
    )


def _force_errors(
    reference: Float[Tensor, "atom 3"] | None, predicted: Prediction, structures: Structures | None
) -> dict[str, Any]:
    """Errors of all components of forces, and of those on each element if there are several."""
    if reference is None:
        return {}
    if predicted.forces is None:
        raise UserError("there are no predicted forces to compare; predict with forces=True")
    base = None if predicted.baseline is None else predicted.baseline.forces
    base = torch.zeros_like(reference) if base is None else base
    compared = _Compared(reference, predicted.forces, base, predicted.forces_std)
    if structures is None:
        return {"forces": compared.rows()[0]}
    order = structures.species.argsort(stable=True).cpu()
    names = [chemical_symbol(number) for number in structures.species[order].tolist()]
    first, *rest = compared.changed(lambda part: part[order]).rows(names)
    return {"forces": first, "elements": tuple(rest) if len(rest) > 1 else ()}


def _stress_errors(
    reference: Float[Tensor, "structure 3 3"] | None,
    predicted: Prediction,
    structures: Structures | None,
) -> ErrorRow | None:
    """Errors of the components of stresses: of layers and wires, of those along the periods."""
    if reference is None:
        return None
    if predicted.stress is None or structures is None:
        raise UserError("there is no predicted stress to compare; predict with stress=True")
    base = None if predicted.baseline is None else predicted.baseline.stress
    base = torch.zeros_like(reference) if base is None else base
    tensors = (along_periods(reference, structures), predicted.stress, base)
    row = _Compared(*(part.flatten(1) for part in tensors)).rows()[0]
    components = structures.pbc.sum(dim=1).square().sum()  # the others are zero in both
    share = float(components) / reference.numel()
    return replace(row, rmse=row.rmse / share**0.5, mae=row.mae / share)


def _as_dict(row: ErrorRow, unit: str) -> dict[str, Any]:
    factor, shown = read_unit(unit)
    found = {
        "group": row.group,
        "rmse": factor * row.rmse,
        "mae": factor * row.mae,
        "rmse_percent": row.rmse_percent,
        "rmse_percent_of_rest": row.rmse_percent_of_rest,
        "within_bars_percent": row.within_bars_percent,
        "unit": shown,
        "n": row.n,
    }
    return {k: None if isinstance(v, float) and not np.isfinite(v) else v for k, v in found.items()}
