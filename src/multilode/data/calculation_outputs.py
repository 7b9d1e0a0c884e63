"""Outputs of electronic-structure codes: whether they ended, converged, and what ASE takes."""

import re
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, final

import numpy as np
from ase import Atoms
from ase.io.formats import open_with_compression

from multilode.data.data_error import DataError
from multilode.data.vacuum import VACUUM, empty_layers
from multilode.errors import DataWarning

_ALIKE = 1e-6  # eV per atom between two kinds of energies
_FIRST = 20  # lines
_ANGSTROM = 1.8897261246  # bohr
_ACELL = re.compile(r"\bacell\d*((?:\s+\d+\.\d*(?:E[-+]\d{1,3})?){3})")


@final
@dataclass(frozen=True, kw_only=True)
class Output:
    """What a program writes, in small letters but for `step`.

    Args:
        end: what stands near the end of a complete file.
        failed: what is said of a cycle that did not converge.
        step: what is said once of each structure, if cycles that converged are said instead.
        converged: what is said of these.
    """

    end: str
    failed: tuple[str, ...] = ()
    step: str = ""
    converged: str = ""


OUTPUTS = {
    "vasp-out": Output(
        end="general timing and accounting informations",
        step="FREE ENERGIE OF THE ION-ELECTRON SYSTEM",
        converged="aborting loop because ediff is reached",
    ),
    "vasp-xml": Output(end="</modeling>"),
    "aims-output": Output(end="have a nice day", failed=("self-consistency cycle not converged",)),
    "espresso-out": Output(end="job done", failed=("convergence not achieved",)),
    "castep-castep": Output(
        end="total time          =", failed=("has not reached the groundstate",)
    ),
    "abinit-out": Output(
        end="calculation completed", failed=("was not enough scf cycles to converge",)
    ),
    "gpaw-out": Output(end="memory usage", failed=("did not converge",)),
    "gaussian-out": Output(
        end="normal termination of gaussian",
        failed=("convergence failure", "convergence criterion not met"),
    ),
    "orca-output": Output(
        end="orca terminated normally",
        failed=("scf not converged after", "wavefunction not fully converged"),
    ),
    "nwchem-out": Output(
        end="total times  cpu:", failed=("calculation failed to converge", "scf did not converge")
    ),
    "gamess-us-out": Output(end="terminated normally", failed=("scf is unconverged",)),
    "onetep-out": Output(end="job completed", failed=("failed to converge",)),
}
# whose structures are always crystals for their readers
_CRYSTALS = ("cfg", "vasp", "vasp-out", "vasp-xml", "vasp-xdatcar", "espresso-in", "espresso-out")
_CRYSTALS += ("castep-castep", "castep-cell", "castep-md", "castep-geom", "abinit-in", "abinit-out")


@final
class Reading:
    """Watches structures as they come from a file of a program, and says at the end what is odd.

    Args:
        kind: ASE's name of the format.
        path: the file.

    Raises:
        DataError: if its cell would be misread.
    """

    def __init__(self, kind: str | None, path: Path) -> None:
        self._kind, self._path, self._output = kind, path, OUTPUTS.get(kind or "")
        self._count, self._boxes, self._apart, self._turned = 0, 0, 0.0, False
        self._ended, self._failed = (True, 0)
        if self._output is not None:
            self._ended, self._failed = _looked_at(self._output, kind, path)
        if kind == "abinit-out":
            _check_acell(path)
        elif kind == "gaussian-out":
            self._turned = _check_orientation(path)

    def seen(self, image: Atoms) -> None:
        """Look at a structure, and take away what does not belong to it."""
        self._count += 1
        self._boxes += self._kind in _CRYSTALS and _in_a_box(image)
        waves = self._kind == "nwchem-out" and image.cell.rank == 3
        if waves and image.calc is not None:  # plane waves are periodic; ASE does not say so
            image.pbc = image.calc.atoms.pbc = True
        results: Any = getattr(image.calc, "results", None) or {}
        if self._turned:
            results.pop("dipole", None)
        shares = getattr(image.calc, "energy_contributions", None) or {}
        if self._kind == "gpaw-out" and "free energy" in shares and "energy" in results:
            results["free_energy"] = shares["free energy"]
        if {"energy", "free_energy"} <= {key for key in results if results[key] is not None}:
            away = np.max(np.abs(results["energy"] - results["free_energy"])) / max(1, len(image))
            self._apart = max(self._apart, float(away))

    def ended(self) -> None:
        """Say what the whole file has told.

        Raises:
            DataError: if there was no structure, or one that did not converge.

        Warns:
            DataWarning: of files that are not complete, of several structures of which some did not
                converge, of two kinds of energies, and of molecules in boxes.
        """
        if self._count == 0:
            raise DataError(
                f"has no structure that the reader of the format '{self._kind}' finds",
                remedy="check that the calculation has begun and that this is its format, or "
                "convert it to extended XYZ",
                file=str(self._path),
            )
        if self._failed and self._count == 1:
            raise DataError(
                "its self-consistency cycle did not converge, so that its values mean nothing",
                remedy="converge it, or leave it out",
                file=str(self._path),
            )
        for text in self._remarks():
            warnings.warn(DataWarning(f"{self._path}: {text}"), stacklevel=4)

    def _remarks(self) -> Iterable[str]:
        if self._failed:
            yield (
                f"{self._failed} of its self-consistency cycles did not converge; the values of "
                "these structures mean nothing: leave them out"
            )
        if not self._ended:
            yield "its program did not come to its end; the last structure may be incomplete"
        if self._apart > _ALIKE:
            yield (
                f"'energy' and 'free_energy' differ by up to {self._apart:.2g} eV per atom: "
                "energies are extrapolated to no smearing of occupations, and forces and stresses "
                "are the slopes of 'free_energy'; learn this one beside them"
            )
        if self._boxes:
            yield (
                f"{self._boxes} of its structures have more than {VACUUM:g} Å of vacuum on all "
                "sides and are read as crystals; write molecules as XYZ, or with pbc F F F"
            )
        if self._turned:
            yield (
                "dipoles are left out: they may be those of the standard orientation, and "
                "positions are those of the input; calculate with nosymm"
            )


def _looked_at(output: Output, kind: str | None, path: Path) -> tuple[bool, int]:
    """Whether a file is complete, and how many of its cycles did not converge."""
    ended, failed, steps, converged = False, 0, 0, 0
    if kind == "vasp-xml":
        return _looked_at_xml(_lines(path))
    for line in _lines(path):
        small = line.lower()
        ended = ended or output.end in small
        failed += any(text in small for text in output.failed)
        if output.step:
            # each step of a cycle has the same line in small letters
            steps += output.step in line
            converged += output.converged in small
    return ended, failed + max(0, steps - converged)


def _looked_at_xml(file: Iterable[str]) -> tuple[bool, int]:
    """The same of VASP's XML: cycles that have as many steps as they may have did not converge."""
    ended, failed, steps, most = False, 0, 0, 10**9
    for line in file:
        ended = ended or "</modeling>" in line
        if 'name="NELM"' in line:
            number = re.search(r">\s*(\d{1,9})\b", line)
            most = int(number[1]) if number else most
        steps += "<scstep>" in line
        if "</calculation>" in line:
            failed, steps = failed + (steps >= most), 0
    return ended, failed


def _lines(path: Path) -> Iterable[str]:
    with open_with_compression(str(path), "rb") as file:
        for line in file:
            yield line.decode(errors="replace")


def is_abinit_output(path: Path) -> bool:
    """Whether the first lines of a file are those of an output of ABINIT."""
    return any(" of ABINIT" in line for line in islice(_lines(path), _FIRST))


def _check_acell(path: Path) -> None:
    """Raise a DataError if ABINIT's vectors have lengths, which ASE's reader does not multiply."""
    found = next((match for line in _lines(path) if (match := _ACELL.search(line))), None)
    lengths = [] if found is None else [float(x) for x in found[1].split()]
    if not np.allclose(lengths or [1.0], _ANGSTROM, rtol=1e-6):
        raise DataError(
            f"its acell is {', '.join(f'{x:g}' for x in lengths or [1.0])} bohr, and the reader of "
            "this format takes vectors for Å",
            remedy="convert it to extended XYZ, with the cell in Å",
            file=str(path),
        )


def _check_orientation(path: Path) -> bool:
    """Whether Gaussian has turned the molecule; a DataError if its forces are not turned."""
    own = standard = forces = False
    for line in _lines(path):
        own = own or "Input orientation:" in line or "Z-Matrix orientation:" in line
        standard = standard or "Standard orientation:" in line
        forces = forces or "Forces (Hartrees/Bohr)" in line
    if standard and forces and not own:
        raise DataError(
            "its positions are those of the standard orientation, and its forces are not",
            remedy="calculate with nosymm, or with #p, which writes the input orientation as well",
            file=str(path),
        )
    return standard and own


def _in_a_box(image: Atoms) -> bool:
    """Whether there is vacuum along all three vectors."""
    layers = empty_layers(image.positions, image.cell.array)
    return bool(image.pbc.all() and (layers > VACUUM).all())
