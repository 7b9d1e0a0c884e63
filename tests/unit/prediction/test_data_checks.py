"""Warnings of training data of networks."""

import warnings
from dataclasses import replace

import pytest
import torch

from multilode.errors import DataWarning
from multilode.models.network.network import FieldSize, NetworkSize
from multilode.models.network.network_model import EpochErrors, NetworkModel
from multilode.models.targets import Forces
from multilode.prediction.data_checks import warn_of_contradiction, warn_of_data
from multilode.structures.batch import Structures


def pairs(n: int) -> Structures:
    """Molecules of hydrogen and oxygen."""
    generator = torch.Generator().manual_seed(0)
    return Structures(
        positions=torch.randn(2 * n, 3, generator=generator, dtype=torch.float64),
        species=torch.tensor([1, 8]).repeat(n),
        cell=torch.zeros(n, 3, 3, dtype=torch.float64),
        pbc=torch.zeros(n, 3, dtype=torch.bool),
        structure_index=torch.arange(n).repeat_interleave(2),
    )


def test_a_rare_element_is_named() -> None:
    structures = pairs(5)
    species = structures.species.clone()
    species[1] = 17
    with pytest.warns(DataWarning, match=r"fewer than 5 atoms of O \(4\), Cl \(1\)"):
        warn_of_data(replace(structures, species=species), None)


def test_forces_that_do_not_add_up_are_noticed() -> None:
    structures = pairs(6)
    forces = torch.randn(6, 1, 3, generator=torch.Generator().manual_seed(1)).double()
    opposite = torch.cat([forces, -forces], dim=1).flatten(0, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_data(structures, Forces(values=opposite + 0.01))
    with pytest.warns(DataWarning, match="do not add up to zero"):
        warn_of_data(structures, Forces(values=opposite.roll(1, dims=0)))


@pytest.mark.parametrize(("energy", "force", "told"), [(2.0, 0.1, 1), (0.5, 0.1, 0), (2.0, 0.9, 0)])
def test_forces_without_energies_are_noticed(energy: float, force: float, told: int) -> None:
    size = NetworkSize(
        fields={"rho": FieldSize(max_angular=0, n_radial=1)},
        n_species=2,
        channels=1,
        n_hidden=1,
        rounds=1,
        charges=0,
        dipoles=0,
    )
    history = (EpochErrors(epoch=1, train=1.0, energy=energy, force=force),)
    model = NetworkModel(size=size, weights={}, history=history, best_epoch=1)
    energies = torch.full((4, 1), 2.0**0.5, dtype=torch.float64)  # 1 over sqrt(atoms)
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        warn_of_contradiction(model, pairs(4), energies, torch.ones(8, 3).double())
    assert len(found) == told
    assert all("check their sign" in str(one.message) for one in found)
