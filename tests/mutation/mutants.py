"""Mutants of a source file: each with one small mistake, as a hand might make it."""

import ast
import copy
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_COMPARED = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
_COMPUTED = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.Pow: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
}
_NAMES = {"min": "max", "max": "min", "amin": "amax", "amax": "amin", "any": "all", "all": "any"}
_DROPPED = {"abs", "sqrt", "square", "conj", "clamp", "transpose", "mean", "exp", "neg", "flip"}
_TRANSPOSED = {"T", "mT", "H", "mH"}


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """One mistake: the text between two offsets (bytes) of a file becomes another.

    Args:
        path: of the file within the repository.
        line: where the mistake is.
        function: first line of the innermost function around it; 0 outside of all.
        kind: of the mistake.
        old: what is there.
        new: what is there instead.
        start: offset in bytes.
    """

    path: str
    line: int
    function: int
    kind: str
    old: str
    new: str
    start: int

    def applied(self, source: str) -> str:
        """The source with the mistake."""
        data, old = source.encode(), self.old.encode()
        end = self.start + len(old)
        if data[self.start : end] != old:
            raise ValueError(f"{self.path}:{self.line} has changed: draw the mutants again")
        return (data[: self.start] + self.new.encode() + data[end:]).decode()


def mutants_of(root: Path, path: str) -> list[Mutant]:
    """All mutants of a file that can be compiled, in the order of its lines."""
    source = (root / path).read_text()
    starts = [0]
    for line in source.encode().splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    found = []
    for node, function in _nodes(ast.parse(source), 0):
        start = starts[node.lineno - 1] + node.col_offset
        end = starts[node.end_lineno - 1] + node.end_col_offset
        old = source.encode()[start:end].decode()
        for kind, new in _changes(node):
            text = ast.unparse(new)
            if isinstance(node, ast.expr) and not isinstance(node, ast.Constant):
                text = f"({text})"
            place = {"path": path, "line": node.lineno, "function": function, "start": start}
            mutant = Mutant(**place, kind=kind, old=old, new=text)
            try:
                compile(mutant.applied(source), path, "exec")
            except SyntaxError:
                continue
            found.append(mutant)
    return found


def _nodes(tree: ast.AST, function: int) -> Iterator[tuple[ast.AST, int]]:
    """Nodes whose values matter, without annotations, messages of errors and docstrings."""
    for name, value in ast.iter_fields(tree):
        if name in ("annotation", "returns", "decorator_list", "type_params", "exc", "msg"):
            continue
        for node in value if isinstance(value, list) else [value]:
            if not isinstance(node, ast.AST):
                continue
            own = function
            if isinstance(node, ast.FunctionDef):
                own = min([node.lineno, *(one.lineno for one in node.decorator_list)])
            if isinstance(node, ast.Import | ast.ImportFrom | ast.JoinedStr):
                continue
            if isinstance(node, ast.expr | ast.stmt):
                yield node, own
            yield from _nodes(node, own)


def _changes(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:  # noqa: C901 - a table
    new: Any = copy.deepcopy(node)
    match new:
        case ast.Compare(ops=[operator, *_]) if type(operator) in _COMPARED:
            new.ops[0] = _COMPARED[type(operator)]()
            yield "comparison", new
        case ast.BinOp(op=operator) | ast.AugAssign(op=operator) if type(operator) in _COMPUTED:
            new.op = _COMPUTED[type(operator)]()
            yield "arithmetic", new
        case ast.BoolOp(op=operator):
            new.op = ast.Or() if isinstance(operator, ast.And) else ast.And()
            yield "boolean", new
        case ast.UnaryOp(op=ast.USub() | ast.Not()):
            yield "sign" if isinstance(new.op, ast.USub) else "boolean", new.operand
        case ast.Constant(value=bool()):
            yield "boolean", ast.Constant(not new.value)
        case ast.Constant(value=int()):
            yield "constant", ast.Constant(new.value + 1)
        case ast.Constant(value=float()):
            yield "constant", ast.Constant(2 * new.value if new.value else 1.0)
        case ast.Attribute(attr=attribute) if attribute in _TRANSPOSED:
            yield "transpose", new.value
        case ast.Subscript(slice=ast.Slice(lower=lower, upper=upper)) if lower or upper:
            new.slice = ast.Slice(None, None, new.slice.step)
            yield "slice", new
        case ast.Raise() | ast.Expr(value=ast.Call()):
            yield "removed statement", ast.Pass()
        case ast.Call():
            yield from _changed_call(new)


def _changed_call(call: ast.Call) -> Iterator[tuple[str, ast.AST]]:
    match call.func:
        case ast.Name(id=name) if name in _NAMES:
            call.func.id = _NAMES[name]
            yield "function", call
        case ast.Attribute(attr=name, value=value) if name in _NAMES:
            call.func.attr = _NAMES[name]
            yield "function", call
        case ast.Attribute(attr=name, value=value) if name in _DROPPED:
            if not isinstance(value, ast.Name) or value.id not in ("torch", "np", "math"):
                yield "transpose" if name == "transpose" else "removed call", value
