"""The table of expansion methods: one row gives a method its name and a place in `auto`."""

from multilode.expansion.ewald_split import EwaldSplit
from multilode.expansion.lattice.reciprocal_sum import ReciprocalSum
from multilode.expansion.mesh.method import Mesh
from multilode.expansion.method import AbstractMethod
from multilode.expansion.pairs.pair_sum import PairSum

METHODS: dict[str, type[AbstractMethod]] = {
    "pair_sum": PairSum,
    "reciprocal_sum": ReciprocalSum,
    "ewald_split": EwaldSplit,
    "mesh": Mesh,
}


def method_names() -> str:
    """Names of methods, for messages."""
    return ", ".join(["auto", *METHODS])


def check_method(name: object) -> None:
    """Check that a method has this name.

    Raises:
        TypeError: if it is no name.
        ValueError: if no method has it.
    """
    if not isinstance(name, str):
        given = f"the class {name.__name__}" if isinstance(name, type) else repr(name)
        raise TypeError(f"method is {given}; give a name: {method_names()}")
    if name != "auto" and name not in METHODS:
        raise ValueError(f"method is '{name}'; choose among {method_names()}")


def method_of(given: AbstractMethod | str) -> AbstractMethod | None:
    """The method of this name, or the given one; None for "auto".

    Raises:
        TypeError: if it is neither a method nor a name.
        ValueError: if no method has this name.
    """
    if isinstance(given, AbstractMethod):
        return given
    if isinstance(given, type) and issubclass(given, AbstractMethod):
        raise TypeError(
            f"method is the class {given.__name__}; give an instance, {given.__name__}(...)"
        )
    check_method(given)
    return None if given == "auto" else METHODS[given]()
