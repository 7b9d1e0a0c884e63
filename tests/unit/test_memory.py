"""Memory is asked for before it is taken."""

import os

import pytest
import torch

from crystals import structures_of, water_in_box
from multilode.expand import FieldExpansion, Mesh, expand, memory
from multilode.expand.memory import largest_bytes, require_bytes
from multilode.fields import SmearedPotential
from multilode.radial import GaussianTypeOrbitals

CPU = torch.device("cpu")


def test_what_this_machine_has():
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert 0.5 * physical < largest_bytes(CPU) < physical


def test_enough_is_no_error_and_too_much_says_how_much():
    require_bytes(1e6, CPU, what="this", remedy="buy more")
    said = r"^this needs about 9313225\.7 GiB, more than the \d+\.\d GiB that may be used"
    with pytest.raises(ValueError, match=said) as caught:
        require_bytes(1e16, CPU, what="this", remedy="buy more")
    assert "on cpu; buy more" in str(caught.value)


def test_a_mesh_is_refused_before_it_is_made(monkeypatch):
    """Where it fits by its estimate it is done, where not nothing was allocated."""
    expansion = FieldExpansion(SmearedPotential(1.0, 1.0), GaussianTypeOrbitals(4, 3.0), 3)
    structures = structures_of(water_in_box())
    monkeypatch.setattr(memory, "largest_bytes", lambda device: 1e5)
    with pytest.raises(ValueError, match=r"a mesh of \d+ x \d+ x \d+ nodes for 3 centers needs"):
        expand(expansion, structures, species=(1, 8), method=Mesh(1e-4))
    monkeypatch.setattr(memory, "largest_bytes", lambda device: 1e9)
    expand(expansion, structures, species=(1, 8), method=Mesh(1e-4))


def test_a_huge_cell_names_remedies():
    atoms = water_in_box((40_000.0, 40_000.0, 40_000.0))
    expansion = FieldExpansion(SmearedPotential(1.0, 1.0), GaussianTypeOrbitals(4, 3.0), 3)
    for method in (Mesh(1e-6), "auto", "mesh", "ewald_split"):
        with pytest.raises(ValueError, match=r"GiB that may be used .*larger tolerance or smear"):
            expand(expansion, structures_of(atoms), species=(1, 8), method=method)
