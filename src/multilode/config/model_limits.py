"""Sizes that the metadata of a model file may ask for, checked before anything is allocated."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch

from multilode.errors import UserError
from multilode.numerics.memory import largest_bytes
from multilode.structures.elements import HEAVIEST

DTYPES = frozenset(
    {torch.float64, torch.float32, torch.float16, torch.bfloat16}
    | {torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool}
)
_DEEPEST = 40  # levels of lists and mappings
_LARGEST = 2**63  # of whole numbers
_PRODUCTS, _FACTORS = 200, 6  # as many factors as a configuration may have
_RADIUS = 200.0  # Å; tables of functions on longer rays take minutes
_WIDTH = 4096  # channels, nodes and rounds of a network
_BYTES = 64.0  # of a feature and its label, around one center
_SHOWN = 200  # characters of a text in a message


class LimitError(UserError):
    """Metadata that no model needs."""


def check_texts(metadata: Any) -> None:
    """Refuse texts that a terminal obeys or no file can hold, and numbers that none can.

    Args:
        metadata: as JSON gives them.

    Raises:
        LimitError: for control characters, lone surrogates, whole numbers beyond 64 bits, or lists
            and mappings within another 40 times.
    """
    waiting: list[tuple[Any, int]] = [(metadata, 0)]
    while waiting:
        value, depth = waiting.pop()
        if depth > _DEEPEST:
            raise LimitError(f"its metadata are nested more than {_DEEPEST} times")
        if isinstance(value, str):
            if not value.replace("\n", "").replace("\t", "").isprintable():
                raise LimitError(f"has a text that cannot be printed, {shown(value)}")
        elif isinstance(value, int) and not -_LARGEST <= value < _LARGEST:
            raise LimitError("has a whole number of more than 64 bits")
        elif isinstance(value, Mapping):
            waiting += [(part, depth + 1) for pair in value.items() for part in pair]
        elif isinstance(value, list):
            waiting += [(part, depth + 1) for part in value]


def check_sizes(metadata: Mapping[str, Any]) -> None:
    """Refuse a model that would take all memory or not end, before it is made.

    Args:
        metadata: in the words of today.

    Raises:
        LimitError: naming what is too large, and the limit.
    """
    representation = metadata["representation"]
    species = representation.get("species")
    if isinstance(species, list):
        wrong = [z for z in species if type(z) is not int or not 1 <= z <= HEAVIEST]
        if wrong:
            raise LimitError(f"its species are no atomic numbers: {shown(wrong[0])}")
    for where, value in _numbers(representation.get("fields"), "fields"):
        name = where.rpartition(".")[2]
        if name in ("radius", "neighbor_cutoff", "near_radius") and value > _RADIUS:
            raise LimitError(f"'{where}' is {value:g} Å, more than {_RADIUS:g} Å")
    for where, value in _numbers(metadata["model"].get("size"), "size"):
        if value > _WIDTH:
            raise LimitError(f"'{where}' is {value:g}, more than {_WIDTH}")
    products = representation.get("products")
    if isinstance(products, list):
        _check_products(products, representation)


def _check_products(products: list[Any], representation: Mapping[str, Any]) -> None:
    if len(products) > _PRODUCTS:
        raise LimitError(f"has {len(products)} products, more than {_PRODUCTS}")
    for number, names in enumerate(products):
        if isinstance(names, list) and len(names) > _FACTORS:
            raise LimitError(f"a product has {len(names)} factors, more than {_FACTORS}")
        contractions = representation.get("contractions") or []
        if isinstance(names, list) and (number >= len(contractions) or not contractions[number]):
            _check_features(names, representation)


def _check_features(names: list[Any], representation: Mapping[str, Any]) -> None:
    """Count what a product has around a center: l1 and l2 make all l between l1 - l2 and l1 + l2"""
    fields, mixed = representation.get("fields") or {}, representation.get("channels") or {}
    if any(name in mixed or not isinstance(fields.get(name), Mapping) for name in names):
        return  # of what is mixed the file holds the matrices
    counts: dict[int, float] = {}
    n_species = len(representation.get("species") or [])
    for name in names:
        part, basis = fields[name], fields[name].get("basis")
        n_radial = basis.get("n_radial", 1) if isinstance(basis, Mapping) else 1
        largest = part.get("max_angular")
        if type(n_radial) is not int or type(largest) is not int or not 0 <= largest <= 100:
            return  # the classes refuse these themselves
        one = dict.fromkeys(range(largest + 1), float(n_species * n_radial))
        counts = _coupled(counts, one) if counts else one
    total = sum(counts.values()) if representation.get("irreps") else counts[0]
    if total * _BYTES > largest_bytes(torch.device("cpu")):
        raise LimitError(
            f"the product of {shown(' x '.join(map(str, names)))} has {total:.1e} features, more "
            "than the memory holds"
        )


def _coupled(left: Mapping[int, float], right: Mapping[int, float]) -> dict[int, float]:
    found: dict[int, float] = {}
    for l1, n1 in left.items():
        for l2, n2 in right.items():
            for degree in range(abs(l1 - l2), l1 + l2 + 1):
                found[degree] = found.get(degree, 0.0) + n1 * n2
    return found


def _numbers(value: Any, where: str) -> Iterator[tuple[str, float]]:
    """Every number within, with its dotted path."""
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield from _numbers(part, f"{where}.{key}")
    elif isinstance(value, int | float):
        yield where, float(value)


def shown(value: object) -> str:
    """A value in a message: what it is in ASCII, and not all of it."""
    text = ascii(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
