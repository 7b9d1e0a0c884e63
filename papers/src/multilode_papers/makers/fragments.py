"""Small molecules that stand for the side chains of proteins, and their geometries."""

from dataclasses import dataclass
from functools import cache
from typing import final

import numpy as np
from jaxtyping import Float, Int

from multilode_papers.makers.engines import bohr_of, rdkit_modules, tblite_energy_and_gradient

# class -> name: SMILES. C carries a charge, P is neutral with N or O, A is neutral, C and H only.
FRAGMENTS = {
    "C": {
        "ammonium": "[NH4+]",
        "methylammonium": "C[NH3+]",
        "guanidinium": "NC(=[NH2+])N",
        "formate": "C(=O)[O-]",
        "acetate": "CC(=O)[O-]",
    },
    "P": {
        "water": "O",
        "methanol": "CO",
        "methylamine": "CN",
        "formamide": "C(=O)N",
        "acetamide": "CC(=O)N",
    },
    "A": {
        "methane": "C",
        "ethane": "CC",
        "ethylene": "C=C",
        "acetylene": "C#C",
        "propane": "CCC",
    },
}

_SMILES = {name: smiles for kind in FRAGMENTS.values() for name, smiles in kind.items()}


@final
@dataclass(frozen=True, kw_only=True)
class Fragment:
    """A molecule at its minimum, with its geometric centre at the origin.

    Args:
        name: as in `FRAGMENTS`.
        species: atomic numbers.
        positions: in Å.
        charge: in elementary charges.
    """

    name: str
    species: Int[np.ndarray, " atom"]
    positions: Float[np.ndarray, "atom 3"]
    charge: int


@cache
def fragment(name: str) -> Fragment:
    """A molecule of the table at its GFN2-xTB minimum, from an RDKit conformer.

    Raises:
        EngineError: if RDKit or tblite is not installed.
    """
    chem, forcefield = rdkit_modules()
    molecule = chem.AddHs(chem.MolFromSmiles(_SMILES[name]))
    forcefield.EmbedMolecule(molecule, randomSeed=7)
    forcefield.MMFFOptimizeMolecule(molecule)
    species = np.array([atom.GetAtomicNum() for atom in molecule.GetAtoms()])
    charge = chem.GetFormalCharge(molecule)
    positions = relaxed(species, molecule.GetConformer().GetPositions(), charge)
    return Fragment(
        name=name, species=species, positions=positions - positions.mean(axis=0), charge=charge
    )


def relaxed(
    species: Int[np.ndarray, " atom"], positions: Float[np.ndarray, "atom 3"], charge: int
) -> Float[np.ndarray, "atom 3"]:
    """Positions (Å) at the nearest minimum of the GFN2-xTB energy."""
    from scipy.optimize import minimize

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        energy, gradient = tblite_energy_and_gradient(species, flat.reshape(-1, 3), charge)
        return energy, gradient.ravel()

    start = bohr_of(positions).ravel()
    found = minimize(objective, start, jac=True, method="BFGS", options={"gtol": 3e-5})
    return found.x.reshape(-1, 3) / bohr_of(1.0)
