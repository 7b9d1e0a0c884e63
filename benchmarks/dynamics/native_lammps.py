"""What LAMMPS's own pair style of the salt conserves at constant pressure: its barostat alone.

    python benchmarks/dynamics/native_lammps.py -o build/dynamics

`born/coul/long` has the charges and the repulsion of `classical.py`; `fix npt` and start are of
`run.py`, which makes the start. No model is involved.
"""

import argparse
from pathlib import Path

import ase.io
import numpy as np
from ase import Atoms
from barostats import BAROSTAT, THERMOSTAT
from classical import SIZE, SOFTNESS, STRENGTH
from engines import SPEED

from multilode.engines.lammps import start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, default=Path("build/dynamics"))
    salt = ase.io.read(parser.parse_args().output / "start_salt.xyz")
    assert isinstance(salt, Atoms)
    for step, n in ((2.0, 1000), (1.0, 500)):
        found = conserved(salt, step, n)
        print(f"{step} fs, meV/atom, 0.2 ps apart: {np.round(found[:: round(40 / step)], 2)}")


def conserved(salt: Atoms, step: float, n: int) -> np.ndarray:
    """The conserved quantity less the first, in meV per ion, every five steps."""
    lmp, kinds = start(["-log", "none", "-screen", "none"]), (11, 17)
    sides = " ".join(f"0 {length:.15g}" for length in salt.cell.lengths())
    masses = [f"mass {k + 1} {salt[salt.numbers == z][0].mass}" for k, z in enumerate(kinds)]
    lmp.commands_string(
        f"units metal\natom_style charge\nregion box block {sides} units box\ncreate_box 2 box\n"
        + "\n".join(masses)
    )
    lmp.create_atoms(
        len(salt),
        None,
        [kinds.index(z) + 1 for z in salt.numbers.tolist()],
        salt.get_positions(wrap=True).flatten().tolist(),
        (salt.get_velocities() * SPEED).flatten().tolist(),
    )
    pairs = [
        f"pair_coeff {i + 1} {j + 1} {STRENGTH[kinds[i] + kinds[j]]} {SOFTNESS} "
        f"{SIZE[kinds[i]] + SIZE[kinds[j]]} 0 0"
        for i, j in ((0, 0), (0, 1), (1, 1))
    ]
    lmp.commands_string(
        "set type 1 charge 1\nset type 2 charge -1\npair_style born/coul/long 6.0\n"
        + "\n".join(pairs)
        + "\nkspace_style ewald 1e-7\nneigh_modify every 1 delay 0 check yes\n"
        f"timestep {step / 1000}\nthermo_style custom step pe etotal econserve\n"
        f"fix move all npt temp 1200 1200 {THERMOSTAT / 1000} iso 1 1 {BAROSTAT / 1000}\nrun 0"
    )
    found = [lmp.get_thermo("econserve")]
    for _ in range(n // 5):
        lmp.command("run 5 pre no post no")
        found.append(lmp.get_thermo("econserve"))
    return 1e3 * (np.array(found) - found[0]) / len(salt)


if __name__ == "__main__":
    main()
