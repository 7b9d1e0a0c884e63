"""Dipoles and polarizabilities of models in ASE."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from ase import Atoms, units
from ase.calculators.calculator import Calculator, all_changes

from multilode.config.store import load
from multilode.data.ase_atoms import from_ase
from multilode.data.units import UnitError, factor, parsed
from multilode.engines.calculator import changed_arrays
from multilode.numerics.modes import own_modes
from multilode.prediction.predictor import Predictor

# property and unit of ASE, by the kind of tensor
_PROPERTIES = {"vector": ("dipole", "e Å"), "symmetric": ("polarizability", "e^2 Å^2/eV")}
_COULOMB = units.Hartree * units.Bohr  # e^2 / (4 pi epsilon_0) in eV Å


class TensorCalculator(Calculator):
    """ASE's calculator around a predictor of a vector or of a symmetric tensor.

    A vector is ASE's `dipole`, in e Å; a symmetric tensor is its `polarizability`, in e^2 Å^2/eV,
    also where the model has volumes such as Å^3 or bohr^3.

    Args:
        predictor: a trained model of such a target that is a sum over atoms, or its file.
        with_std: also estimate standard deviations, as `dipole_std` or `polarizability_std`.
        unit: of the model, such as "D" or "bohr^3", where it names none itself.

    Raises:
        ModelFileError: if the file cannot be used.
        UnitError: if the unit is another kind of unit, or nobody says which it is.
        ValueError: if the target is of another kind.
    """

    implemented_properties: ClassVar[list[str]] = [name for name, _ in _PROPERTIES.values()]

    def __init__(
        self,
        predictor: Predictor | str | Path,
        *,
        with_std: bool = False,
        unit: str | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(predictor, Predictor):
            predictor = load(predictor)
        target = predictor.target
        if target.tensor not in _PROPERTIES or target.per != "structure" or target.reduce != "sum":
            raise ValueError(
                f"'{target.key}' is neither a dipole nor a polarizability: a target with "
                "reduce='sum' and the tensor 'vector' or 'symmetric' is; for energies there is "
                "PredictorCalculator"
            )
        self.predictor, self.with_std = predictor, with_std
        self.kind, wanted = _PROPERTIES[target.tensor]
        self.implemented_properties = [self.kind]  # type: ignore[misc] - of this one
        self._size = _size(target.unit, unit, wanted, target.key)

    @own_modes()
    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("dipole",),
        system_changes: Sequence[str] = tuple(all_changes),
    ) -> None:
        """Fill `results` with the tensor.

        Args:
            atoms: the structure.
            properties: names of ASE's properties.
            system_changes: changes since the last call; ASE's interface.

        Raises:
            DataError: if the structure cannot be used.
        """
        super().calculate(atoms, list(properties), list(system_changes))
        image: Any = self.atoms
        predicted = self.predictor.predict(from_ase(image, results=False), std=self.with_std)
        self.results = {self.kind: self._size * predicted.values[0].double().numpy()}
        if predicted.std is not None:
            self.results[f"{self.kind}_std"] = self._size * predicted.std[0].double().numpy()

    def check_state(self, atoms: Atoms, tol: float = 1e-15) -> list[str]:
        """What has changed, numbers of atoms that the model needs included.

        Args:
            atoms: as they are now.
            tol: largest difference that is none.
        """
        changes = super().check_state(atoms, tol=tol)
        return changes + changed_arrays(self.predictor, atoms, self.atoms)


def _size(named: str, given: str | None, wanted: str, key: str) -> float:
    """The unit of a model in that of ASE."""
    unit = named or given
    if unit is None:
        raise UnitError(
            f"the model does not name the unit of '{key}', and ASE has it in {wanted}; say which "
            "it is: TensorCalculator(model, unit=...)"
        )
    if named and given is not None and factor(given, named) != 1:
        raise UnitError(f"the model has '{key}' in {named}, but unit is {given!r}; leave it out")
    if "eV" in wanted and parsed(unit).kind == parsed("Å^3").kind:
        return factor(unit, "Å^3") / _COULOMB
    return factor(unit, wanted)
