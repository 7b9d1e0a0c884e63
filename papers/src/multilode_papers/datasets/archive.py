"""The dimers of the 2021 paper as their authors published them: record es3jr-dse56.

Never run on the real files, which could not be downloaded where this was written. What is known of
them: the record's page (January 2021, 152 MiB, a `files_description.md` among its files, MD5 sums),
the paper (2291 dimers in six classes, 12 displacements in steps of 0.25 Å, PBE0 + TS, FHI-aims),
and the keys of a public file derived from them (`distance`, `energy`, `energyA`, `energyB`, in eV).
So the reader accepts several names for a key and a class, and refuses what it would have to guess.
Ten charged dimers of the record that others published (`charged-curves`) pass through it.
"""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from multilode.data import DataError, Dataset, concatenate, read

CLASSES = ("CC", "CP", "CA", "PP", "PA", "AA")
POINTS = 13  # of a binding curve
_WORDS = {"charge": "C", "charged": "C", "polar": "P", "apolar": "A"}
_IN_NAME = re.compile(r"(?<![a-z])(charged?|a?polar)[-_ ]?(charged?|a?polar)(?![a-z])")
_LETTERS = re.compile(r"(?<![A-Za-z])([CPA])-?([CPA])(?![A-Za-z])")
_LABEL = ("label", "class")
_NAME = ("dimer", "system", "name", "dimer_id")
_DISTANCE = ("distance", "dist")
_INTERACTION = ("interaction_energy", "binding_energy")
_TOTAL = ("energy", "total_energy")
_MONOMERS = (("energyA", "energy_a", "energy_A"), ("energyB", "energy_b", "energy_B"))
_LARGEST = 20.0  # eV; 14.4 eV Å / R of two charges is less at any distance of molecules
_AGREE = 1e-3  # eV


def read_dimers(paths: Sequence[Path]) -> Dataset:
    """Binding curves with `label`, `dimer`, `distance` (Å) and `interaction_energy` (eV).

    Files that say nothing of a class of dimers, in their name or their frames, are left out: the
    record holds other systems of the paper too.

    Args:
        paths: extended XYZ files.

    Raises:
        DataError: if no file holds dimers, or a frame lacks a distance or energies, or its
            energies are not those of a dimer and its monomers in eV, or curves cannot be told
            apart.
    """
    parts = []
    for path in paths:
        label = class_in(path.name)
        if label is not None or _first_of(read(path, "0"), _LABEL) is not None:
            parts.append(_curves(read(path), label, path))
    if not parts:
        raise DataError(
            f"none of {', '.join(sorted(path.name for path in paths))} names a class of dimers",
            remedy="give files such as charge-polar.xyz or CP.xyz, or frames with the key 'label'",
        )
    return concatenate(parts)


def class_in(name: str) -> str | None:
    """The class of dimers that a file's name gives, such as CP for `polar-charge.xyz`."""
    words = _IN_NAME.search(name.lower())
    if words:
        return _ordered(_WORDS[words[1]] + _WORDS[words[2]])
    letters = _LETTERS.search(name)
    return _ordered(letters[1] + letters[2]) if letters else None


def _ordered(pair: str) -> str:
    return "".join(sorted(pair, key="CPA".index))


def _curves(dataset: Dataset, label: str | None, path: Path) -> Dataset:
    labels = _labels(dataset, label, path)
    distance = dataset.column(_required(dataset, _DISTANCE, "the distance of the monomers", path))
    energy = _interaction(dataset, path)
    dimers = _dimers(dataset, distance, path)
    return dataset.with_values(
        {
            "label": labels,
            "dimer": [f"{kind}-{name}" for kind, name in zip(labels, dimers, strict=True)],
            "distance": distance.tolist(),
            "interaction_energy": energy.tolist(),
        }
    )


def _labels(dataset: Dataset, label: str | None, path: Path) -> list[str]:
    key = _first_of(dataset, _LABEL)
    if key is None:
        return [str(label)] * len(dataset)
    labels = [_ordered(v) if set(v) <= set("CPA") else v for v in dataset.labels(key)]
    for frame, value in enumerate(labels):
        if value not in CLASSES or label not in (None, value):
            expected = label or ", ".join(CLASSES)
            raise DataError(
                f"has the class '{value}' where {expected} is expected",
                remedy="mend the label or the name of the file",
                file=str(path),
                frame=frame,
                key=key,
            )
    return labels


def _interaction(dataset: Dataset, path: Path) -> Float[np.ndarray, " structure"]:
    """Interaction energies, computed where they are not given, and checked where they are both."""
    given, total = _first_of(dataset, _INTERACTION), _first_of(dataset, _TOTAL)
    monomers = [_first_of(dataset, names) for names in _MONOMERS]
    whole = total is not None and None not in monomers
    if given is None and not whole:
        names = [_INTERACTION[0], *(names[0] for names in (_TOTAL, *_MONOMERS))]
        raise DataError(
            f"energies are missing; the frames have {', '.join(sorted(dataset.columns)) or 'none'}",
            remedy=f"an interaction energy is '{names[0]}', or '{names[1]}' less '{names[2]}' and "
            f"'{names[3]}', in eV",
            file=str(path),
        )
    computed = None
    if whole:
        computed = dataset.column(total) - sum(dataset.column(key) for key in monomers)
    energy = computed if given is None else dataset.column(given)
    wrong = np.abs(energy) > _LARGEST
    if computed is not None:
        wrong |= np.abs(energy - computed) > _AGREE
    if wrong.any():
        frame = int(np.flatnonzero(wrong)[0])
        raise DataError(
            f"an interaction energy of {energy[frame]:.6g} eV is too large, or is not the energy "
            "of the dimer less those of its monomers",
            remedy="energies must be in eV, and those of the monomers in the frame of their dimer",
            file=str(path),
            frame=frame,
        )
    return energy


def _dimers(
    dataset: Dataset, distance: Float[np.ndarray, " structure"], path: Path
) -> tuple[str, ...]:
    """Which dimer each frame shows: by a key, or by the turn of the distances back."""
    key = _first_of(dataset, _NAME)
    if key is not None:
        return dataset.labels(key)
    species = dataset.structures.species.split(dataset.structures.counts.tolist())
    begins = [
        i == 0 or distance[i] <= distance[i - 1] or species[i].tolist() != species[i - 1].tolist()
        for i in range(len(dataset))
    ]
    number = np.cumsum(begins) - 1
    sizes = np.bincount(number)
    if (sizes != POINTS).any():
        odd = int(np.flatnonzero(sizes != POINTS)[0])
        raise DataError(
            f"a curve has {sizes[odd]} points where the paper's have {POINTS}",
            remedy=f"name the dimer of each frame with the key '{_NAME[0]}'",
            file=str(path),
            frame=int(np.flatnonzero(number == odd)[0]),
        )
    return tuple(f"{i:04d}" for i in number)


def _required(dataset: Dataset, names: Sequence[str], what: str, path: Path) -> str:
    key = _first_of(dataset, names)
    if key is None:
        raise DataError(
            f"{what} is missing; the frames have {', '.join(sorted(dataset.columns)) or 'none'}",
            remedy=f"give it under the key '{names[0]}'",
            file=str(path),
        )
    return key


def _first_of(dataset: Dataset, names: Sequence[str]) -> str | None:
    return next((name for name in names if name in dataset.columns), None)
