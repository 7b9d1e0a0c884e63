"""Predictors in ASE: a calculator for energies, forces and stresses."""

import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from ase import Atoms
from ase.calculators.calculator import Calculator, PropertyNotImplementedError, all_changes
from ase.stress import full_3x3_to_voigt_6_stress

from multilode.data.ase_atoms import from_ase
from multilode.engines.energy_target import energy_predictor
from multilode.errors import DataWarning, UserError
from multilode.expansion.accuracy import resolved_tolerance
from multilode.models.committee.committee_model import spread_of
from multilode.numerics.modes import own_modes
from multilode.prediction.evaluation import novelty
from multilode.prediction.members import member_deviations
from multilode.prediction.model_baselines import model_of
from multilode.prediction.predictor import Prediction, Predictor
from multilode.structures.batch import Structures

_TYPES = {"float64": torch.float64, "float32": torch.float32}

# How much a coarser computation may change: a tenth or less of the errors of any good model
_FORCE_CHANGE = 1e-3  # eV/Å, of any component
_ENERGY_CHANGE = 1e-4  # eV per atom
_LOOKED_AT = 10  # of how many structures one is compared with those of the training
_ROUNDING = {torch.float64: 1e-8, torch.float32: 1e-4}  # of sums, relative to what they add up
_DISPLACEMENT = 0.05  # Å, of the atoms of the structure that is compared


class PredictorCalculator(Calculator):
    """ASE's calculator around a predictor of an energy, whose unit is converted to eV.

    Energies, forces and stresses come from one computation and belong together whatever its
    tolerance. Where that is coarser than the model's, the first structure of each set of elements
    and periodicity, its atoms a little displaced, is also computed as the model was trained: if a
    force component then differs by more than 1e-3 eV/Å or the energy by more than 1e-4 eV per atom,
    as it can for fits with very large weights, there is a warning and the model's own accuracy is
    used from there on.

    Args:
        predictor: a trained model of an energy, or the file that holds one.
        with_std: also estimate the standard deviation of the energy, as `energy_std`, and where
            members of a committee tell it, those of the forces, as `forces_std`.
        with_members: also tell what each member of a committee says, its deviation from the mean
            scaled as error bars are: `energy_members`, and `forces_members` [member, atom, 3].
        baseline: calculator of the other model that is the baseline of the predictor, if it is one.
            Energies, forces and stresses are those of the sum.
        tolerance: relative accuracy of the expansions, unless that of the model is coarser; None
            for that of the model.
        dtype: "float64", or "float32", which is faster; energies of centers are added in float64.
        unit: of the energies of the model, such as "eV", "Hartree" or "kcal/mol", where it names
            none itself.

    Raises:
        ModelFileError: if the file cannot be used.
        EngineError: if the target of the predictor is no energy: intensive, or of several columns.
        UnitError: if the unit of the model is none of an energy, or nobody says which it is.
        ValueError: if the calculator of its baseline is missing, or of another class; if the
            tolerance is out of range or finer than the type resolves.

    Warns:
        DataWarning: if the model needs a finer tolerance or type than was asked for; once, if an
            atom has surroundings that are far from all of the training.
    """

    implemented_properties: ClassVar[list[str]] = [
        "energy",
        "free_energy",
        "energies",
        "forces",
        "stress",
    ]

    @own_modes(gradients=True)
    def __init__(
        self,
        predictor: Predictor | str | Path,
        *,
        with_std: bool = False,
        with_members: bool = False,
        baseline: Any = None,
        tolerance: float | None = 1e-4,
        dtype: str = "float64",
        unit: str | None = None,
    ) -> None:
        super().__init__()
        predictor, self._in_ev = energy_predictor(predictor, unit)
        if dtype not in _TYPES:
            raise ValueError(f"dtype is {dtype!r}; use 'float64' or 'float32'")
        self.predictor = _with_baseline(predictor, baseline)
        self.with_std, self.with_members = with_std, with_members
        self.dtype = _TYPES[dtype]
        own = resolved_tolerance(predictor.representation.tolerance, torch.float64)
        self.tolerance = resolved_tolerance(max(tolerance or own, own), self.dtype)
        self._exact = self.tolerance == own and self.dtype == torch.float64
        self._fast = self.predictor.without_model().with_tolerance(self.tolerance)
        self._checked: tuple[bytes, ...] = ()  # numbers, periodicity and cell of the last structure
        self._steps = 0
        self._far = self.predictor.known is None  # or whether it was said that a structure is far
        self._compared: set[tuple[frozenset[int], tuple[bool, ...]]] = set()

    @own_modes(gradients=True)
    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = tuple(all_changes),
    ) -> None:
        """Fill `results` with the wanted properties.

        Args:
            atoms: the structure.
            properties: names of ASE's properties.
            system_changes: changes since the last call; ASE's interface.

        Raises:
            PropertyNotImplementedError: if a stress is asked for and there is no period or no
                volume, or energies of atoms and the energy is no sum of these. Layers and wires
                have the stress along their periods, per volume of the cell as ASE counts it.
            DataError: if the structure cannot be used.
            UserError: if members are asked for and there are none.
        """
        super().calculate(atoms, list(properties), list(system_changes))
        image: Any = self.atoms  # a copy that ASE has just made
        if "stress" in properties and not (image.pbc.any() and image.cell.rank == 3):
            raise PropertyNotImplementedError("a structure without period or volume has no stress")
        wanted: dict[str, Any] = {
            "forces": "forces" in properties or "stress" in properties,
            "stress": "stress" in properties,
            "std": self.with_std and not self.with_members,
        }
        kind = (frozenset(image.numbers.tolist()), tuple(image.pbc.tolist()))
        if not self._exact and kind not in self._compared:
            self._compared.add(kind)
            self._compare(image)
        try:
            predicted = self._fast.predict(self._converted(image), **wanted)
        except ValueError:
            # says what is wrong with a structure, if that is the reason
            from_ase(image, results=False)
            raise
        if self.predictor.baseline.model is not None:
            predicted = self.predictor.completed(predicted, from_ase(image, results=False))
        self.results = _results(predicted, self._in_ev)
        if not self._far and self._steps % _LOOKED_AT == 0:
            self._warn_of_far(image)
        self._steps += 1
        if "energies" in properties:
            self.results["energies"] = self._energies(image)
        if self.with_members:
            self._add_members(image, forces=bool(wanted["forces"]))

    def _warn_of_far(self, image: Atoms) -> None:
        """Say once that an atom has surroundings far from all of the training."""
        found = novelty(self.predictor, from_ase(image, results=False).structures)
        if not bool((found > 1).any()):
            return
        self._far = True
        atom = int(found.argmax())
        text = (
            f"the surroundings of atom {atom} ({image.symbols[atom]}) are far from all of the "
            f"training, {float(found[atom]):.2g} times what is usual there; energies and forces "
            "are extrapolated from here on, and this is said only once: compare some structures "
            "with references, or add such structures to the training set"
        )
        warnings.warn(DataWarning(text), stacklevel=3)

    def check_state(self, atoms: Atoms, tol: float = 1e-15) -> list[str]:
        """What has changed, numbers of atoms that the model needs included.

        Args:
            atoms: as they are now.
            tol: largest difference that is none.
        """
        changes = super().check_state(atoms, tol=tol)
        return changes + changed_arrays(self.predictor, atoms, self.atoms)

    def _energies(self, image: Atoms) -> np.ndarray:
        """What each atom adds to the energy, in eV."""
        target = self._fast.target
        energy, own = self.results["energy"], np.full(len(image), np.nan)
        if target.fragments is None:
            of_atoms = replace(self._fast, target=replace(target, per="atom"))
            own = self._in_ev * of_atoms.predict(self._converted(image)).values.double().numpy()
        largest = _ROUNDING[self.dtype] * (np.abs(own).sum() + abs(energy))
        if not abs(own.sum() - energy) <= largest:
            raise PropertyNotImplementedError(
                "the energy of this model is no sum over atoms: it is that of fragments together, "
                "or has a constant, another model as its baseline, or atoms without features"
            )
        return own

    def _add_members(self, image: Atoms, *, forces: bool) -> None:
        """What each member says, and the standard deviations."""
        fast = self._fast
        found = member_deviations(
            fast.representation, fast.model, fast.target, self._converted(image), forces=forces
        )
        if found is None:
            raise UserError(
                f"the model of '{fast.target.key}' has no members; train a committee, or leave "
                "with_members out"
            )
        energies = self._in_ev * found.values[0].double()
        self.results["energy_members"] = self.results["energy"] + energies.numpy()
        self.results["energy_std"] = float(spread_of(energies[None, :, None]))
        if found.forces is not None:
            of_atoms = self._in_ev * found.forces.double()
            self.results["forces_std"] = spread_of(of_atoms).numpy()
            self.results["forces_members"] = (
                self.results["forces"] + of_atoms.transpose(0, 1).numpy()
            )

    def _converted(self, image: Atoms) -> Structures:
        """The structure in the type of the computation, checked unless only atoms have moved."""
        cell = np.asarray(image.cell)
        own = (image.numbers.tobytes(), image.pbc.tobytes(), cell.tobytes())
        arrays = self.predictor.representation.arrays
        if arrays or own != self._checked:  # checks take a tenth of a step of a small structure
            dataset, self._checked = from_ase(image, results=False), own
            structures = dataset.with_arrays(arrays).structures
        else:
            structures = Structures.from_arrays(
                [image.positions], [image.numbers], [cell], [image.pbc]
            )
        if self.dtype == torch.float64:
            return structures
        # atoms that have left the cell, or a cluster that drifts, would lose digits
        positions = torch.from_numpy(image.get_positions(wrap=True))
        near = replace(structures, positions=positions - positions.mean(dim=0))
        return near.to(dtype=self.dtype)

    def _compare(self, image: Atoms) -> None:
        """Go back to the accuracy of the model if a structure like this one needs it."""
        moved = image.copy()
        moved.rattle(_DISPLACEMENT, seed=0)  # by symmetry a crystal may have no forces at all
        exact = self.predictor.without_model().predict(from_ase(moved, results=False), forces=True)
        found = self._fast.predict(self._converted(moved), forces=True)
        if exact.forces is None or found.forces is None or not len(exact.forces):
            return
        force = self._in_ev * float((found.forces - exact.forces).abs().max())
        change = self._in_ev * float((found.values - exact.values).abs()[0])
        energy = change / len(exact.forces)
        if force <= _FORCE_CHANGE and energy <= _ENERGY_CHANGE:
            return
        own = resolved_tolerance(self.predictor.representation.tolerance, torch.float64)
        text = (
            f"at a tolerance of {self.tolerance:g} in {str(self.dtype).removeprefix('torch.')} a "
            f"force of this model changes by {force:.2g} eV/Å and the energy by {energy:.2g} eV "
            f"per atom: it is computed at {own:g} in float64; more regularization would make it "
            "less sensitive"
        )
        warnings.warn(DataWarning(text), stacklevel=2)
        self.tolerance, self.dtype, self._exact = own, torch.float64, True
        self._fast = self.predictor.without_model()


def changed_arrays(predictor: Predictor, atoms: Atoms, before: Any) -> list[str]:
    """Names of numbers of atoms that a model needs and that are not what they were.

    Args:
        predictor: the model.
        atoms: as they are now.
        before: as they were, or None.
    """
    if before is None:
        return []
    changed = []
    for name in predictor.representation.arrays:
        own: list[Any] = [one.arrays.get(name, one.info.get(name)) for one in (atoms, before)]
        if not np.array_equal(own[0], own[1]):
            changed.append(name)
    return changed


def _results(predicted: Prediction, in_ev: float) -> dict[str, Any]:
    """By the names that ASE gives them, in its units."""
    energy = in_ev * float(predicted.values[0])
    results: dict[str, Any] = {"energy": energy, "free_energy": energy}
    if predicted.forces is not None:
        results["forces"] = in_ev * predicted.forces.double().numpy()
    if predicted.stress is not None:
        stress = in_ev * predicted.stress[0].double().numpy()
        results["stress"] = full_3x3_to_voigt_6_stress(stress)
    if predicted.std is not None:
        results["energy_std"] = in_ev * float(predicted.std[0])
    if predicted.forces_std is not None:
        results["forces_std"] = in_ev * predicted.forces_std.double().numpy()
    return results


def _with_baseline(predictor: Predictor, calculator: Any) -> Predictor:
    """With the calculator of its baseline; the columns of one geometry say nothing of the next."""
    if calculator is not None:
        return predictor.with_calculator(calculator)
    model = model_of(predictor.baseline.model)
    if model is None or model.live is not None:
        return predictor
    raise ValueError(
        f"the model predicts only what another one leaves of '{predictor.target.key}'; give the "
        f"calculator {model.name}: PredictorCalculator(model, baseline=calculator)"
    )
