"""The codec: what goes out comes back, also through JSON, and mistakes are named by their path."""

import json
from abc import ABC
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Annotated, Any, Literal, final

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from jaxtyping import Float, Int
from torch import Tensor

import multilode.config.tables  # noqa: F401 - what stands in the tables of the package
from multilode.config.codec import decode, encode, kind_of, register
from multilode.config.codec_errors import Bounds, CodecError
from multilode.correlations import Contraction
from multilode.correlations.contraction import Kept
from multilode.fields.cutoffs import AbstractCutoff, RadialScaling
from multilode.fields.field import AbstractField, SmearedPotential
from multilode.prediction.baseline import AbstractBaseline
from multilode.radial.bases import AbstractRadialBasis, TabulatedBasis
from multilode.symmetry.irrep import Irrep


class AbstractShape(ABC):  # noqa: B024 - only its table matters here
    """What a user might add a table for."""


@final
@dataclass(frozen=True)
class Ball(AbstractShape):
    radius: float = 1.0


@final
@dataclass(frozen=True)
class Shell(AbstractShape):
    inner: AbstractShape
    outer: AbstractShape
    name: str | None = None


SHAPES: dict[str, type[AbstractShape]] = {"ball": Ball, "shell": Shell}
register(AbstractShape, SHAPES)


@final
@dataclass(frozen=True, kw_only=True)
class Everything:
    """One field of each kind of annotation."""

    number: float
    count: int
    flag: bool
    text: str
    choice: Literal["near", "far", 3]
    maybe: float | None
    either: int | str | tuple[int, ...]
    pair: tuple[int, str]
    many: tuple[tuple[float, ...], ...]
    names: list[str]
    by_name: Mapping[str, Ball]
    by_number: dict[int, float]
    by_irrep: Mapping[Irrep, tuple[Irrep, ...]]
    shape: AbstractShape
    shapes: tuple[AbstractShape | None, ...]
    row: dict[str, Any]
    bounded: Annotated[float, Bounds(above=0, at_most=1)]
    matrix: Float[Tensor, "a b"]
    matrices: Mapping[Irrep, Float[Tensor, "..."] | None]
    array: Int[np.ndarray, " n"]
    parameter: float | Float[Tensor, ""]


NUMBERS = st.floats(allow_nan=False)
COUNTS = st.integers(-(2**63), 2**63)
IRREPS = st.builds(Irrep, st.integers(0, 9), st.sampled_from([1, -1]))
BALLS = st.builds(Ball, NUMBERS)
BOTH = st.recursive(BALLS, lambda inner: st.builds(Shell, inner, inner, st.none() | st.text()))
DTYPES = st.sampled_from([torch.float64, torch.float32, torch.float16, torch.bfloat16])
MATRICES = st.builds(
    lambda n, m, seed, dtype: torch.randn(n, m, generator=torch.Generator().manual_seed(seed)).to(
        dtype
    ),
    st.integers(0, 3),
    st.integers(0, 3),
    st.integers(0, 99),
    DTYPES,
)
PLAIN = st.recursive(
    st.none() | st.booleans() | COUNTS | NUMBERS | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
VALUES = st.builds(
    Everything,
    number=NUMBERS,
    count=COUNTS,
    flag=st.booleans(),
    text=st.text(),
    choice=st.sampled_from(["near", "far", 3]),
    maybe=st.none() | NUMBERS,
    either=st.one_of(COUNTS, st.text(), st.lists(COUNTS).map(tuple)),
    pair=st.tuples(COUNTS, st.text()),
    many=st.lists(st.lists(NUMBERS, max_size=3).map(tuple), max_size=3).map(tuple),
    names=st.lists(st.text()),
    by_name=st.dictionaries(st.text(), BALLS, max_size=3),
    by_number=st.dictionaries(COUNTS, NUMBERS, max_size=3),
    by_irrep=st.dictionaries(IRREPS, st.lists(IRREPS, max_size=2).map(tuple), max_size=3),
    shape=BOTH,
    shapes=st.lists(st.none() | BOTH, max_size=3).map(tuple),
    row=st.dictionaries(st.text(), PLAIN, max_size=3),
    bounded=st.floats(0, 1, exclude_min=True),
    matrix=MATRICES,
    matrices=st.dictionaries(IRREPS, st.none() | MATRICES, max_size=3),
    array=st.lists(st.integers(0, 9)).map(lambda x: np.array(x, dtype=np.int64)),
    parameter=NUMBERS,
)


def same(a: Any, b: Any) -> bool:
    """Equal in types, values, order of keys, and all numbers of tensors."""
    if isinstance(a, Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(a, b)
    if isinstance(a, Mapping):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, tuple | list) and type(a) is type(b):
        return len(a) == len(b) and all(map(same, a, b))
    if hasattr(a, "__dataclass_fields__"):
        names = [f.name for f in fields(a)]
        return type(a) is type(b) and all(same(getattr(a, n), getattr(b, n)) for n in names)
    return type(a) is type(b) and a == b


@given(VALUES)
def test_everything_comes_back_through_json(value):
    plain, tensors = encode(value)
    assert same(decode(Everything, json.loads(json.dumps(plain)), tensors), value)
    again, more = encode(decode(Everything, plain, tensors))
    assert json.dumps(again) == json.dumps(plain)
    assert same(more, tensors)


@given(BOTH)
def test_an_abstract_class_is_tagged_by_its_table(shape):
    plain, tensors = encode(shape, AbstractShape)
    assert plain["kind"] == kind_of(shape, SHAPES)
    assert tensors == {}
    assert same(decode(AbstractShape, json.loads(json.dumps(plain))), shape)


def test_a_class_that_is_added_to_a_table_is_read_and_written(monkeypatch):
    @final
    @dataclass(frozen=True)
    class Cube(AbstractShape):
        edge: float

    with pytest.raises(CodecError, match="Cube is in no table; known are ball, shell; add"):
        encode(Cube(2.0), AbstractShape)
    monkeypatch.setitem(SHAPES, "cube", Cube)
    assert encode(Cube(2.0), AbstractShape)[0] == {"kind": "cube", "edge": 2.0}
    assert decode(AbstractShape, {"kind": "cube", "edge": 3}) == Cube(3.0)


def test_tensors_stand_under_their_dotted_path():
    blocks = {Irrep(0): torch.eye(2), Irrep(1, -1): torch.ones(2, 3)}
    kept = {irrep: Kept(4, 2, 0.5) for irrep in blocks}
    contraction = Contraction((blocks,), (kept,))
    plain, tensors = encode(contraction)
    assert list(tensors) == ["projections.0.0,1", "projections.0.1,-1"]
    assert plain["report"] == [
        {key: {"n_before": 4, "n_after": 2, "fraction": 0.5} for key in ("0,1", "1,-1")}
    ]
    assert same(decode(Contraction, json.loads(json.dumps(plain)), tensors), contraction)
    with pytest.raises(CodecError, match=r"'projections.0.1,-1' is missing"):
        decode(Contraction, plain, {"projections.0.0,1": torch.eye(2)})


def test_parameters_that_were_learned_are_written_as_numbers():
    smearing = torch.tensor(0.8, dtype=torch.float64, requires_grad=True)
    plain, tensors = encode(SmearedPotential(smearing, 2.0), AbstractField)
    assert plain == {"kind": "potential", "smearing": 0.8, "exponent": 2.0}
    assert tensors == {}


def test_numbers_of_numpy_are_numbers():
    plain, _ = encode(Ball(np.float64(0.5)))
    assert type(plain["radius"]) is float
    assert decode(Ball, {"radius": np.float32(0.5)}) == Ball(0.5)


def test_values_of_a_basis_of_the_user_come_back():
    basis = TabulatedBasis.from_function(lambda r: np.stack([np.exp(-r), r * np.exp(-r)]), 2.0)
    plain, tensors = encode(basis, AbstractRadialBasis)
    assert same(decode(AbstractRadialBasis, json.loads(json.dumps(plain)), tensors), basis)


@pytest.mark.parametrize(
    ("cls", "plain", "said"),
    [
        (AbstractField, {"smearing": 1}, "the setting 'kind' is missing; add it"),
        (
            AbstractField,
            {"kind": "ptential"},
            "setting 'kind' is 'ptential'; allowed are 'density', 'potential'",
        ),
        (
            AbstractField,
            {"kind": "potential", "smearing": 1, "exponent": 1, "sgma": 2},
            "unknown setting 'sgma'; did you mean 'smearing'?",
        ),
        (
            AbstractField,
            {"kind": "density", "smearing": "1"},
            "setting 'smearing': input should be a valid number, got '1'",
        ),
        (AbstractField, {"kind": "density", "smearing": -1}, "smearing is -1.0 Å; it must lie"),
        (AbstractRadialBasis, {"kind": "gto", "radius": 1}, "setting 'n_radial' is missing"),
        (AbstractCutoff, 3, "input should be a mapping of settings"),
        (AbstractShape, {"kind": "shell", "inner": {"kind": "ball"}}, "'outer' is missing"),
        (
            AbstractShape,
            {"kind": "shell", "inner": {"kind": "ball", "radius": True}, "outer": 3},
            "setting 'inner.radius': input should be a valid number, got True",
        ),
        (tuple[int, str], [1], "list should have 2 items, not 1"),
        (tuple[int, ...], [1, 2.5], "setting '1': input should be a valid integer, got 2.5"),
        (Mapping[int, float], {"a": 1.0}, "the key 'a' is no int"),
        (Mapping[Irrep, float], {"1": 1.0, "x": 2.0}, "the key 'x' is no Irrep"),
        (Literal["a", "b", "c"], "d", "input should be 'a', 'b' or 'c', got 'd'"),
        (Irrep, [1], "input should be a list of 2 items"),
        (int | str | None, 2.5, "input should be a valid integer or input should be a valid str"),
        (dict[str, Tensor], {"a": 3}, "setting 'a': input should be a tensor, got 3"),
    ],
)
def test_mistakes_are_named_with_their_path(cls, plain, said):
    with pytest.raises(CodecError) as caught:
        decode(cls, plain)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_path_begins_where_the_value_stands():
    with pytest.raises(CodecError, match=r"unknown setting 'fields.V.widht'; did you mean"):
        decode(RadialScaling, {"widht": 1}, where="fields.V")


@pytest.mark.parametrize(
    ("bounds", "value", "said"),
    [
        (Bounds(above=0), 0, "greater than 0, got 0"),
        (Bounds(at_least=1), 0, "greater than or equal to 1, got 0"),
        (Bounds(below=1), 1.0, "less than 1, got 1.0"),
        (Bounds(at_most=1), 2, "less than or equal to 1, got 2"),
        (Bounds(items=(1, 2)), (), "list should have at least 1 item, not 0"),
        (Bounds(items=(1, 2)), (1, 2, 3), "list should have at most 2 items, not 3"),
    ],
)
def test_bounds_say_what_they_are(bounds, value, said):
    with pytest.raises(ValueError, match=said):
        bounds.check(value)


def test_what_cannot_be_written_is_refused():
    with pytest.raises(CodecError, match=r"'a.1': a object cannot be written"):
        encode({"a": [1, object()]}, dict[str, Any])
    with pytest.raises(CodecError, match="'tensor at' is taken"):
        encode({"tensor at": "x"}, dict[str, Any])


def test_every_table_of_the_package_is_registered():
    for abstract in (AbstractField, AbstractRadialBasis, AbstractCutoff, AbstractBaseline):
        with pytest.raises(CodecError, match="setting 'kind' is 'none of them'; allowed are "):
            decode(abstract, {"kind": "none of them"})
