"""Values made of dataclasses as plain data, and back: what a model file says about features."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from torch import Tensor

from multilode.correlations import Contraction
from multilode.expansion import FieldExpansion
from multilode.fields import FIELDS
from multilode.fields.cutoffs import CUTOFF_FUNCTIONS
from multilode.numerics.special import number
from multilode.radial import RADIAL_BASES
from multilode.representation.recipe import Representation
from multilode.symmetry.irrep import Irrep


def representation_spec(representation: Representation) -> dict[str, Any]:
    """Everything that defines a representation, in types that JSON knows.

    Args:
        representation: the recipe.

    Raises:
        ValueError: if it holds a field, basis or cutoff function that is in no table.
    """
    return {
        "expansions": {k: _expansion_spec(e) for k, e in representation.expansions.items()},
        "correlations": [list(names) for names in representation.correlations],
        "species": list(representation.species),
        "centers": list(representation.centers),
        "irreps": representation.irreps and [list(irrep) for irrep in representation.irreps],
        "contractions": representation.contractions
        and [None if c is None else c.settings() for c in representation.contractions],
        "method": representation.method,
        "tolerance": representation.tolerance,
    }


def representation_tensors(representation: Representation) -> dict[str, Tensor]:
    """Its numbers, by name, for a file: the matrices of contractions."""
    return {
        f"{k}.{name}": tensor
        for k, contraction in enumerate(representation.contractions or ())
        if contraction is not None
        for name, tensor in contraction.tensors().items()
    }


def representation_from_spec(
    spec: Mapping[str, Any], tensors: Mapping[str, Tensor]
) -> Representation:
    """The representation back from `representation_spec` and `representation_tensors`.

    Args:
        spec: what `representation_spec` returned, perhaps after a trip through JSON.
        tensors: what `representation_tensors` returned.

    Raises:
        ValueError: if a part is missing, unknown or out of range.
    """
    try:
        return Representation(
            expansions={name: _expansion(part) for name, part in spec["expansions"].items()},
            correlations=tuple(tuple(names) for names in spec["correlations"]),
            species=tuple(spec["species"]),
            centers=tuple(spec["centers"]),
            irreps=_irreps(spec.get("irreps")),  # files of format version 1 have neither
            contractions=_contractions(spec.get("contractions"), tensors),
            method=spec.get("method", "auto"),  # files of format version 1 name no method
            tolerance=spec.get("tolerance"),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"the specification of the features is incomplete ({error}); save the model again"
        ) from error


def _irreps(given: Sequence[Sequence[int]] | None) -> tuple[Irrep, ...] | None:
    return None if given is None else tuple(Irrep(*irrep) for irrep in given)


def _contractions(
    given: Sequence[Mapping[str, Any] | None] | None, tensors: Mapping[str, Tensor]
) -> tuple[Contraction | None, ...] | None:
    if given is None:
        return None
    found: list[Contraction | None] = []
    for k, settings in enumerate(given):
        prefix = f"{k}."
        own = {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
        found.append(None if settings is None else Contraction.from_parts(own, settings))
    return tuple(found)


def kind_of(value: object, table: Mapping[str, type]) -> str:
    """The name under which the class of a value stands in a table.

    Args:
        value: an instance of one of the classes.
        table: classes by name.

    Raises:
        ValueError: if the class is not in the table.
    """
    for kind, cls in table.items():
        if type(value) is cls:
            return kind
    raise ValueError(f"{type(value).__name__} is in no table; known are {', '.join(table)}")


def _expansion_spec(expansion: FieldExpansion) -> dict[str, Any]:
    return {
        "field": _tagged(expansion.field, FIELDS),
        "radial": _tagged(expansion.radial, RADIAL_BASES),
        "cutoff_function": _tagged(expansion.cutoff_function, CUTOFF_FUNCTIONS),
        "max_angular": expansion.max_angular,
        "neighbor_cutoff": expansion.neighbor_cutoff,
        "center_weight": expansion.center_weight,
        "range": expansion.range,
        "near_radius": expansion.near_radius,
    }


def _expansion(spec: Mapping[str, Any]) -> FieldExpansion:
    return FieldExpansion(
        field=_untagged(spec["field"], FIELDS),
        radial=_untagged(spec["radial"], RADIAL_BASES),
        cutoff_function=_untagged(spec["cutoff_function"], CUTOFF_FUNCTIONS),
        max_angular=spec["max_angular"],
        neighbor_cutoff=spec["neighbor_cutoff"],
        center_weight=spec["center_weight"],
        range=spec.get("range", "all"),  # files of format version 1 know no ranges
        near_radius=spec.get("near_radius"),
    )


def _tagged(value: object, table: Mapping[str, type]) -> dict[str, Any]:
    parts = {f.name: getattr(value, f.name) for f in fields(value)}  # type: ignore[arg-type]
    plain = {k: number(v) if isinstance(v, Tensor) else v for k, v in parts.items()}
    return {"kind": kind_of(value, table), **plain}


def _untagged(spec: Mapping[str, Any], table: Mapping[str, type]) -> Any:
    if spec["kind"] not in table:
        raise ValueError(
            f"'{spec['kind']}' is not known to this version; known are {', '.join(table)}"
        )
    arguments = {key: _tuples(value) for key, value in spec.items() if key != "kind"}
    return table[spec["kind"]](**arguments)


def _tuples(value: object) -> object:
    """JSON knows lists only; the dataclasses hold tuples."""
    return tuple(_tuples(v) for v in value) if isinstance(value, list) else value
