"""Files appear complete or not at all."""

import json
import os

import pytest

from multilode.files import folder_for_results, replacing, write_json, write_text


def test_a_file_takes_the_place_of_the_old_one(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "first ±")
    write_text(path, "second ±")
    assert path.read_text(encoding="utf-8") == "second ±"
    assert os.listdir(tmp_path) == ["a.txt"]
    assert path.stat().st_mode & 0o600 == 0o600


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_interrupted_block_leaves_everything_as_it_was(tmp_path, error):
    path = tmp_path / "a.xyz.gz"
    path.write_text("old")

    def interrupted():
        with replacing(path) as temporary:
            assert temporary.name.endswith(".xyz.gz")
            temporary.write_text("half")
            raise error

    with pytest.raises(error):
        interrupted()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.xyz.gz"]


def test_what_is_not_a_regular_file_is_not_replaced(tmp_path):
    with pytest.raises(OSError, match="not a regular file"):
        write_text(tmp_path, "x")
    with pytest.raises(FileNotFoundError):
        write_text(tmp_path / "nowhere" / "a.txt", "x")


def test_numbers_that_json_does_not_have_are_refused(tmp_path):
    write_json(tmp_path / "a.json", {"é": [1.5, None]})
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == {"é": [1.5, None]}
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "b.json", {"x": float("nan")})
    assert os.listdir(tmp_path) == ["a.json"]


def test_a_folder_that_stays_empty_is_removed(tmp_path):
    with folder_for_results(tmp_path / "a" / "b"):
        assert (tmp_path / "a" / "b").is_dir()
    assert not (tmp_path / "a").exists()
    with folder_for_results(tmp_path / "a" / "b"):
        (tmp_path / "a" / "c").write_text("kept")
    assert os.listdir(tmp_path / "a") == ["c"]
