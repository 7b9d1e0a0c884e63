"""Good files, from which the fuzzer makes bad ones."""

import io
import tempfile
import warnings
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import ase.io
import numpy as np
import torch
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixAtoms

import multilode as ml
from multilode.config.store import save
from multilode.data.ase_atoms import from_ase
from multilode.data.io import write
from multilode.models import AbstractEstimator

ROOT = Path(__file__).parents[2]

XYZ = [
    b"""2
Lattice="9 0 0 0 8 0 0 0 7" Properties=species:S:1:pos:R:3:forces:R:3 pbc="T T F" name="a b"
O 0.0 0.0 0.1 0.1 0.2 0.3
H 0.0 0.7 -0.4 -0.1 -0.2 -0.3
""",
    b"""3
energy=-1.5 dipole="0.1 0.2 0.3" Properties=species:S:1:pos:R:3:q:R:1:tag:I:1:flag:L:1 n=3 ok=T
O  0.0 0.0 0.0 -0.8 1 T
H  0.8 0.6 0.0  0.4 0 F
H -0.8 0.6 0.0  0.4 0 F
1
pbc=F config_type="isolated atom"
Ar 1e-3 0 0
""",
    b"""2
Lattice="5.4 0 0 0 5.4 0 0 0 5.4" Origin="0 0 0" stress="1 2 3 4 5 6" virial="1 0 0 0 1 0 0 0 1"
Na 0 0 0
Cl 2.7 2.7 2.7
2
Properties=species:S:1:Z:I:1:pos:R:3:move_mask:L:1 note={1 2 3} m=[[1, 2], [3, 4]] j="_JSON [1]"
Na 11 0 0 0 T
Cl 17 2.7 2.7 2.7 F
""",
    b"""2
multilode="_JSON {\\"shapes\\": {\\"f\\": [3, 1]}, \\"values\\": {\\"a b\\": 3}, """
    + b"""\\"arrays\\": {\\"u v\\": [1.0, 2.0]}}" """
    + b"""Properties=species:S:1:pos:R:3:f:R:3
O 0.0 0.0 0.1 1 2 3
D 0.0 0.7 -0.4 4 5 6
VEC1 9 0 0
VEC2 0 9 0
VEC3 0 0 9
""",
]
XYZ_WORDS = [
    *(
        b"Lattice=",
        b"Properties=",
        b"species:S:1",
        b":pos:R:3",
        b":forces:R:3",
        b"pbc=",
        b"energy=",
    ),
    *(
        b"_JSON {}",
        b"multilode=",
        b'"',
        b"T",
        b"F",
        b"VEC1 1 0 0\n",
        b"Tv 1 0 0",
        b"X",
        b"D",
        b"O1",
    ),
    *(
        b":R:9999999",
        b":S:2",
        b":L:1",
        b":I:0",
        b":R:-1",
        b"cell=",
        b"unit=",
        b"stress=",
        b"dipole=",
    ),
    *(
        b"virial=",
        b"pbc=TTF",
        b"nan nan nan",
        b'\\"',
        b"Origin=",
        b"units=",
        b"charge=",
        b"free_energy=",
    ),
]

CONFIGS = [
    b"data: {train: a.xyz, test: b.xyz, group: label}\ntarget: {key: gap, unit: eV}\ncutoff: 2.5\n",
    b"""\
data: {train: [a.xyz, b.xyz], test_fraction: 0.2, seed: 3}
target: {key: dipole, tensor: vector, unit: D, baseline: none}
cutoff: 4.0
centers: [O, H]
fields:
  rho: {smearing: 0.4, basis: {kind: gto, n_radial: 4, max_angular: 3}, neighbor_cutoff: 3.0}
  V: {smearing: 1.0, exponent: 1.0, basis: {kind: laplacian, n_radial: 2, radius: 3}}
  W: {kind: potential, exponent: 6.0, range: far, near_radius: 3.0, basis: {kind: monomial}}
features: [[rho, rho], [rho, V], [rho, W]]
channels: 4
method: reciprocal_sum
tolerance: 1.0e-6
estimator: {kind: ridge, regularization: 1.0e-8, term_weights: [1.0, 1.0, 0.5]}
learning_curve: {sizes: [8, 16], repeats: 2}
memory: 2 GB
""",
    b"""\
data: {train: a.xyz, weights: w}
target: {key: energy, forces: {key: forces, weight: 0.1, directions: 3}, stress: {key: stress}}
contraction: {max_features: 50, atoms: 100}
estimator:
  kind: sparse
  n_active: 20
  kernel: {kind: sum, weights: [1.0, 0.3], kernels: [{kind: polynomial, zeta: 2}, {kind: gaussian}]}
  committee: {n_members: 4, fraction: 0.8}
""",
    b"data: a.xyz\ntarget: {key: e, forces: f}\nestimator: {kind: network, epochs: 3}\n",
    b"a: &a {x: 1}\nb: *a\n<<: *a\ndata: !!str a.xyz\ntarget: {key: 'e', reduce: mean}\n",
    b"""\
data: a.xyz
target:
  key: e
  fragments: m
  component: trace
  baseline: {calculator: ase.calculators.lj.LennardJones, arguments: {sigma: 3.4}}
fields:
  Q: {kind: potential, sources: {kind: fitted, channels: 1, components: 2}}
  P: {kind: potential, sources: {kind: given, keys: [q]}}
features: [[rho, Q], [Q, P]]
""",
]
CONFIG_WORDS = [
    *(
        b"data",
        b"train",
        b"target",
        b"key",
        b"fields",
        b"rho",
        b"V",
        b"basis",
        b"estimator",
        b"kind",
    ),
    *(
        b"cutoff",
        b"smearing",
        b"exponent",
        b"n_radial",
        b"max_angular",
        b"kernel",
        b"zeta",
        b"sparse",
    ),
    *(b"features", b"centers", b"committee", b"contraction", b"method", b"tolerance", b"memory"),
    *(b"network", b"tensor", b"vector", b"symmetric", b"forces", b"stress", b"learning_curve"),
    *(
        b"baseline",
        b"component",
        b"trace",
        b"reduce",
        b"per",
        b"atom",
        b"preset",
        b"sources",
        b"range",
    ),
]


def molecules(n: int, seed: int = 0) -> list[Atoms]:
    """Water, not quite in its minimum, with an energy, a dipole, charges and forces."""
    rng = np.random.default_rng(seed)
    images = []
    for i in range(n):
        atoms = Atoms("OHH", [[0, 0, 0], [0.76, 0.59, 0], [-0.76, 0.59, 0]])
        atoms.rattle(0.08, rng=rng)
        atoms.info.update(
            gap=float(np.sin(i)), label="odd" if i % 2 else "even", d=rng.normal(size=3)
        )
        atoms.arrays["q"] = rng.normal(size=3)
        forces = rng.normal(size=(3, 3))
        atoms.calc = SinglePointCalculator(atoms, energy=float(i), forces=forces)
        images.append(atoms)
    return images


def crystal() -> Atoms:
    """Rock salt in a skewed cell, with forces and a constraint."""
    atoms = Atoms("NaCl", [[0, 0, 0], [2.7, 2.7, 2.7]], cell=[5.4, 5.5, 5.6], pbc=True)
    atoms.set_constraint(FixAtoms([0]))
    atoms.calc = SinglePointCalculator(atoms, energy=-3.0, forces=np.ones((2, 3)))
    return atoms


_DUMP = b"""ITEM: TIMESTEP
0
ITEM: NUMBER OF ATOMS
2
ITEM: BOX BOUNDS pp pp ff
0 9
0 9
0 9
ITEM: ATOMS id element x y z fx fy fz
1 O 0 0 0.1 0.1 0 0
2 H 0 0 1.1 -0.1 0 0
"""
# format names of ASE by the suffix or the name of a file
_WRITTEN = {
    "a.cif": "cif",
    "POSCAR": "vasp",
    "a.vasp": "vasp",
    "a.pdb": "proteindatabank",
    "a.json": "json",
    "a.traj": "traj",
    "a.xsf": "xsf",
    "a.gro": "gromacs",
    "a.in": "aims",
    "a.cell": "castep-cell",
    "a.cube": "cube",
    "a.gen": "gen",
    "a.res": "res",
    "a.lmp": "lammps-data",
    "a.data": "lammps-data",
    "a.sdf": None,
}
_OURS = ("a.npz", "a.db", "a.xyz.gz", "a.xyz.bz2", "a.xyz.xz", "a.traj")


@cache
def formats() -> Mapping[str, bytes]:
    """Contents of a good file of each name."""
    found = {"a.lammpstrj": _DUMP, "a.dump": _DUMP, "a.xyz": XYZ[0], "noname": XYZ[0]}
    with tempfile.TemporaryDirectory() as name, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for file, kind in _WRITTEN.items():
            path = Path(name, file)
            image = crystal()
            if kind == "vasp":
                image.calc = None
            if kind is not None:
                ase.io.write(path, image, format=kind)
                found[file] = path.read_bytes()
        for file in _OURS:
            path = Path(name, f"our-{file}")
            write(path, from_ase(molecules(2)))
            found[f"our-{file}"] = path.read_bytes()
    return found


@cache
def models() -> list[bytes]:
    """Model files of many kinds and of all earlier formats, the small ones."""
    old = sorted((ROOT / "tests" / "reference" / "models").glob("*.safetensors"))
    found = [path.read_bytes() for path in old if path.stat().st_size < 60_000]
    return [*found, *(_saved(estimator) for estimator in _estimators())]


def _estimators() -> list[AbstractEstimator]:
    return [
        ml.Ridge(regularization=1e-4),
        ml.KernelRidge(regularization=1e-4),
        ml.SparseKernelRidge(n_active=5, regularization=1e-4),
        ml.Committee(estimator=ml.Ridge(regularization=1e-4), n_members=3, fraction=0.5),
    ]


def _saved(estimator: AbstractEstimator) -> bytes:
    basis = ml.GaussianTypeOrbitals(n_radial=2, radius=3.0)
    recipe = ml.Representation(
        fields={
            "rho": ml.FieldExpansion(ml.GaussianDensity(0.5), basis, 1, neighbor_cutoff=3.0),
            "V": ml.FieldExpansion(ml.SmearedPotential(smearing=0.8, exponent=1.0), basis, 1),
        },
        products=(("rho", "rho"), ("rho", "V")),
        species=(1, 8),
        centers=(1, 8),
    )
    structures = from_ase(molecules(8)).structures
    y = torch.arange(8.0).double()
    predictor = ml.train(recipe, structures, "energy", y=y, estimator=estimator)
    with tempfile.TemporaryDirectory() as name:
        save(predictor, Path(name, "m.safetensors"))
        return Path(name, "m.safetensors").read_bytes()


def xyz_of(images: list[Atoms]) -> bytes:
    """Extended XYZ as ASE writes it."""
    text = io.StringIO()
    ase.io.write(text, images, format="extxyz")
    return text.getvalue().encode()
