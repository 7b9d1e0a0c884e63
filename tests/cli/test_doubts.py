"""What is probably a mistake is said, with its frames, and the work goes on."""

import json
from pathlib import Path

import numpy as np
import pytest
from ase.io import read, write

from multilode.cli.main import run
from springs import springs


def change(old, new, file="config.yaml"):
    text = Path(file).read_text()
    assert old in text
    Path(file).write_text(text.replace(old, new))


def trained(capsys):
    """Notes on the terminal, and doubts in the metrics."""
    assert run(["train", "config.yaml", "-o", "out"]) == 0
    said = capsys.readouterr().err
    found = json.loads(Path("out/metrics.json").read_text())["doubts"]
    for doubt in found:
        words = {"overlap": "in the training set", "constant": "has the same value"}
        assert words.get(doubt["kind"], f"note: {doubt['text']}") in said
        assert doubt["kind"] in Path("out/report.html").read_text()
    return {doubt["kind"]: doubt for doubt in found}


def edited(change_of, file="train.xyz"):
    images = read(file, ":")
    for k, image in enumerate(images):
        change_of(k, image)
    write(file, images, format="extxyz")


def numbers(doubt):
    return [frame["frame"] for frame in doubt["frames"]]


def test_good_data_raise_no_doubts(folder, capsys):
    assert trained(capsys) == {}


def test_copies_in_the_training_set(folder, capsys):
    images = read("train.xyz", ":")
    for image in images[:3]:
        image.rotate(40, (1, 2, 3))
        image.translate((1, 2, 3))
    write("train.xyz", [*read("train.xyz", ":"), *images[:3]], format="extxyz")
    found = trained(capsys)
    assert numbers(found["duplicates"]) == [24, 25, 26]
    assert "contradiction" not in found


def test_one_geometry_with_two_values(folder, capsys):
    images = read("train.xyz", ":")
    again = images[4].copy()
    again.info["gap"] = images[4].info["gap"] + 0.3
    write("train.xyz", [*images, again], format="extxyz")
    assert numbers(trained(capsys)["contradiction"]) == [4, 24]


def test_a_test_set_that_was_trained_on(folder, capsys):
    """Case 43."""
    change("test: test.xyz", "test: train.xyz")
    assert len(numbers(trained(capsys)["overlap"])) == 24


def test_one_value_far_off(folder, capsys):
    edited(lambda k, image: image.info.update(gap=image.info["gap"] + 1000 * (k == 7)))
    assert numbers(trained(capsys)["far off"]) == [7]


def test_test_set_in_another_unit(folder, capsys):
    edited(lambda k, image: image.info.update(gap=image.info["gap"] * 23.06), "test.xyz")
    assert "other unit" in trained(capsys)


def test_the_same_value_everywhere(folder, capsys):
    """Case 22: ASE gives the energy 0 to frames of LAMMPS dumps."""
    for file in ("train.xyz", "test.xyz"):
        edited(lambda k, image: image.info.update(gap=0.0), file)
    assert "constant" in trained(capsys)


def test_a_vector_as_three_numbers(folder, capsys):
    for file in ("train.xyz", "test.xyz"):
        edited(
            lambda k, image: image.info.update(gap=image.positions[2] * (1.0, 0.5, 0.2 + 0.1 * k)),
            file,
        )
    doubt = trained(capsys)["scalars"]
    assert "target.tensor: vector" in doubt["text"]


def test_a_unit_that_nobody_names(folder, capsys):
    change(", unit: eV", "")
    assert "unit of 'gap' is unknown" in trained(capsys)["unit"]["text"]
    assert "eV" not in Path("out/metrics.json").read_text()


def test_few_structures(folder, capsys):
    write("train.xyz", read("train.xyz", ":3"), format="extxyz")
    change("estimator: {regularization: 1e-8, term_weights: [1.0, 1.0]}", "")
    found = trained(capsys)
    assert {"few structures", "fewer structures than folds"} <= set(found)


def test_one_crystal_among_molecules(folder, capsys):
    def crystal(k, image):
        if k == 5:
            image.set_cell([12.0, 12.0, 12.0])
            image.pbc = True

    edited(crystal)
    assert numbers(trained(capsys)["periodicity"]) == [5]


def test_a_cell_without_periods(folder, capsys):
    edited(lambda k, image: image.set_cell([12.0, 12.0, 12.0]) if k < 2 else None)
    assert numbers(trained(capsys)["cell without periods"]) == [0, 1]


def test_noise_is_learned_no_better_than_its_mean(folder, capsys):
    rng = np.random.default_rng(0)
    for file in ("train.xyz", "test.xyz"):
        edited(lambda k, image: image.info.update(gap=rng.normal()), file)
    assert "no better than the mean" in trained(capsys)


@pytest.mark.parametrize(
    ("factor", "kind"), [(1, None), (-1, "sign of forces"), (27.2, "unit of forces")]
)
def test_forces_against_energies(folder, capsys, factor, kind):
    """Springs between three atoms; their forces, these with a wrong sign, or in another unit."""

    def put_springs(k, image):
        image.info["gap"], forces = springs(image, k, 0.08)
        image.arrays["slopes"] = forces * factor

    for file in ("train.xyz", "test.xyz"):
        edited(put_springs, file)
    change("unit: eV", "unit: eV, forces: slopes")
    change("estimator: {reg", "estimator: {kind: ridge, reg")
    found = set(trained(capsys)) & {"sign of forces", "unit of forces"}
    assert found == ({kind} if kind else set())


def test_check_of_a_configuration(folder, capsys):
    edited(lambda k, image: image.info.update(gap=image.info["gap"] + 1000 * (k == 7)))
    assert run(["check", "config.yaml"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "train.xyz frame 7" in said
    assert "24 rows of" in said
    assert "GB" in said
    assert sorted(path.name for path in Path().iterdir()) == [
        "config.yaml", "test.xyz", "train.xyz",
    ]  # fmt: skip


def test_check_of_structures(folder, capsys):
    write("twice.xyz", read("train.xyz", ":4") + read("train.xyz", "1:2"), format="extxyz")
    assert run(["check", "twice.xyz"]) == 0
    said = capsys.readouterr().out
    assert "twice.xyz frame 4" in said
    assert "gap" in said
    assert run(["check", "train.xyz"]) == 0
    assert "No doubts." in capsys.readouterr().out
    assert run(["check", "none.xyz"]) == 2
