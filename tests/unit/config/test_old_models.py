"""Model files of earlier formats predict what they predicted when they were written.

The files and the numbers were made by `tests/reference/models/make_models.py`.
"""

import json
import runpy
from pathlib import Path

import pytest
import torch

from multilode.config.store import FORMAT_VERSION, load, read_metadata, save
from multilode.structures.batch import Structures

# the second structure is there to have no center
pytestmark = pytest.mark.filterwarnings(
    "ignore:structure 1. has no atom of the elements:multilode.errors.DataWarning"
)

FOLDER = Path(__file__).parents[2] / "reference" / "models"
FILES = sorted(FOLDER.glob("*.safetensors"))
MAKER = runpy.run_path(str(FOLDER / "make_models.py"))
STRUCTURES = Structures.from_arrays(*MAKER["clusters"](3, seed=2))
EXPECTED = {
    f"{path.stem}_{name}": parts
    for path in sorted(FOLDER.glob("format*.json"))
    for name, parts in json.loads(path.read_text()).items()
}


# A standard deviation is the square root of a small difference of large numbers: what rounds in
# the products, whose order the processor chooses, comes out larger
ROUNDING = {"values": 1e-12, "forces": 1e-12, "std": 1e-9}


def check(predictor, expected):
    found = predictor.predict(STRUCTURES, std="std" in expected, forces="forces" in expected)
    for part, numbers in expected.items():
        wanted = torch.tensor(numbers, dtype=torch.float64)
        # components of a tensor cancel one another: they round like the largest of them
        bound = ROUNDING[part] * max(1.0, float(wanted.nan_to_num().abs().max()))
        torch.testing.assert_close(
            getattr(found, part), wanted, rtol=ROUNDING[part], atol=bound, equal_nan=True
        )


def test_every_file_has_its_predictions():
    assert sorted(EXPECTED) == [path.stem for path in FILES]
    assert {read_metadata(path)["format_version"] for path in FILES} == {1, 2, 3, 4, 5, 6, 7}


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_old_files_predict_what_they_did_and_so_do_their_copies(path, tmp_path):
    predictor = load(path)
    check(predictor, EXPECTED[path.stem])
    save(predictor, tmp_path / "new")
    assert read_metadata(tmp_path / "new")["format_version"] == FORMAT_VERSION
    check(load(tmp_path / "new"), EXPECTED[path.stem])
