"""Models in files of metatomic, for ASE, i-PI and all that calls such files from Python.

The file holds the bytes of the model file and calls one operator, which is registered here: a
program that loads it has to import this module before. Programs without Python cannot.
"""

import hashlib
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple, no_type_check

import torch
from metatensor.torch import Labels, TensorBlock, TensorMap  # pyright: ignore
from metatomic.torch import (  # pyright: ignore[reportMissingImports]
    AtomisticModel,
    ModelCapabilities,
    ModelMetadata,
    ModelOutput,
    System,
)
from torch import Tensor

from multilode.config.store import save
from multilode.engines.energies import Energies, EnergyModel
from multilode.engines.interaction_range import interaction_range
from multilode.errors import UserError
from multilode.expansion.accuracy import resolved_tolerance
from multilode.files import replacing
from multilode.prediction.predictor import Predictor
from multilode.structures.batch import Structures

# What is shown when it is missing says what to do
_OPERATOR = "first_import_multilode_engines_metatomic"
_SCHEMA = (
    f"{_OPERATOR}(Tensor file, str digest, str unit, str[] wanted, bool per_atom, "
    "Tensor positions, Tensor types, Tensor cells, Tensor pbc, Tensor owners, Tensor chosen) "
    "-> Tensor[]"
)
_OUTPUTS: dict[str, Callable[[Energies], Any]] = {
    "energy": lambda rows: rows.values,
    "energy_ensemble": lambda rows: rows.members,
    "energy_uncertainty": lambda rows: rows.std,
}
_WORDS = {
    "energy": "energy",
    "energy_ensemble": "energies of the members of the committee",
    "energy_uncertainty": "standard deviation of the energy",
}
_TYPES = {"float64": torch.float64, "float32": torch.float32}
_SINGLE = 1e-4  # tolerance of expansions in single precision, unless that of the model is coarser
_MODELS: dict[tuple[str, str, torch.dtype], EnergyModel] = {}
_REFERENCES = "https://doi.org/10.1063/1.5128375"


def export(
    model: Predictor | str | Path,
    path: str | Path,
    *,
    unit: str | None = None,
    dtype: str = "float64",
) -> Any:
    """Write a model of an energy to a file of metatomic, atomically.

    It gives energies, those of atoms if the model has them, members and errors of committees, in
    eV and Å; forces and stresses are derivatives, in double precision as accurate as in
    `Predictor.predict`.

    Args:
        model: a trained model, or the file that holds one.
        path: file to write, with the suffix `.pt`.
        unit: of the energies, where the model names none itself.
        dtype: of all numbers that go in and out, "float64", or "float32" for programs that have no
            other; expansions then have a tolerance of 1e-4, unless that of the model is coarser.

    Returns:
        What metatomic calls the capabilities of the model.

    Raises:
        ModelFileError: if the model file cannot be used.
        UserError: if the model is no energy, or needs more than atoms; for another type.
        OSError: if the file cannot be written.
    """
    if dtype not in _TYPES:
        raise UserError(f"dtype is {dtype!r}; use 'float64' or 'float32'")
    energy = EnergyModel.of(model, unit)
    content = _content(model)
    file = torch.frombuffer(bytearray(content), dtype=torch.uint8)
    module: Any = _Exported(file, hashlib.sha256(content).hexdigest(), unit or "")
    capabilities = _capabilities(energy, dtype)
    whole = AtomisticModel(module.eval(), _metadata(energy), capabilities)
    with replacing(path) as temporary, _own_libraries(), warnings.catch_warnings():
        # metatomic is written for TorchScript, whose end PyTorch announces
        warnings.filterwarnings("ignore", message=".*torch.jit")
        whole.save(str(temporary))
    return capabilities


@contextmanager
def _own_libraries() -> Iterator[None]:
    """Without the libraries of this process: the operator loads what it needs itself."""
    loaded = torch.ops.loaded_libraries
    torch.ops.loaded_libraries = set()
    try:
        yield
    finally:
        torch.ops.loaded_libraries = loaded


@no_type_check  # its types are those of TorchScript
class _Exported(torch.nn.Module):
    """Calls the operator and labels what it returns.

    Args:
        file: bytes of the model file.
        digest: of these, by which the model is found again.
        unit: of its energies, where it names none.
    """

    file: Tensor

    def __init__(self, file: Tensor, digest: str, unit: str) -> None:
        super().__init__()
        self.register_buffer("file", file)
        self.digest, self.unit = digest, unit

    def forward(
        self,
        systems: List[System],
        outputs: Dict[str, ModelOutput],
        selected_atoms: Optional[Labels],
    ) -> Dict[str, TensorMap]:
        """What is asked for, of all systems together."""
        found: Dict[str, TensorMap] = {}
        for per_atom in (False, True):
            wanted: List[str] = []
            for name, output in outputs.items():
                if (output.sample_kind == "atom") == per_atom:
                    wanted.append(name)
            if len(wanted) > 0:
                values, samples = self.evaluate(systems, wanted, per_atom, selected_atoms)
                for k, name in enumerate(wanted):
                    found[name] = self.labelled(values[k], samples)
        return found

    def evaluate(
        self,
        systems: List[System],
        wanted: List[str],
        per_atom: bool,
        selected_atoms: Optional[Labels],
    ) -> Tuple[List[Tensor], Labels]:
        """Values of all outputs of a kind, and the labels of their rows."""
        device = self.file.device
        counts = torch.tensor([len(system) for system in systems], device=device)
        index = torch.arange(len(systems), device=device)
        owners = torch.repeat_interleave(index, counts)
        starts = torch.cumsum(counts, 0) - counts
        atoms = torch.arange(len(owners), device=device) - starts[owners]
        chosen = torch.arange(len(owners), device=device)
        if selected_atoms is not None:
            pairs = selected_atoms.values.to(torch.int64)
            chosen = starts[pairs[:, 0]] + pairs[:, 1]
        values = torch.ops.multilode.first_import_multilode_engines_metatomic(
            self.file,
            self.digest,
            self.unit,
            wanted,
            per_atom,
            torch.cat([system.positions for system in systems]),
            torch.cat([system.types for system in systems]),
            torch.stack([system.cell for system in systems]),
            torch.stack([system.pbc for system in systems]),
            owners,
            chosen,
        )
        if not per_atom:
            return values, Labels(["system"], index[:, None].to(torch.int32))
        rows = torch.stack([owners, atoms], dim=1)[chosen].to(torch.int32)
        return values, Labels(["system", "atom"], rows)

    def labelled(self, values: Tensor, samples: Labels) -> TensorMap:
        """One block, as the outputs of energies are."""
        zero = torch.zeros(1, 1, dtype=torch.int32, device=values.device)
        columns = torch.arange(values.shape[1], dtype=torch.int32, device=values.device)
        block = TensorBlock(
            values=values,
            samples=samples,
            components=torch.jit.annotate(List[Labels], []),
            properties=Labels(["energy"], columns[:, None]),
        )
        return TensorMap(keys=Labels(["_"], zero), blocks=[block])


def _evaluate(
    file: Tensor,
    digest: str,
    unit: str,
    wanted: Sequence[str],
    per_atom: bool,
    positions: Tensor,
    types: Tensor,
    cells: Tensor,
    pbc: Tensor,
    owners: Tensor,
    chosen: Tensor,
) -> list[Tensor]:
    """Outputs by name, one row for each system or chosen atom."""
    structures = Structures(
        positions=positions,
        species=types.to(torch.int64),
        cell=cells,
        pbc=pbc,
        structure_index=owners,
    )
    model = _model(file, digest, unit, positions.dtype)
    some = len(chosen) != len(owners)
    if list(wanted) == ["energy"]:
        rows = Energies(model.atoms(structures) if per_atom or some else model.energies(structures))
    else:
        rows = model.with_spread(structures, per_atom=per_atom or some)
    if per_atom or some:
        rows = rows.chosen(chosen)
    if some and not per_atom:
        rows = rows.summed(owners[chosen], len(cells))
    found = (_OUTPUTS[name](rows).to(positions.dtype) for name in wanted)
    return [values[:, None] if values.dim() == 1 else values for values in found]


def _model(file: Tensor, digest: str, unit: str, dtype: torch.dtype) -> EnergyModel:
    """The model of some bytes, read once."""
    key = (digest, unit, dtype)
    if key not in _MODELS:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.safetensors"
            path.write_bytes(file.cpu().numpy().tobytes())
            model = EnergyModel.of(path, unit or None)
        if dtype == torch.float32:
            own = resolved_tolerance(model.predictor.representation.tolerance, torch.float64)
            coarse = model.predictor.with_tolerance(max(_SINGLE, own))
            model = replace(model, predictor=coarse)
        _MODELS[key] = model
    return _MODELS[key]


def _content(model: Predictor | str | Path) -> bytes:
    """The model file, which is that of a training where there is one."""
    if not isinstance(model, Predictor):
        return Path(model).read_bytes()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        save(model, path)
        return path.read_bytes()


def _capabilities(energy: EnergyModel, dtype: str) -> Any:
    """What the model gives, found by asking it."""
    trial = energy.trial()
    with torch.no_grad():
        rows = energy.with_spread(trial)
        of_atoms = energy.with_spread(trial, per_atom=True) if energy.has_atoms else None
    outputs = {}
    for name, output in _OUTPUTS.items():
        if output(rows) is not None:
            known = of_atoms is not None and output(of_atoms) is not None
            kind = "atom" if known else "system"
            outputs[name] = ModelOutput(sample_kind=kind, unit="eV", description=_WORDS[name])
    return ModelCapabilities(
        outputs=outputs,
        atomic_types=list(energy.predictor.representation.species),
        interaction_range=interaction_range(energy.predictor),
        length_unit="Angstrom",
        supported_devices=["cpu"],  # on no other one was it tried
        dtype=dtype,
    )


def _metadata(energy: EnergyModel) -> Any:
    return ModelMetadata(
        name=f"multilode model of '{energy.predictor.target.key}'",
        description=(
            f"{energy.predictor!r} It needs Python: 'import multilode.engines.metatomic' before "
            "the file is loaded."
        ),
        references={"architecture": [_REFERENCES]},
    )


_LIBRARY = torch.library.Library("multilode", "FRAGMENT")
_LIBRARY.define(_SCHEMA)
_LIBRARY.impl(_OPERATOR, _evaluate, "CompositeImplicitAutograd")
