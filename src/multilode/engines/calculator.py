"""Predictors in ASE: a calculator for energies, forces and stresses."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from ase import Atoms
from ase.calculators.calculator import Calculator, PropertyNotImplementedError, all_changes
from ase.stress import full_3x3_to_voigt_6_stress

from multilode.config.store import load
from multilode.data.ase_atoms import from_ase
from multilode.prediction.model_baselines import model_of
from multilode.prediction.predictor import Predictor


class PredictorCalculator(Calculator):
    """ASE's calculator around a predictor of an extensive target in eV.

    Args:
        predictor: a trained model of an energy, or the file that holds one.
        with_std: also estimate the standard deviation of the energy, as `energy_std`, and where
            members of a committee tell it, those of the forces, as `forces_std`.
        baseline: calculator of the other model that is the baseline of the predictor, if it is one.
            Energies, forces and stresses are those of the sum.

    Raises:
        ModelFileError: if the file cannot be used.
        ValueError: if the target of the predictor is not an energy: intensive, or of several
            columns; or if the calculator of its baseline is missing, or of another class.
    """

    implemented_properties: ClassVar[list[str]] = ["energy", "free_energy", "forces", "stress"]

    def __init__(
        self,
        predictor: Predictor | str | Path,
        *,
        with_std: bool = False,
        baseline: Any = None,
    ) -> None:
        super().__init__()
        if not isinstance(predictor, Predictor):
            predictor = load(predictor)
        target = predictor.target
        whole = target.reduce == "sum" and target.per == "structure"
        if not whole or predictor.model.n_targets != 1:
            raise ValueError(
                f"'{predictor.target.key}' is no energy: a calculator needs a target with "
                "reduce='sum' and one column"
            )
        self.predictor = _with_baseline(predictor, baseline)
        self.with_std = with_std

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
                volume. Layers and wires have the stress along their periods, per volume of the cell
                as ASE counts it.
            DataError: if the structure cannot be used.
        """
        super().calculate(atoms, list(properties), list(system_changes))
        image: Any = self.atoms  # a copy that ASE has just made
        if "stress" in properties and not (image.pbc.any() and image.cell.rank == 3):
            raise PropertyNotImplementedError("a structure without period or volume has no stress")
        wanted: dict[str, Any] = {
            "forces": "forces" in properties or "stress" in properties,
            "stress": "stress" in properties,
            "std": self.with_std,
        }
        predicted = self.predictor.predict(from_ase(image), **wanted)
        energy = float(predicted.values[0])
        self.results: dict[str, Any] = {"energy": energy, "free_energy": energy}
        if predicted.forces is not None:
            self.results["forces"] = predicted.forces.numpy()
        if predicted.stress is not None:
            self.results["stress"] = full_3x3_to_voigt_6_stress(predicted.stress[0].numpy())
        if predicted.std is not None:
            self.results["energy_std"] = float(predicted.std[0])
        if predicted.forces_std is not None:
            self.results["forces_std"] = predicted.forces_std.numpy()


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
