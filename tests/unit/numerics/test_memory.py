"""Memory is asked for before it is taken."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import ase
import numpy as np
import pytest
import torch

from crystals import isolated_cluster, structures_of, water_in_box
from multilode.expansion import FieldExpansion, Mesh, PairSum, expand
from multilode.expansion.mesh import method as mesh_method
from multilode.fields import SmearedPotential
from multilode.numerics.limits import limits
from multilode.numerics.memory import free_bytes, largest_bytes, require_bytes
from multilode.radial import GaussianTypeOrbitals

CPU = torch.device("cpu")
MOVED = ("positions", "cell")
LINE = np.stack([np.zeros(300), np.zeros(300), np.arange(300)], axis=1)


def test_what_this_machine_has():
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert 0.5 * physical < largest_bytes(CPU) < physical


def test_what_is_free_is_less_and_a_limit_is_what_it_says():
    assert 1e6 < free_bytes(CPU) <= largest_bytes(CPU)
    with limits(memory=3e9):
        assert free_bytes(CPU) == 3e9


def test_enough_is_no_error_and_too_much_says_how_much():
    require_bytes(1e6, CPU, what="this", remedy="buy more")
    said = r"^this needs about 9313225\.7 GiB, more than the \d+\.\d GiB that may be used"
    with pytest.raises(ValueError, match=said) as caught:
        require_bytes(1e16, CPU, what="this", remedy="buy more")
    assert "on cpu; buy more" in str(caught.value)


def test_a_mesh_is_refused_before_it_is_made():
    """Where it fits by its estimate it is done, where not nothing was allocated."""
    expansion = FieldExpansion(SmearedPotential(1.0, 1.0), GaussianTypeOrbitals(4, 3.0), 3)
    structures = structures_of(water_in_box())
    said = r"a mesh of \d+ x \d+ x \d+ nodes for 3 centers needs"
    with limits(memory=1e5), pytest.raises(ValueError, match=said):
        expand(expansion, structures, species=(1, 8), method=Mesh(1e-4))
    with limits(memory=1e9):
        expand(expansion, structures, species=(1, 8), method=Mesh(1e-4))


@limits(memory=120 * 300**2)
def test_all_pairs_of_a_molecule_are_refused_before_they_are_made():
    """Those of the structures that have centers, and no others."""
    few, many = isolated_cluster(), ase.Atoms("O300", positions=LINE)
    expansion = FieldExpansion(SmearedPotential(1.0, 1.0), GaussianTypeOrbitals(4, 3.0), 3)
    structures = structures_of(few, many, few)
    said = "structure 1: a sum over all pairs of 300 atoms needs .* method auto or mesh"
    with pytest.raises(ValueError, match=said):
        expand(expansion, structures, species=(1, 6, 8), method=PairSum(1e-10))
    near = replace(expansion, neighbor_cutoff=4.0)
    expand(near, structures, species=(1, 6, 8), method=PairSum(1e-10))
    n = structures.n_atoms
    centers = torch.cat([torch.arange(len(few)), torch.arange(n - 2, n)])
    found = expand(expansion, structures, species=(1, 6, 8), method=PairSum(1e-10), centers=centers)
    alone = expand(expansion, structures_of(few), species=(1, 6, 8), method=PairSum(1e-10))
    for irrep, block in alone.blocks.items():
        torch.testing.assert_close(found.blocks[irrep][: len(few)], block)
        torch.testing.assert_close(found.blocks[irrep][len(few) :], block[-2:])


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peaks are read from Linux")
@pytest.mark.parametrize("moving", ["nothing", "positions"])
def test_all_pairs_take_what_was_foreseen(moving):
    foreseen, taken = measured("pairs", 70.0, 3000, moving)
    assert 0.95 * taken < foreseen < 1.7 * taken


def measured(*arguments) -> list[float]:
    """Bytes that an expansion in a process of its own foresaw, and took."""
    script = Path(__file__).parents[2] / "peak_memory.py"
    done = subprocess.run(
        [sys.executable, str(script), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=True,
    )
    return [float(x) for x in done.stdout.split()]


def foreseen(monkeypatch, structures, field) -> float:
    """Bytes that a mesh asks for."""
    asked = []
    with monkeypatch.context() as patch:
        patch.setattr(mesh_method, "require_bytes", lambda needed, *_, **__: asked.append(needed))
        expansion = FieldExpansion(field, GaussianTypeOrbitals(4, 3.0), 3)
        expand(expansion, structures, species=(1, 8), method=Mesh(1e-4))
    return asked[0]


def test_only_a_backward_pass_needs_more(monkeypatch):
    plain, field = structures_of(water_in_box()), SmearedPotential(1.0, 1.0)
    moving = [replace(plain, **{k: getattr(plain, k).clone().requires_grad_()}) for k in MOVED]
    learned = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    fields = [SmearedPotential(learned, 1.0), SmearedPotential(1.0, learned)]
    cases = [(s, field) for s in moving] + [(plain, f) for f in fields]
    for factor, case in [(1, (plain, field)), *((2, case) for case in cases)]:
        with torch.no_grad():
            least = foreseen(monkeypatch, *case)
        assert foreseen(monkeypatch, *case) == pytest.approx(factor * least)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peaks are read from Linux")
@pytest.mark.parametrize("moving", ["nothing", "positions", "cell", "smearing"])
@pytest.mark.parametrize(("edge", "count"), [(60.0, 200), (30.0, 4000)])
def test_a_mesh_takes_what_was_foreseen(edge, count, moving):
    """One with many nodes, and one with many atoms."""
    foreseen, taken = measured("mesh", edge, count, moving)
    assert taken > 2e8  # much more than what the allocator and the libraries keep
    assert 0.95 * taken < foreseen < 2.2 * taken


def test_a_huge_cell_names_remedies():
    atoms = water_in_box((40_000.0, 40_000.0, 40_000.0))
    expansion = FieldExpansion(SmearedPotential(1.0, 1.0), GaussianTypeOrbitals(1, 2.0), 1)
    for method in (Mesh(1e-6), "auto", "mesh", "ewald_split"):
        with pytest.raises(ValueError, match=r"GiB that may be used .*larger tolerance or smear"):
            expand(expansion, structures_of(atoms), species=(1, 8), method=method)
