"""Whatever stands in an XYZ file, it is read or refused with one short sentence."""

import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multilode.data.dataset import DataError
from multilode.data.io import read
from multilode.errors import DataWarning

FRAME = """2
Lattice="9 0 0 0 8 0 0 0 7" Properties=species:S:1:pos:R:3:forces:R:3 pbc="T T F" name="a b"
O 0.0 0.0 0.1 0.1 0.2 0.3
H 0.0 0.7 -0.4 -0.1 -0.2 -0.3
"""


def outcome(path, text):
    """Number of structures, or the refusal."""
    path.write_bytes(text.encode("utf-8", errors="surrogatepass"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        try:
            return len(read(path))
        except DataError as error:
            said = str(error)
    assert said.isprintable()
    assert len(said) <= 600
    return said


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("2\n", "-2\n", "number of atoms is expected"),
        ("2\n", "1_0\n", "number of atoms is expected"),
        ("2\n", "9" * 5000 + "\n", "number of atoms is expected"),
        ("2\n", "99999999999\n", "truncated"),
        ("pos:R:3:", "pos:R:99999999999:", "declares"),
        ('"a b"', '"a b', "begins with"),
        ('"a b"', "[" * 50000, "begins with"),
        ("0.1 0.2 0.3", "*** 0.2 0.3", "atom 0 has '***', which is no number"),
        ("0.1 0.2 0.3", "1_0 0.2 0.3", "which is no number"),
        ("0.7 -0.4 -0.1", "0.7 -0.4 -0.1 1", "8 columns"),
        ("name=", 'multilode="_JSON {\\"shapes\\": {\\"forces\\": [7]}}" name=', "damaged"),
        ("name=", 'multilode="_JSON {\\"arrays\\": {\\"q\\": [7]}}" name=', "damaged"),
        ("name=", 'multilode="_JSON {\\"values\\": 3}" name=', "damaged"),
    ],
)
def test_damage_is_named(tmp_path, old, new, said):
    assert said in outcome(tmp_path / "a.xyz", FRAME.replace(old, new, 1))


def test_separators_that_python_strips_but_does_not_convert(tmp_path):
    """A number behind the sign \\x1f was a traceback."""
    for sign in "\x1c\x1d\x1e\x1f":
        said = outcome(tmp_path / "a.xyz", sign + FRAME)
        assert "a number of atoms is expected" in said


def test_json_that_is_none_is_a_text(tmp_path):
    for text in ("_JSON {", "_JSON " + "[" * 100000, '_JSON {\\"__complex__\\": \\"x\\"}'):
        assert outcome(tmp_path / "a.xyz", FRAME.replace("a b", text)) == 1


@given(
    at=st.integers(0, len(FRAME)),
    cut=st.integers(0, 12),
    text=st.text(alphabet=st.characters(codec="utf-8"), max_size=12),
)
def test_any_change_is_read_or_refused(tmp_path_factory, at, cut, text):
    outcome(tmp_path_factory.getbasetemp() / "any.xyz", FRAME[:at] + text + FRAME[at + cut :])


@given(comment=st.text(alphabet="=\"'{}[]\\\\ \t,:#aLpbc12.-eT", max_size=60))
def test_any_comment_line_is_read_or_refused(tmp_path_factory, comment):
    path = tmp_path_factory.getbasetemp() / "comment.xyz"
    outcome(path, f"1\n{comment}\nO 0 0 0\n")
