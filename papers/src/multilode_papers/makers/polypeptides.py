"""Polarizabilities of amino acids and short peptides, after the 2021 paper's Figs. 9 and 10.

Model data: D4 polarizabilities of the atoms with self-consistent dipole screening. Molecules are
neutral, with free ends: conformers of RDKit, not relaxed, with displacements as by heat.
"""

import zlib
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from multilode.data import Dataset, read
from multilode.progress import Progress
from multilode_papers.makers.engines import EngineError, bohr_of, d4_polarizabilities, rdkit_modules
from multilode_papers.makers.frames import Frame
from multilode_papers.makers.jobs import run_jobs
from multilode_papers.makers.screening import screened_polarizability

AMINO_ACIDS = 27428
PEPTIDES = {2: 400, 3: 20, 4: 16, 5: 10}  # residues: molecules
TRAINED_DIPEPTIDES = 370
MODEL = "D4 + dipole screening"
DISPLACEMENT = 0.05  # Å, standard deviation along each axis
_RESIDUES = {
    "A": "ala", "R": "arg", "N": "asn", "D": "asp", "C": "cys", "Q": "gln", "E": "glu",
    "G": "gly", "H": "his", "I": "ile", "L": "leu", "K": "lys", "M": "met", "F": "phe",
    "P": "pro", "S": "ser", "T": "thr", "W": "trp", "Y": "tyr", "V": "val",
}  # fmt: skip
_PER_JOB, _CONFORMERS = 100, 5


def make(
    folder: Path, *, count: int | None = None, workers: int = 1, progress: Progress | None = None
) -> Dataset:
    """Amino acids, all kinds in turn, then peptides of growing length.

    Args:
        folder: folder of finished parts.
        count: at most so many molecules of each length; as many as the paper has if None.
        workers: number of processes.
        progress: called with the numbers of finished and of all parts.

    Raises:
        EngineError: if RDKit or dftd4 is not installed, or a molecule has no conformer.
    """
    names, chosen = [], []
    for residues, total in {1: AMINO_ACIDS, **PEPTIDES}.items():
        wanted = total if count is None else min(count, total)
        per_job = _PER_JOB if residues == 1 else 1
        jobs = -(-wanted // per_job)
        names += [f"peptides-{residues}-{k:04d}" for k in range(jobs)]
        chosen += [n < wanted for n in range(jobs * per_job)]
    data = read(run_jobs(molecules, names, folder, workers=workers, progress=progress))
    return data.select(np.flatnonzero(chosen).tolist())


def molecules(name: str) -> list[Frame]:
    """A part, such as `peptides-1-0042`; its name is the seed of all that is drawn.

    Parts of amino acids have five conformers of each of the twenty, the others one molecule.
    """
    _, residues, number = name.split("-")
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    if int(residues) > 1:
        sequence = "".join(rng.choice(list(_RESIDUES), size=int(residues)))
        trained = int(residues) == 2 and int(number) < TRAINED_DIPEPTIDES
        return _frames(sequence, 1, rng, "train" if trained else "test")
    rounds = zip(*(_frames(acid, _CONFORMERS, rng, "train") for acid in _RESIDUES), strict=True)
    return [frame for one_of_each in rounds for frame in one_of_each]


def _frames(sequence: str, conformers: int, rng: np.random.Generator, split: str) -> list[Frame]:
    species, shapes = conformations(sequence, conformers, seed=int(rng.integers(2**31)))
    shapes = np.round(shapes + DISPLACEMENT * rng.normal(size=shapes.shape), 3)
    tensors = model_polarizability(species, shapes)
    values = {
        "kind": len(sequence),
        "sequence": "-".join(_RESIDUES[letter] for letter in sequence),
        "split": split,
        "model": MODEL,
    }
    return [
        Frame(
            species=species,
            positions=positions,
            values={**values, "polarizability": np.round(tensor.ravel(), 3)},
        )
        for positions, tensor in zip(shapes, tensors, strict=True)
    ]


def conformations(
    sequence: str, count: int, *, seed: int
) -> tuple[Int[np.ndarray, " atom"], Float[np.ndarray, "conformer atom 3"]]:
    """Atomic numbers and positions (Å) of conformers of a neutral peptide with free ends.

    Args:
        sequence: one letter for each amino acid.
        count: number of conformers.
        seed: of RDKit.

    Raises:
        EngineError: if RDKit is not installed or finds no conformers.
    """
    chem, embedding = rdkit_modules()
    molecule = chem.AddHs(chem.MolFromSequence(sequence))
    for random_start in (False, True):  # the second way is slower and finds nearly all
        found = embedding.EmbedMultipleConfs(
            molecule, count, randomSeed=seed, useRandomCoords=random_start
        )
        if len(found) == count:
            break
    else:
        raise EngineError(f"RDKit found {len(found)} of {count} conformers of {sequence}")
    species = np.array([atom.GetAtomicNum() for atom in molecule.GetAtoms()])
    shapes = np.array([molecule.GetConformer(k).GetPositions() for k in found])
    return species, shapes - shapes.mean(axis=1, keepdims=True)


def model_polarizability(
    species: Int[np.ndarray, " atom"], positions: Float[np.ndarray, "molecule atom 3"]
) -> Float[np.ndarray, "molecule 3 3"]:
    """Polarizability (atomic units) of molecules of the same atoms; positions in Å.

    Raises:
        EngineError: if dftd4 is not installed.
    """
    atoms = np.array([d4_polarizabilities(species, xyz) for xyz in positions])
    return screened_polarizability(bohr_of(positions), atoms)
