"""Keys that decide on a structure are read in all spellings, or refused in one sentence."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from multilode.data.io import read
from multilode.errors import DataWarning
from xyz_frames import ATOMS, BOX, CELL, refusal


@pytest.mark.parametrize("key", ["Lattice", "lattice", "LATTICE", "cell", "Cell", "unit_cell"])
@pytest.mark.parametrize(
    "text",
    [
        BOX,
        "'12 0 0 1 11 0 0 2 10'",
        "{12 0 0 1 11 0 0 2 10}",
        "[12, 0, 0, 1, 11, 0, 0, 2, 10]",
        "[[12, 0, 0], [1, 11, 0], [0, 2, 10]]",
        '"12.0D0 0 0 1 1.1d+01 0 0 2 10"',
        '"12,0,0,1,11,0,0,2,10"',
    ],
)
def test_every_spelling_of_a_cell(frame, key, text):
    data = frame(f"{key}={text} y=1")
    assert data.structures.cell[0].tolist() == CELL
    assert data.structures.pbc.tolist() == [[True] * 3]
    assert list(data.columns) == ["y"]


def test_case_4_lower_case_keys(frame):
    text = "properties=species:S:1:pos:R:3:force:R:3"
    data = frame(f"lattice={BOX} {text} y=1", extra=("1 2 3", "4 5 6", "7 8 9"))
    assert data.structures.cell[0].tolist() == CELL
    assert data.structures.pbc.tolist() == [[True] * 3]
    assert data.atom_columns["force"][0].tolist() == [[1, 2, 3], [4, 5, 6], [7, 8, 9]]


@pytest.mark.parametrize("key", ["pbc", "PBC", "Pbc", "periodic", "periodicity"])
@pytest.mark.parametrize(
    ("text", "flags"),
    [
        ("FFF", "FFF"),
        ('"TTF"', "TTF"),
        ('"T T F"', "TTF"),
        ("tft", "TFT"),
        ('"true false true"', "TFT"),
        ('"True,False,False"', "TFF"),
        ("[T, T, F]", "TTF"),
        ("[true, true, false]", "TTF"),
        ('"0 0 1"', "FFT"),
        ("001", "FFT"),
        ("110", "TTF"),
        ('".TRUE. .false. .true."', "TFT"),
        ('"p p f"', "TTF"),
        ('"yes no yes"', "TFT"),
    ],
)
def test_case_3_every_spelling_of_periodicity(frame, key, text, flags):
    if key.startswith("periodic") and text.strip('"') == text and text[0] != "[":
        text = f'"{" ".join(text)}"'
    data = frame(f"Lattice={BOX} {key}={text}")
    assert data.structures.pbc[0].tolist() == [flag == "T" for flag in flags]
    assert key not in data.columns


@pytest.mark.parametrize(("text", "periodic"), [("T", True), ("F", False), ("false", False)])
def test_one_flag_for_all_axes(frame, text, periodic):
    assert frame(f"Lattice={BOX} pbc={text}").structures.pbc[0].tolist() == [periodic] * 3


@pytest.mark.parametrize(
    "text", ["FF", '"T T"', "xyz", '"T T F F"', '"2 0 1"', '""', "None", "-1", "TTX"]
)
def test_what_is_not_three_flags_is_refused(frame, text):
    assert "not three flags" in refusal(frame, f"Lattice={BOX} pbc={text}")


@pytest.mark.parametrize(
    "comment",
    [
        'Lattice="9 0 0 0 9 0 0 0"',
        'Lattice="9 9 9"',
        'lattice="9 9 9 90 90 90"',
        "Lattice=",
        "Lattice=9",
        'Lattice="9 0 0 0 a 0 0 0 9"',
        'box="9 9 9"',
    ],
)
def test_what_is_not_nine_numbers_is_refused(frame, comment):
    said = refusal(frame, comment)
    assert "not nine numbers" in said
    assert "Lattice=" in said


def test_labels_that_only_sound_like_a_cell(frame):
    data = frame("lattice=fcc cell=3 box=a periodic=yes pbc='F F F'")
    assert data.labels("lattice") == ("fcc",)
    assert data.column("cell").tolist() == [3]
    assert not data.structures.pbc.any()


@pytest.mark.parametrize(
    "comment",
    [
        f'Lattice={BOX} lattice="9 0 0 0 9 0 0 0 9"',
        f'Lattice={BOX} Lattice="9 0 0 0 9 0 0 0 9"',
        f'Lattice={BOX} pbc="T T T" PBC="F F F"',
        "energy=-1 energy=-2",
    ],
)
def test_keys_that_contradict_each_other(frame, comment):
    assert "remove one of them" in refusal(frame, comment)


def test_case_2_more_columns_than_declared(frame):
    text = "Properties=species:S:1:pos:R:3:forces:R:3"
    said = refusal(frame, text, extra=("9 1 2 3",) * 3)
    assert "atom 0 has 8 columns, Properties declares 7" in said
    assert "atom 0 has 6 columns" in refusal(frame, text, extra=("9 1",) * 3)


@pytest.mark.parametrize(
    "more",
    ["f:R:9999999999", "f:R:-1", "f:R:0", "f:X:1", "f:R:a", "f:R", "pos:R:3", f"f:R:{'9' * 99}"],
)
def test_declarations_that_fit_no_column(frame, more):
    assert (
        "Properties declares"
        in refusal(frame, f"Properties=species:S:1:pos:R:3:{more}", extra=("1",) * 3)
        or more == "f:R"
    )


def test_a_list_of_columns_that_is_none(frame):
    assert "no list of columns" in refusal(frame, "Properties=species:S:1:pos")
    assert "no positions" in refusal(frame, "Properties=species:S:1:f:R:3")
    assert "no species" in refusal(frame, "Properties=a:S:1:pos:R:3")


def test_columns_without_a_name_are_noted(frame):
    with pytest.warns(DataWarning, match="2 columns after x, y, z have no name"):
        data = frame("a title", extra=("1 2",) * 3)
    assert not data.atom_columns


@pytest.mark.parametrize("name", ["species", "Species", "symbols", "element"])
@pytest.mark.parametrize("positions", ["pos", "Pos", "positions", "coordinates"])
def test_every_name_of_species_and_positions(frame, name, positions):
    data = frame(f"Properties={name}:S:1:{positions}:R:3")
    assert data.structures.species.tolist() == [8, 1, 1]
    assert data.structures.positions[1].tolist() == [0, 0.7, -0.4]


@pytest.mark.parametrize(
    "declared", ["Z:I:1:pos:R:3", "species:I:1:pos:R:3", "numbers:R:1:pos:R:3", None]
)
def test_case_15_atomic_numbers_are_elements(frame, declared):
    comment = "y=1" if declared is None else f"Properties={declared}"
    assert frame(comment, species=("8", "1", "01")).structures.species.tolist() == [8, 1, 1]


@pytest.mark.parametrize(
    ("label", "number"), [("D", 1), ("T", 1), ("CL", 17), ("h", 1), ("nA", 11)]
)
def test_case_15_isotopes_and_other_case_are_noted(frame, label, number):
    with pytest.warns(DataWarning, match=rf"a.xyz, frame 0: '{label}' is read as"):
        data = frame("y=1", species=("O", label, label))
    assert data.structures.species.tolist() == [8, number, number]


@pytest.mark.parametrize("label", ["O1", "OW", "H_2", "Fe3+", "C-13", "119", "-1", "1.5", "Qq"])
def test_case_15_labels_are_no_elements(frame, label):
    said = refusal(frame, "y=1", species=("O", "H", label))
    assert f"atom 2: '{label}' is not a chemical element" in said


def test_labels_beside_atomic_numbers(frame):
    text = "Properties=species:S:1:pos:R:3:Z:I:1"
    data = frame(text, extra=("8", "1", "1"), species=("OW", "HW1", "H"))
    assert data.structures.species.tolist() == [8, 1, 1]
    said = refusal(frame, text, extra=("8", "1", "6"))
    assert "atom 2 is 'H' with the atomic number 6" in said


@pytest.mark.parametrize("key", ["units", "Unit", "pos_units", "cell_unit"])
@pytest.mark.parametrize("unit", ["bohr", "Bohr", "au", "a.u.", "atomic_units", "nm"])
def test_lengths_in_other_units_are_refused(frame, key, unit):
    assert "read in Å" in refusal(frame, f"Lattice={BOX} {key}={unit}")


@pytest.mark.parametrize("unit", ["Angstrom", "A", "eV", "kcal/mol"])
def test_units_that_are_not_of_other_lengths(frame, unit):
    assert frame(f"units={unit}").labels("units") == (unit,)


def test_a_title_that_names_another_unit_is_noted(frame):
    with pytest.warns(DataWarning, match="says '\\(bohr\\)'"):
        frame("water (bohr)")


def test_frames_of_i_pi(frame):
    bohr = 0.529177210
    data = frame(
        "# CELL(abcABC): 20 22 24 90 90 90  Step: 7  Bead: 0 positions{angstrom} cell{angstrom}"
    )
    assert data.structures.pbc.all()
    np.testing.assert_allclose(data.structures.cell[0], np.diag([20, 22, 24]), atol=1e-12)
    assert data.column("Step").tolist() == [7]
    atomic = frame("# CELL{H}: 20 1 0 0 22 0 0 0 24 Traj: positions{atomic_unit} cell{atomic_unit}")
    np.testing.assert_allclose(atomic.structures.cell[0, 1], np.array([1, 22, 0]) * bohr, rtol=1e-8)
    np.testing.assert_allclose(
        atomic.structures.positions[1], np.array([0, 0.7, -0.4]) * bohr, rtol=1e-8
    )
    assert "no positions" in refusal(frame, "# CELL(abcABC): 2 2 2 90 90 90 forces{atomic_unit}")


def test_comment_lines_of_cp2k_and_xtb(frame):
    data = frame(" i =        5, time =        2.500, E =       -17.1644476")
    assert [data.column(key)[0] for key in ("i", "time", "E")] == [5, 2.5, -17.1644476]
    assert frame(" energy: -5.07 gnorm: 0.0").column("energy").tolist() == [-5.07]


def test_lattice_vectors_after_the_atoms(tmp_path):
    rows = "".join(f"{s} {xyz}\n" for s, xyz in ATOMS)
    (tmp_path / "v.xyz").write_text(f"3\ntitle\n{rows}VEC1 9 0 0\nVEC2 0 8 0\n3\n\n{rows}")
    data = read(tmp_path / "v.xyz")
    assert data.structures.pbc.tolist() == [[True, True, False], [False] * 3]
    assert data.structures.cell[0].tolist() == [[9, 0, 0], [0, 8, 0], [0, 0, 0]]


@pytest.mark.parametrize("key", ["stress", "virial", "REF_stress", "dft_virial"])
def test_cases_13_and_14_stresses_of_six_and_nine_numbers(frame, key):
    full = frame(f'Lattice={BOX} {key}="1 6 5 6 2 4 5 4 3"').column(key)
    np.testing.assert_array_equal(full[0], [[1, 6, 5], [6, 2, 4], [5, 4, 3]])
    six = frame(f'Lattice={BOX} {key}="1 2 3 4 5 6"').column(key)
    np.testing.assert_array_equal(six[0], [1, 2, 3, 4, 5, 6])


def test_case_12_three_numbers_of_three_atoms(frame):
    data = frame('polarization="0.1 0.2 0.3" dipole="1 2 3" shift="4 5 6"')
    assert data.column("polarization").tolist() == [[0.1, 0.2, 0.3]]
    assert data.column("shift").tolist() == [[4, 5, 6]]
    assert not data.atom_columns


def test_forces_of_the_comment_line_are_those_of_atoms(frame):
    data = frame('forces="1 2 3 4 5 6 7 8 9" charges="-1 0.5 0.5"')
    assert data.atom_column("forces").tolist() == [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
    assert data.atom_column("charges").tolist() == [-1, 0.5, 0.5]


def test_an_empty_text_does_not_swallow_the_next_key(frame):
    data = frame('config_type="" y=1 name= z=2')
    assert data.column("y").tolist() == [1]
    assert data.column("z").tolist() == [2]
    assert data.labels("config_type") == ("",)


def test_messages_are_short_and_have_no_control_characters(frame):
    said = refusal(frame, "y=1", species=("\x1b[31mO", "H", "H" * 3000))
    assert "is not a chemical element" in said
    refusal(frame, f"Properties=species:S:1:pos:R:3:{'x' * 5000}:R:2")


@given(flags=st.lists(st.booleans(), min_size=3, max_size=3), data=st.data())
def test_any_mixture_of_flags(tmp_path_factory, flags, data):
    words = [
        data.draw(st.sampled_from(["T", "true", "1"] if f else ["F", "False", "0"])) for f in flags
    ]
    text = data.draw(st.sampled_from([" ", ",", ", ", "  "])).join(words)
    path = tmp_path_factory.getbasetemp() / "flags.xyz"
    path.write_text(f'1\nLattice={BOX} pBc="{text}"\nO 0 0 0\n')
    assert read(path).structures.pbc[0].tolist() == flags
