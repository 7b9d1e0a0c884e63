"""What data suggest for a configuration: target, unit, split and radius, with how sure that is."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
import torch
from jaxtyping import Float

from multilode.data.dataset import Dataset
from multilode.data.properties import known_property
from multilode.data.stated_units import stated_unit
from multilode.data.units import ASE_UNITS
from multilode.models.targets import Per, Reduce
from multilode.structures.neighbors import pairs_within

_ENERGIES = ("energy", "free_energy")
_TENSORS = {"dipole": "vector", "dipole_moment": "vector", "polarization": "vector"}
_MATRICES = ("polarizability", "dielectric_tensor", "quadrupole")
_OF_ATOMS = ("charges", "born_effective_charges", "dipoles", "magmoms")
_NO_TARGETS = ("stress", "virial", "magmom", "total_charge")
_INTENSIVE = ("gap", "homo", "lumo", "per_atom", "peratom", "temperature")
_FRAGMENTS = ("monomer", "monomers", "fragment", "fragments", "fragment_id", "molecule", "mol_id")
_INTERACTION = ("interaction", "binding")
_GROUPS = ("group", "label", "system", "molecule", "name", "config_type", "trajectory", "cluster")
# All-electron energies are about this power of the charge, in Hartree; Thomas and Fermi
_ATOM, _POWER = 0.7687, 7 / 3
_RATIOS = {
    "Hartree": (0.45, 1.4),
    "eV": (12.0, 38.0),
    "kcal/mol": (280.0, 880.0),
    "kJ/mol": (1200.0, 3700.0),
}
_SPELLED = {"kcal": "kcal/mol", "hartree": "Hartree", "mev": "meV", "ev": "eV", "ha": "Hartree"}
_FEWEST_GROUPS = 5  # of fewer a test set of whole groups is too large a part
_GROWS = 0.8  # correlation of a property with the number of atoms that makes it extensive
_SYMMETRIC = 1e-3  # of the norm of a matrix, what is not symmetric
_SOME = 60  # structures whose distances are looked at
_MOST_ATOMS = 20_000  # of these structures
_SHELLS = 3.2  # distances of nearest neighbors in a radius
_RADII = (3.0, 6.0)  # Å
_FAR = 6.0  # Å; nearest neighbors beyond it are none


@final
@dataclass(frozen=True, kw_only=True)
class TargetGuess:
    """A property that may be meant.

    Args:
        key: its name in the files.
        per: structure or atom.
        tensor: kind of a tensor; None for numbers that do not rotate.
        reduce: sum or mean.
        unit: its unit; empty if it is not known.
        doubt: why the unit is a guess, empty if it is known.
        energy: whether forces may be its derivatives.
    """

    key: str
    per: Per = "structure"
    tensor: str | None = None
    reduce: Reduce = "sum"
    unit: str = ""
    doubt: str = ""
    energy: bool = False


def targets(dataset: Dataset) -> list[TargetGuess]:
    """Properties that can be learned, the most likely first: energies, tensors, other numbers.

    Args:
        dataset: structures with their properties.
    """
    found = [*_of_structures(dataset), *_of_atoms(dataset)]
    return [guess for _, guess in sorted(found, key=lambda pair: pair[0])]


def forces_key(dataset: Dataset, target: str) -> str | None:
    """The key of the forces that belong to an energy: complete, with the same first word if any.

    Args:
        dataset: structures with their properties.
        target: key of the energy.
    """
    prefix = target.lower().removesuffix("energy")
    found = []
    for key in dataset.atom_columns:
        known = known_property(key)
        if known is None or known[0] not in ("forces", "force"):
            continue
        values = dataset.atom_columns[key]
        if all(v is not None and v.shape[1:] == (3,) and np.isfinite(v).all() for v in values):
            found.append(key)
    same = [key for key in found if key.lower().startswith(prefix)] if prefix else []
    return next(iter([*same, *found]), None)


def is_interaction(key: str) -> bool:
    """Whether a name is that of an energy which is zero for separate molecules."""
    return any(word in key.lower() for word in _INTERACTION)


def fragments_key(dataset: Dataset, target: str) -> str | None:
    """Whole numbers of atoms that divide each structure, where the target is an interaction."""
    if not is_interaction(target):
        return None
    for key in dataset.atom_columns:
        if key.lower() not in _FRAGMENTS:
            continue
        values = dataset.atom_columns[key]
        if all(v is not None and v.dtype.kind in "iu" and v.ndim == 1 for v in values) and all(
            len(np.unique(v)) > 1 for v in values if v is not None
        ):
            return key
    return None


def split_key(dataset: Dataset) -> str | None:
    """The key whose values are `train` and `test`, both of them and nothing else."""
    for key, values in dataset.columns.items():
        if all(isinstance(v, str) for v in values) and set(values) == {"train", "test"}:
            return key
    return None


def group_key(dataset: Dataset) -> str | None:
    """A text that several structures share: of the names that people use, or the first."""
    n = len(dataset)
    shared = []
    for key, values in dataset.columns.items():
        texts = all(isinstance(v, str) for v in values)
        numbers = all(isinstance(v, int | np.integer) and not isinstance(v, bool) for v in values)
        named = any(word in key.lower() for word in _GROUPS)
        if not (texts or (numbers and named)) or key == split_key(dataset):
            continue
        if _FEWEST_GROUPS <= len(set(map(str, values))) <= n / 2:
            shared.append(key)
    return next((k for k in shared if k.lower() in _GROUPS), next(iter(shared), None))


def radius(dataset: Dataset) -> float:
    """A cutoff in Å that holds a few shells of neighbors.

    Args:
        dataset: the structures.
    """
    some = np.unique(np.linspace(0, len(dataset) - 1, _SOME).round().astype(int))
    atoms = np.cumsum(dataset.structures.counts.numpy()[some])
    structures = dataset.structures.select(some[: 1 + int((atoms < _MOST_ATOMS).sum())].tolist())
    pairs = pairs_within(structures, _FAR)
    lengths = pairs.vectors(structures).norm(dim=1)
    nearest = torch.full((structures.n_atoms,), torch.inf, dtype=lengths.dtype)
    nearest = nearest.scatter_reduce(0, pairs.center, lengths, "amin")
    known = nearest[nearest.isfinite()]
    typical = float(known.median()) if len(known) else _RADII[1]
    return round(min(max(_SHELLS * typical, _RADII[0]), _RADII[1]), 1)


def unit_of(dataset: Dataset, key: str, *, energy: bool) -> tuple[str, str]:
    """The unit of a property and why it is a guess; both empty if nothing tells it.

    Args:
        dataset: structures with their properties.
        key: of the property.
        energy: whether it is an energy.
    """
    stated = stated_unit(dataset, key)
    if stated is not None:
        return stated, ""
    if key in ASE_UNITS:
        return ASE_UNITS[key], ""
    words = key.lower().replace("-", "_").split("_")
    for word in words:
        if word in _SPELLED:
            return _SPELLED[word], f"read from the name '{key}'"
    if not energy:
        return "", ""
    ratio = _size(dataset, key)
    for unit, (low, high) in _RATIOS.items():
        if low < ratio < high:
            return unit, "guessed from the size of the values, which fits energies of all electrons"
    return "eV", "nothing in the data tells it, and eV is only the most frequent one"


def _of_structures(dataset: Dataset) -> Iterator[tuple[tuple[int, int], TargetGuess]]:
    for place, (key, values) in enumerate(dataset.columns.items()):
        shapes = {np.asarray(v).shape for v in values if v is not None}
        if any(v is None for v in values) or len(shapes) != 1 or key.startswith("predicted_"):
            continue
        array = np.array(values)
        if array.dtype.kind not in "iuf" or not np.isfinite(array).all():
            continue
        known = known_property(key)
        name, size = known[0] if known else "", int(np.prod(next(iter(shapes))))
        energy = size == 1 and (name in _ENERGIES or "energy" in key.lower())
        if name in _NO_TARGETS or (array.dtype.kind != "f" and not energy):
            continue
        unit, doubt = unit_of(dataset, key, energy=energy)
        tensor = _tensor(name, array.reshape(len(values), -1))
        if size > 1 and tensor is None:
            continue
        exact = 0 if key in _ENERGIES else 1
        rank = exact if energy else 2 if tensor is not None else 4
        guess = TargetGuess(
            key=key,
            tensor=tensor,
            reduce=_reduce(dataset, key, energy=energy, tensor=tensor),
            unit=unit,
            doubt=doubt,
            energy=energy,
        )
        yield (rank, place), guess


def _of_atoms(dataset: Dataset) -> Iterator[tuple[tuple[int, int], TargetGuess]]:
    for place, (key, values) in enumerate(dataset.atom_columns.items()):
        known = known_property(key)
        if known is None or known[0] not in _OF_ATOMS or any(v is None for v in values):
            continue
        array = np.concatenate([v for v in values if v is not None])
        if array.dtype.kind != "f" or not np.isfinite(array).all():
            continue
        tensor = {1: None, 3: "vector", 9: "matrix"}.get(int(np.prod(array.shape[1:])), "")
        if tensor != "":
            yield (3, place), TargetGuess(key=key, per="atom", tensor=tensor)


def _tensor(name: str, rows: Float[np.ndarray, "structure number"]) -> str | None:
    """The kind of a tensor by what it is called and how many numbers it has."""
    if rows.shape[1] == 3:
        return "vector"
    if rows.shape[1] != 9:
        return None
    turned = rows.reshape(-1, 3, 3).transpose(0, 2, 1).reshape(rows.shape)
    lost = np.linalg.norm(rows - turned, axis=1) / np.maximum(np.linalg.norm(rows, axis=1), 1e-300)
    symmetric = name in _MATRICES or float(lost.max(initial=0.0)) < _SYMMETRIC
    return "symmetric" if symmetric and float(lost.max(initial=0.0)) < _SYMMETRIC else "matrix"


def _reduce(dataset: Dataset, key: str, *, energy: bool, tensor: str | None) -> Reduce:
    """Mean for names of what does not grow with a structure, sum for everything else."""
    if any(word in key.lower() for word in _INTENSIVE):
        return "mean"
    if energy or tensor is not None:
        return "sum"
    counts = dataset.structures.counts.double().numpy()
    if np.ptp(counts) == 0:
        return "mean"
    values = np.abs(dataset.column(key).reshape(len(dataset), -1)[:, 0])
    return "sum" if np.corrcoef(counts, values)[0, 1] > _GROWS else "mean"


def _size(dataset: Dataset, key: str) -> float:
    """Energies over those of all electrons of the same atoms, in Hartree; 0 if they are no such."""
    structures = dataset.structures
    each = _ATOM * structures.species.double() ** _POWER
    whole = torch.zeros(len(dataset), dtype=torch.float64)
    whole.index_add_(0, structures.structure_index, each)
    values = dataset.column(key).reshape(len(dataset), -1)[:, 0]
    if not (values < 0).all():
        return 0.0
    return float(np.median(-values / whole.numpy()))


def test_files(names: Sequence[Path]) -> list[Path]:
    """Files whose names say that they are for the test, unless all do.

    Args:
        names: of files.
    """
    found = [name for name in names if "test" in name.name.lower()]
    return found if len(found) < len(names) else []
