r"""
Training on a file of yours
===========================

Commands of the shell, from a file of structures to a model and its errors. The file here is made
for this page: clusters of NaCl with energies of point charges and a repulsion.
"""

import os
import tempfile
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.io import read, write

from multilode.cli.main import run

FOLDER = Path(tempfile.mkdtemp())


def multilode(words):
    """The command in the folder of the data."""
    os.chdir(FOLDER)
    run(words.split())


def clusters(n, seed):
    """Pieces of four to ten atoms of a crystal, shaken, with the keys ``energy`` and ``size``."""
    rng = np.random.default_rng(seed)
    crystal = bulk("NaCl", "rocksalt", a=5.6, cubic=True) * (2, 2, 2)
    for _ in range(n):
        near = np.argsort(np.linalg.norm(crystal.positions - rng.uniform(3, 8, 3), axis=1))
        kept = near[: 2 * rng.integers(2, 6)]
        places = crystal.positions[kept] + rng.normal(scale=0.12, size=(len(kept), 3))
        atoms = Atoms(crystal.numbers[kept], places)
        charges = np.where(atoms.numbers == 11, 1.0, -1.0)
        i, j = np.triu_indices(len(atoms), 1)
        r = np.linalg.norm(places[i] - places[j], axis=1)
        pairs = 14.399645 * charges[i] * charges[j] / r + 0.2 * (2.5 / r) ** 12
        atoms.info |= {"energy": pairs.sum(), "size": len(atoms)}
        yield atoms


write(FOLDER / "mine_train.xyz", list(clusters(150, seed=0)))
write(FOLDER / "mine_test.xyz", list(clusters(50, seed=1)))

# %%
# A configuration for these data, with the reasons beside each line. A file with ``test`` in its
# name is never trained on.

multilode("init mine_train.xyz mine_test.xyz -o mine.yaml")
print((FOLDER / "mine.yaml").read_text())

# %%
# What is doubtful, and what the training will take; then the training. ``run/report.html`` is one
# page with plots of the errors, and with ``--structures`` the worst structures in 3D.

multilode("check mine.yaml")
multilode("train mine.yaml -o run --structures")
report = FOLDER / "run" / "report.html"

# %%
# The errors by size, and predictions as for a file without energies.

multilode("evaluate run/model.safetensors mine_test.xyz --group size")
multilode("predict run/model.safetensors mine_test.xyz -o predicted.xyz --index :3")
predicted = read(FOLDER / "predicted.xyz", ":")
print([f"{atoms.info['predicted_energy']:.3f} eV" for atoms in predicted])
