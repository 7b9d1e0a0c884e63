"""YAML text to plain data: numbers such as 1e-6 are numbers, and no key is given twice."""

import re
from pathlib import Path
from typing import Any

import yaml
from yaml.composer import ComposerError
from yaml.constructor import ConstructorError

from multilode.config.errors import ConfigError

_MOST_CHARACTERS = 10_000_000
_DEEPEST = 50  # lists and mappings within another
_MOST_NODES = 100_000  # with everything that '*' repeats
_MOST_SHOWN = 400  # characters of a message
# what constructors of values raise for words that are none; deeper nesting than we allow is no case
_NO_VALUE = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


def read_yaml(path: Path) -> Any:
    """The plain data of a YAML file; dates and times are text.

    Raises:
        ConfigError: if there is no such file, or it is no text or no YAML, or lists and mappings
            are nested or repeated without end.
    """
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(_MOST_CHARACTERS + 1)
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such file; check the path") from None
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read ({error}); check the file") from error
    if len(text) > _MOST_CHARACTERS:
        raise ConfigError(f"{path}: has more than {_MOST_CHARACTERS} characters; check the path")
    return parse_yaml(text, source=str(path))


def parse_yaml(text: str, *, source: str) -> Any:
    """The plain data of a text; dates and times are text.

    Args:
        text: YAML.
        source: its name in errors.

    Raises:
        ConfigError: if it is no YAML, or lists and mappings are nested or repeated without end.
    """
    try:
        return yaml.load(text, Loader=_Loader)
    except (yaml.YAMLError, RecursionError) as error:
        said = " ".join(str(error).split())[:_MOST_SHOWN]
        raise ConfigError(f"{source}: is not valid YAML: {said}") from error


def to_yaml(plain: Any) -> str:
    """Plain data as YAML, short lists in one line."""
    return yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, default_flow_style=None)


class _Loader(yaml.SafeLoader):
    """YAML that reads 1e-6 as a number and refuses a key that is given twice.

    Nodes are counted, with all that aliases repeat, before any value is made.
    """

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._depth = 0
        self._sizes: dict[int, int] = {}  # of nodes that are complete, by identity

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        mark = self.peek_event().start_mark
        self._depth += 1
        if self._depth > _DEEPEST:
            raise ComposerError(
                None, None, f"lists and mappings are nested more than {_DEEPEST} times", mark
            )
        node = super().compose_node(parent, index)
        self._depth -= 1
        if node is None:
            return node
        if id(node) not in self._sizes:
            self._sizes[id(node)] = self._size(node, mark)
        return node

    def _size(self, node: yaml.Node, mark: yaml.Mark) -> int:
        parts: list[Any] = node.value if isinstance(node.value, list) else []
        if isinstance(node, yaml.MappingNode):
            parts = [part for pair in parts for part in pair]
        if any(id(part) not in self._sizes for part in parts):
            raise ComposerError(None, None, "an alias is within itself", mark)
        size = 1 + sum(self._sizes[id(part)] for part in parts)
        if size > _MOST_NODES:
            raise ComposerError(
                None, None, f"has more than {_MOST_NODES} values, some by aliases", mark
            )
        return size

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:  # noqa: FBT001, FBT002
        try:
            found = super().construct_object(node, deep)
        except _NO_VALUE as error:
            kind = node.tag.rpartition(":")[2]
            shown = ascii(node.value)[:40] if isinstance(node.value, str) else "this"
            raise ConstructorError(
                None, None, f"{shown} is no value of the kind {kind}", node.start_mark
            ) from error
        if isinstance(found, int) and not -(2**63) <= found < 2**63:
            raise ConstructorError(
                None, None, "a whole number has more than 64 bits", node.start_mark
            )
        return found

    def construct_document(self, node: yaml.Node) -> Any:
        try:
            return super().construct_document(node)
        except _NO_VALUE as error:  # of parts that are made last
            raise ConstructorError(
                None, None, f"a value is not of its kind ({error})", node.start_mark
            ) from error

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:  # noqa: FBT001, FBT002
        if not isinstance(node, yaml.MappingNode):
            raise ConstructorError(None, None, "a mapping is expected", node.start_mark)
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        repeated = [key for key in dict.fromkeys(keys) if keys.count(key) > 1]
        if repeated:
            raise ConstructorError(
                None, None, f"the key '{repeated[0]}' is given twice", node.start_mark
            )
        return super().construct_mapping(node, deep)


# nothing here is a date or a time; 1:30 would be 90, 010 would be 8, and 2001-13-45 an error
# without a line
_Loader.yaml_implicit_resolvers = {
    first: [
        (tag, pattern)
        for tag, pattern in resolvers
        if not tag.endswith((":timestamp", ":int", ":float"))
    ]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:int",
    re.compile(r"[-+]?(0b[01]+|0x[0-9a-fA-F]+|0o[0-7]+|0|[1-9][\d_]*)$"),
    list("-+0123456789"),
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(
        r"([-+]?(\d[\d_]*\.[\d_]*|\.\d[\d_]*)([eE][-+]?\d+)?|[-+]?\d+[eE][-+]?\d+"
        r"|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))$"
    ),
    list("-+0123456789."),
)
