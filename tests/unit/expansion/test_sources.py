"""Coefficients atom by atom: they add up to those of species, and their slopes are derivatives."""

from dataclasses import replace

import pytest
import torch

from multilode.errors import StructureError
from multilode.expansion import FieldExpansion, expand
from multilode.expansion.sources import SourceExpansion, expand_sources
from multilode.fields import GaussianDensity, SmearedPotential
from multilode.radial import GaussianTypeOrbitals
from multilode.structures.batch import Structures

BASIS = GaussianTypeOrbitals(n_radial=3, radius=3.0)
RHO = FieldExpansion(GaussianDensity(smearing=0.6), BASIS, 2, neighbor_cutoff=3.0)
V = FieldExpansion(SmearedPotential(exponent=1, smearing=1.0), BASIS, 2)
FAR = replace(V, range="far", near_radius=2.5)
SPECIES = (1, 8)


def _structures(*periodic: int) -> Structures:
    """Random structures with so many periodic axes each, of 5, 6, ... atoms."""
    generator = torch.Generator().manual_seed(3)
    counts = [5 + k for k in range(len(periodic))]
    n = sum(counts)
    grid = torch.cartesian_prod(*[torch.arange(3.0)] * 3).double() * 1.6
    place = torch.cat([torch.arange(count) for count in counts])
    noise = torch.randn(n, 3, generator=generator, dtype=torch.float64)
    pbc = torch.tensor([[axis < axes for axis in range(3)] for axes in periodic])
    return Structures(
        positions=grid[place] + 0.2 * noise,
        species=torch.tensor([1, 8, 1])[torch.arange(n) % 3],
        cell=torch.eye(3, dtype=torch.float64).repeat(len(counts), 1, 1) * 5.1,
        pbc=pbc,
        structure_index=torch.arange(len(counts)).repeat_interleave(torch.tensor(counts)),
    )


def _summed(found: SourceExpansion, parts: torch.Tensor, structures: Structures) -> torch.Tensor:
    """Parts of the pairs added up by the species of the source, [center, lm, species, n]."""
    kind = (structures.species == 8).long()[found.source]
    shape = (structures.n_atoms, len(SPECIES), *parts.shape[1:])
    sums = parts.new_zeros(shape).flatten(end_dim=1)
    return sums.index_add(0, found.center * 2 + kind, parts).view(shape).transpose(1, 2)


def _expanded(expansion: FieldExpansion, structures: Structures) -> torch.Tensor:
    blocks = expand(expansion, structures, species=SPECIES).blocks.values()
    return torch.cat([block.unflatten(2, (2, -1)) for block in blocks], dim=1)


CASES = [
    (RHO, (0, 3, 2)),
    (replace(RHO, center_weight=0.3), (1,)),
    (V, (0, 0)),
    (V, (3,)),
    (V, (2,)),
    (replace(V, center_weight=0.4), (3, 0)),
    (FAR, (0, 3)),
]


@pytest.mark.parametrize(("expansion", "periodic"), CASES)
def test_sources_add_up(expansion: FieldExpansion, periodic: tuple[int, ...]) -> None:
    structures = _structures(*periodic)
    found = expand_sources(expansion, structures)
    expected = _expanded(expansion, structures)
    torch.testing.assert_close(
        _summed(found, found.values, structures), expected, rtol=0, atol=1e-7
    )
    same = structures.structure_index[found.center] == structures.structure_index[found.source]
    assert bool(same.all())


@pytest.mark.parametrize(("expansion", "periodic"), CASES)
def test_slopes_are_derivatives(expansion: FieldExpansion, periodic: tuple[int, ...]) -> None:
    structures = _structures(*periodic)
    found = expand_sources(expansion, structures, strains=True)
    generator = torch.Generator().manual_seed(5)
    moves = torch.randn(structures.n_atoms, 3, generator=generator, dtype=torch.float64)
    apart = moves[found.source] - moves[found.center]
    slope = torch.einsum("pa,paxn->pxn", apart, found.slopes)
    step = 1e-4
    ends = [
        _expanded(expansion, replace(structures, positions=structures.positions + s * moves))
        for s in (step, -step)
    ]
    expected = (ends[0] - ends[1]) / (2 * step)
    torch.testing.assert_close(_summed(found, slope, structures), expected, rtol=1e-5, atol=1e-5)

    strain = torch.randn(3, 3, generator=generator, dtype=torch.float64)
    assert found.strains is not None
    slope = torch.einsum("ab,pabxn->pxn", strain, found.strains)
    ends = [_expanded(expansion, _strained(structures, s * strain)) for s in (step, -step)]
    expected = (ends[0] - ends[1]) / (2 * step)
    torch.testing.assert_close(_summed(found, slope, structures), expected, rtol=1e-5, atol=1e-5)


def _strained(structures: Structures, strain: torch.Tensor) -> Structures:
    change = torch.eye(3, dtype=torch.float64) + strain
    return replace(
        structures, positions=structures.positions @ change, cell=structures.cell @ change
    )


def test_atoms_in_the_same_place_are_refused() -> None:
    structures = _structures(0)
    positions = structures.positions.clone()
    positions[1] = positions[0]
    with pytest.raises(StructureError, match="same place"):
        expand_sources(V, replace(structures, positions=positions))
