"""`multilode export`: a file of metatomic, or one line that says why not."""

import subprocess
import sys
import warnings

import pytest

from multilode.cli.main import run


@pytest.fixture
def metatomic():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is deprecated
        yield pytest.importorskip(
            "metatomic.torch",
            reason="metatomic is not installed: pip install 'multilode[metatomic]'",
        )


def test_a_model_is_exported_once(metatomic, model, capsys):
    assert run(["export", model, "-o", "model.pt"]) == 0
    said = capsys.readouterr().out
    assert "Written to model.pt: energy of structures and atoms, in eV" in said
    assert "without Python, such as LAMMPS" in said
    assert metatomic.load_atomistic_model("model.pt").capabilities().atomic_types == [6, 11, 17]
    assert run(["export", model, "-o", "model.pt"]) == 2
    assert "is there already" in capsys.readouterr().err
    assert run(["export", model, "-o", "model.pt", "--overwrite"]) == 0


def test_single_precision_can_be_asked_for(metatomic, model):
    assert run(["export", model, "-o", "model.pt", "--dtype", "float32"]) == 0
    assert metatomic.load_atomistic_model("model.pt").capabilities().dtype == "float32"


def test_what_cannot_be_done_is_one_line(metatomic, model, folder, capsys):
    for words, said in (
        ([model, "-o", "model.json"], "name it model.pt"),
        (["none.safetensors", "-o", "model.pt"], "there is no such model file"),
        ([model, "-o", "model.pt", "--unit", "kcal/mol"], "the model has 'gap' in eV"),
        ([model, "-o", "model.pt", "--dtype", "half"], "use 'float64' or 'float32'"),
    ):
        assert run(["export", *words]) == 2
        error = capsys.readouterr().err
        assert said in error
        assert len(error.splitlines()) == 1
    assert not list(folder.glob("*.pt"))


def test_without_metatomic_the_extra_is_named(model):
    code = (
        "import sys; sys.modules['metatomic'] = sys.modules['metatensor'] = None\n"
        "from multilode.cli.main import run\n"
        f"sys.exit(run(['export', {model!r}, '-o', 'model.pt']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 2
    assert "pip install 'multilode[metatomic]'" in done.stderr
