"""Targets: name, unit, and the sum or mean over centers."""

from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from multilode.equivariants.features import Per
from multilode.models.reduce import Reduce, check_reduce
from multilode.numerics.modes import own_modes
from multilode.representation.abstract import AbstractRepresentation
from multilode.structures.batch import Structures
from multilode.symmetry.cartesian import tensor_kind

__all__ = [
    "Forces",
    "Per",
    "Reduce",
    "Stress",
    "Target",
    "as_columns",
    "atom_unit",
    "check_reduce",
    "force_unit",
    "stress_unit",
]


@final
@dataclass(frozen=True, kw_only=True)
class Target:
    """A property of structures, or of their atoms.

    Args:
        key: name under which files store it.
        unit: its unit, only for printing. Forces are in unit/Å and stresses in unit/Å^3.
        reduce: "sum" over centers for extensive, "mean" for intensive properties.
        tensor: kind of Cartesian tensor, a name in `TENSORS`, that is to rotate with the structure;
            None for numbers that do not.
        per: "structure", or "atom" for a property of each center; `reduce` then has no meaning.
        fragments: name of the numbers of atoms that divide structures into fragments, if the target
            is that of the whole less those of the fragments, as interaction energies are.

    Raises:
        ValueError: if the key is empty, it or the unit cannot be printed, `reduce`, `tensor` or
            `per` is unknown, or fragments stand beside a mean or a target of atoms.
    """

    key: str
    unit: str = ""
    reduce: Reduce = "sum"
    tensor: str | None = None
    per: Per = "structure"
    fragments: str | None = None

    def __post_init__(self) -> None:
        check_reduce(self.reduce)
        if self.tensor is not None:
            tensor_kind(self.tensor)
        if self.per not in ("structure", "atom"):
            raise ValueError(f"per is {self.per!r}; use 'structure' or 'atom'")
        if self.fragments is not None and (self.reduce != "sum" or self.per != "structure"):
            raise ValueError("what fragments have together is a sum over structures; leave it out")
        if not self.key:
            raise ValueError("the target has an empty key; give the name of a property")
        for name in ("key", "unit"):
            text = getattr(self, name)
            if not text.isprintable() or '"' in text:
                raise ValueError(
                    f"the {name} {text!a} of the target cannot be printed in one line; use "
                    "letters, digits and signs but no quotes"
                )

    @property
    def adds_up(self) -> bool:
        """Whether errors over the number of atoms mean something: a sum over atoms with a unit."""
        whole = self.reduce == "sum" and self.per == "structure"
        return whole and self.tensor is None and bool(self.unit)

    def units(self, representation: AbstractRepresentation, structures: Structures) -> Structures:
        """The units that have a value: the structures, or each center by itself."""
        if self.per == "structure":
            return structures
        return structures.atoms_apart(representation.centers_of(structures))

    def features(self, features: Any) -> Any:
        """The same with these in the place of structures; `Features`, or `Fields` of structures."""
        return features.per_center() if self.per == "atom" else features

    def values(
        self,
        representation: AbstractRepresentation,
        structures: Structures,
        y: Float[Tensor, "row ..."] | Float[np.ndarray, "row ..."],
        groups: Int[Tensor, " structure"] | None = None,
    ) -> tuple[Float[Tensor, "unit target"], Int[Tensor, " unit"] | None]:
        """Values and groups of structures or centers; the centers of a structure share a group.

        Args:
            y: one row per structure, or per atom; rows of atoms that are no centers are left out.
            groups: of the structures.

        Raises:
            ValueError: if values of atoms are not as many as the atoms.
        """
        columns = as_columns(y)
        if self.per == "structure":
            return columns, groups
        if len(columns) != structures.n_atoms:
            raise ValueError(
                f"'{self.key}' is a target of atoms: give {structures.n_atoms} rows, one for each "
                f"atom, not {len(columns)}"
            )
        centers = representation.centers_of(structures)
        index = structures.structure_index[centers]
        return columns[centers], index if groups is None else groups[index]


@final
@dataclass(frozen=True, kw_only=True)
class Forces:
    """Forces to learn from, beside the energies of the same structures.

    Args:
        values: in unit/Å, of the atoms in order; kept as a tensor.
        weight: Å; an error of 1 unit/Å in a component counts as much as one of `weight` units in an
            energy. None gives all forces together as much weight as all energies together.
        directions: number of directions per structure, drawn at random, along which forces are
            learned; None takes every component, 3 per atom.
        seed: of the directions.

    Raises:
        ValueError: if there are not three finite numbers per atom, or a setting is out of range.
    """

    values: Float[Tensor, "..."] | Float[np.ndarray, "..."]  # [atom, 3], which users may get wrong
    weight: float | None = None
    directions: int | None = None
    seed: int = 0

    @own_modes()
    def __post_init__(self) -> None:
        check_force_settings(self.weight, self.directions)
        values = torch.as_tensor(self.values)
        object.__setattr__(self, "values", values)  # the class is frozen
        if values.ndim != 2 or values.shape[1] != 3:
            raise ValueError(
                f"forces have the shape {list(values.shape)}; give three numbers per atom, "
                "the atoms of all structures one after the other"
            )
        if not bool(torch.isfinite(values).all()):
            raise ValueError("a force is not finite; remove its structure or repair its value")


@final
@dataclass(frozen=True, kw_only=True)
class Stress:
    """Stresses to learn from, beside the energies of the same structures.

    Args:
        values: in unit/Å^3, positive under tension; kept as a tensor. Of layers and wires the
            components along the periods count.
        weight: Å^3; an error of 1 unit/Å^3 in a component counts as much as one of `weight` units
            in an energy. None gives all stresses together as much weight as all energies together.

    Raises:
        ValueError: if there are not 3x3 finite numbers per structure, or the weight is wrong.
    """

    values: Float[Tensor, "..."] | Float[np.ndarray, "..."]  # [structure, 3, 3]
    weight: float | None = None

    @own_modes()
    def __post_init__(self) -> None:
        if self.weight is not None and not 0 < self.weight < float("inf"):
            raise ValueError(
                f"the weight of stresses is {self.weight}; it must be larger than 0, in Å^3"
            )
        values = torch.as_tensor(self.values).double()
        object.__setattr__(self, "values", values)  # the class is frozen
        if values.shape[1:] != (3, 3):
            raise ValueError(
                f"stresses have the shape {list(values.shape)}; give 3x3 numbers per structure"
            )
        if not bool(torch.isfinite(values).all()):
            raise ValueError("a stress is not finite; remove its structure or repair its value")


def check_force_settings(weight: float | None, directions: int | None) -> None:
    """Raise a ValueError that names the setting that is out of range."""
    if weight is not None and not 0 < weight < float("inf"):
        raise ValueError(f"the weight of forces is {weight}; it must be larger than 0, in Å")
    if directions is not None and directions < 1:
        raise ValueError(f"forces along {directions} directions; use 1 or more, or None for all")


def as_columns(
    y: Float[Tensor, "row ..."] | Float[np.ndarray, "row ..."],
) -> Float[Tensor, "row target"]:
    """Targets in float64 on the CPU, as a matrix with one row per structure or atom."""
    return torch.as_tensor(y).detach().cpu().double().reshape(len(y), -1)


def with_unit(name: str, unit: str) -> str:
    """A name with its unit in brackets, or alone if there is no unit."""
    return f"{name} ({unit})" if unit else name


def force_unit(unit: str) -> str:
    """The unit of the forces of an energy, which may have none itself."""
    return f"{unit or '1'}/Å"


def stress_unit(unit: str) -> str:
    """The unit of the stresses of an energy."""
    return f"{unit or '1'}/Å^3"


def atom_unit(unit: str) -> str:
    """The unit of an extensive property over the number of atoms."""
    return f"{unit or '1'}/atom"
