"""The open codes that make reference data; each is imported where it is needed."""

import importlib
from types import ModuleType
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from multilode.errors import UserError

HARTREE = 27.211386245988  # eV
BOHR = 0.529177210903  # Å
_EXTRA = "pip install 'multilode-papers[reference]'"


class EngineError(UserError):
    """A code that makes reference data is missing or failed; the message is one line."""


def engine(module: str, package: str) -> ModuleType:
    """Import a module of an engine.

    Args:
        module: the module to import.
        package: the package that has it.

    Raises:
        EngineError: if it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise EngineError(
            f"making these data needs {package}, which is not installed ({error}); "
            f"install the extra with {_EXTRA}"
        ) from error


def bohr_of(length: Any) -> Any:
    """Lengths in Å as atomic units."""
    return length / BOHR


def rdkit_modules() -> tuple[ModuleType, ModuleType]:
    """RDKit's molecules and its force fields.

    Raises:
        EngineError: if RDKit is not installed.
    """
    return engine("rdkit.Chem", "rdkit"), engine("rdkit.Chem.AllChem", "rdkit")


def tblite_energy_and_gradient(
    species: Int[np.ndarray, " atom"],
    positions: Float[np.ndarray, "atom 3"],
    charge: int,
    *,
    solvent: str | None = None,
) -> tuple[float, Float[np.ndarray, "atom 3"]]:
    """GFN2-xTB energy (Hartree) and its gradient (Hartree / Bohr).

    Args:
        species: atomic numbers.
        positions: in atomic units.
        charge: in elementary charges.
        solvent: implicit solvent (ALPB) such as `water`; None for vacuum.

    Raises:
        EngineError: if tblite is not installed or the energy does not converge.
    """
    interface = engine("tblite.interface", "tblite")
    calculator = interface.Calculator("GFN2-xTB", species, positions, charge=float(charge))
    calculator.set("verbosity", 0)
    if solvent is not None:
        calculator.add("alpb-solvation", solvent)
    try:
        result = calculator.singlepoint()
    except RuntimeError as error:
        raise EngineError(f"GFN2-xTB of {len(species)} atoms failed ({error})") from error
    return float(result["energy"]), np.array(result["gradient"])


def hartree_fock(
    species: Int[np.ndarray, " atom"],
    positions: Float[np.ndarray, "atom 3"],
    charge: int,
    *,
    basis: str = "def2-svpd",
    density: np.ndarray | None = None,
    tolerance: float = 1e-7,
) -> Any:
    """A converged density-fitted restricted Hartree-Fock calculation of PySCF.

    Args:
        species: atomic numbers.
        positions: in Å.
        charge: in elementary charges.
        basis: name of the basis set.
        density: density matrix to begin with.
        tolerance: change of the energy (Hartree) at which it is converged; the error is smaller.

    Raises:
        EngineError: if PySCF is not installed or the energy does not converge.
    """
    gto, scf = engine("pyscf.gto", "pyscf"), engine("pyscf.scf", "pyscf")
    atoms = [(int(z), tuple(xyz)) for z, xyz in zip(species, positions, strict=True)]
    molecule = gto.M(atom=atoms, basis=basis, charge=charge, unit="Angstrom", verbose=0)
    calculation = scf.RHF(molecule).density_fit()
    calculation.conv_tol = tolerance
    calculation.kernel(dm0=density)
    if not calculation.converged:
        raise EngineError(f"Hartree-Fock of {len(species)} atoms did not converge")
    return calculation


def dispersion(species: Int[np.ndarray, " atom"], positions: Float[np.ndarray, "atom 3"]) -> float:
    """D3(BJ) dispersion energy (Hartree) with the parameters of Hartree-Fock; positions in Å.

    Raises:
        EngineError: if dftd3 is not installed.
    """
    interface = engine("dftd3.interface", "dftd3")
    model = interface.DispersionModel(species, bohr_of(positions))
    damping = interface.RationalDampingParam(method="hf")
    return float(model.get_dispersion(damping, grad=False)["energy"])


def d4_polarizabilities(
    species: Int[np.ndarray, " atom"], positions: Float[np.ndarray, "atom 3"]
) -> Float[np.ndarray, " atom"]:
    """D4 static polarizabilities (atomic units) of the atoms of a neutral molecule; positions in Å.

    Raises:
        EngineError: if dftd4 is not installed.
    """
    interface = engine("dftd4.interface", "dftd4")
    properties = interface.DispersionModel(species, bohr_of(positions)).get_properties()
    return np.array(properties["polarizabilities"])
