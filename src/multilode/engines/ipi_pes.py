"""Models in i-PI, in its own process (`ffdirect`) or behind its socket (`i-pi-driver-py`).

i-PI reads this file itself, as the potential `custom` at the path that `pes_path()` tells.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ipi.pes.dummy import Dummy_driver  # pyright: ignore[reportMissingImports]
from ipi.utils.units import (  # pyright: ignore[reportMissingImports]
    unit_to_internal,
    unit_to_user,
)

from multilode.config.store import load
from multilode.data.io import read
from multilode.data.units import UnitError, factor
from multilode.engines.energies import EnergyModel
from multilode.errors import UserError
from multilode.prediction.predictor import Predictor
from multilode.representation.abstract import require_species
from multilode.structures.batch import Structures

__DRIVER_NAME__ = "multilode"
__DRIVER_CLASS__ = "MultilodeDriver"


def pes_path() -> str:
    """The path that i-PI is told as `pes_path`."""
    return __file__


class MultilodeDriver(Dummy_driver):
    """Energies, forces and virials of all replicas in one call, and what else a model knows.

    The extras are JSON, in the atomic units of i-PI: `committee_pot`, energies of the members of a
    committee, `energy_std`, and `dipole` of a second model.

    Args:
        model: the model file, of an energy.
        template: file with a structure of the same atoms in the same order, which says what they
            are and along which vectors of the cell they are periodic.
        dipole: a second model file, of vectors.
        unit: of the energies, where the model names none itself.
        options: others of i-PI.

    Raises:
        ModelFileError: if a model file cannot be used.
        UserError: if a model is not what it is to be, the template cannot be read, or has a species
            that was not trained.
    """

    def __init__(
        self,
        model: str,
        template: str,
        *args: Any,
        dipole: str | None = None,
        unit: str | None = None,
        **options: Any,
    ) -> None:
        self._energy = EnergyModel.of(Path(model), unit)
        self._dipole = None if dipole is None else load(Path(dipole))
        if self._dipole is not None:
            self._dipole_size = _dipole_in_e_angstrom(self._dipole)
        self._template = read(template).structures[0]
        for own in (self._energy.predictor, self._dipole):
            if own is not None:
                require_species(self._template, own.representation.species)
        with torch.no_grad():
            trial = self._energy.with_spread(self._template)
        self._has_errors = trial.members is not None or trial.std is not None
        super().__init__(*args, **options)

    def compute(self, cell: Any, pos: Any) -> Any:
        """Energy, forces, virial and extras of a structure, or a list of them, in atomic units.

        Args:
            cell: columns are lattice vectors; or a list of cells.
            pos: positions, one row per atom; or a list of them.

        Raises:
            UserError: if the atoms are not as many as those of the template.
        """
        if isinstance(cell, list):
            return self._results(cell, pos)
        return self._results([cell], [pos])[0]

    def _results(self, cells: list[Any], places: list[Any]) -> list[tuple[Any, ...]]:
        replicas = self._replicas(cells, places)
        energies, forces, virials = self._energy.derivatives(replicas)
        numbers = (
            _internal("energy", "electronvolt", energies),
            _internal("force", "ev/ang", forces).reshape(len(cells), -1, 3),
            _internal("energy", "electronvolt", virials),
        )
        return list(zip(*numbers, self._extras(replicas), strict=True))

    def _replicas(self, cells: list[Any], places: list[Any]) -> Structures:
        """The structures of a call as one batch."""
        own, n = self._template, len(cells)
        positions = _user_lengths(np.concatenate(places))
        rows = _user_lengths(np.stack([cell.T for cell in cells]))
        if len(positions) != n * own.n_atoms:
            raise UserError(
                f"i-PI has {len(positions) // n} atoms and the template {own.n_atoms}; give the "
                "structure that i-PI starts from as the template"
            )
        return Structures(
            positions=torch.from_numpy(np.ascontiguousarray(positions)),
            species=own.species.repeat(n),
            cell=torch.from_numpy(np.ascontiguousarray(rows)),
            pbc=own.pbc.repeat(n, 1),
            structure_index=torch.arange(n).repeat_interleave(own.n_atoms),
        )

    @torch.no_grad()
    def _extras(self, replicas: Structures) -> list[str]:
        """JSON of each replica."""
        found: dict[str, np.ndarray] = {}
        if self._has_errors:
            rows = self._energy.with_spread(replicas)
            for name, values in (("committee_pot", rows.members), ("energy_std", rows.std)):
                if values is not None:
                    found[name] = _internal("energy", "electronvolt", values)
        if self._dipole is not None:
            moments = self._dipole_size * self._dipole.predict(replicas).values
            found["dipole"] = _internal("length", "angstrom", moments)
        return [
            json.dumps({name: values[k].tolist() for name, values in found.items()})
            if found
            else ""
            for k in range(len(replicas))
        ]


def _internal(kind: str, unit: str, values: torch.Tensor) -> np.ndarray:
    numbers: Any = values.detach().numpy()  # i-PI says float, and takes arrays
    return np.asarray(unit_to_internal(kind, unit, numbers))


def _user_lengths(values: Any) -> np.ndarray:
    return np.asarray(unit_to_user("length", "angstrom", values))


def _dipole_in_e_angstrom(predictor: Predictor) -> float:
    """The size of the unit of a dipole; that of a charge is 1 in atomic units.

    Raises:
        UserError: if the model is none of dipoles.
    """
    target = predictor.target
    if target.tensor != "vector" or target.per != "structure":
        raise UserError(f"'{target.key}' is no vector of structures; give a model of dipoles")
    try:
        return factor(target.unit, "e*Å")
    except UnitError as error:
        raise UserError(
            f"{error}: '{target.key}' is no dipole; train on one in D, e*Å or e*bohr, and name the "
            "unit"
        ) from error
