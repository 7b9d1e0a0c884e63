"""`multilode export`."""

import warnings
from pathlib import Path

from multilode.cli.output import OutputError, output_file
from multilode.errors import UserError, one_line


def run_export(model: Path, output: Path, *, unit: str | None, dtype: str, overwrite: bool) -> None:
    """Write a model for programs that read files of metatomic.

    Args:
        model: the model file.
        output: file to write, `.pt`.
        unit: of its energies, where it names none.
        dtype: of the numbers that go in and out, `float64` or `float32`.
        overwrite: whether a file that is there may go.

    Raises:
        UserError: if the model cannot be used in this way, metatomic is not installed, or the
            output cannot be written.
    """
    if output.suffix != ".pt":
        raise UserError(f"'{output}': files of metatomic end with .pt; name it {output.stem}.pt")
    if output.exists() and not overwrite:
        raise OutputError(
            f"'{output}' is there already; choose another place with -o, or replace it with "
            "--overwrite"
        )
    try:
        with warnings.catch_warnings():  # of TorchScript, in which metatomic is written
            warnings.filterwarnings("ignore", message=".*torch.jit")
            from multilode.engines.metatomic import export
    except ModuleNotFoundError as error:
        raise UserError(
            f"{error.name} is not installed; pip install 'multilode[metatomic]'"
        ) from error
    with output_file(output, inputs=[model]):
        capabilities = export(model, output, unit=unit, dtype=dtype)
    names = (
        f"{name} of structures{' and atoms' if one.sample_kind == 'atom' else ''}"
        for name, one in capabilities.outputs.items()
    )
    print(
        f"Written to {one_line(str(output))}: {', '.join(names)}, in eV; forces and stress by "
        "derivatives."
    )
    print(
        "From Python: import multilode.engines.metatomic first. Programs that load such files "
        "without Python, such as LAMMPS and GROMACS, cannot use it."
    )
