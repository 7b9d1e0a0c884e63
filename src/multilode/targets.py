"""What is learned: its name, its unit, and how it adds up over centers."""

from dataclasses import dataclass
from typing import Any, Literal, final

from multilode.cartesian import tensor_kind

Reduce = Literal["sum", "mean"]
Per = Literal["structure", "atom"]


def check_reduce(reduce: str) -> None:
    """Raise a ValueError unless `reduce` is "sum" or "mean"."""
    if reduce not in ("sum", "mean"):
        raise ValueError(
            f"reduce is {reduce!r}; use 'sum' for an extensive and 'mean' for an intensive target"
        )


@final
@dataclass(frozen=True, kw_only=True)
class Target:
    """A property of structures, or of their atoms.

    Args:
        key: name under which files store it.
        unit: its unit, only for printing. Forces are in unit/Å and stresses in unit/Å^3.
        reduce: "sum" over centers for extensive, "mean" for intensive properties.
        tensor: kind of Cartesian tensor, a name in `TENSORS`, that is to rotate with the structure;
            None for numbers that do not.
        per: "structure", or "atom" for a property of each center; `reduce` then has no meaning.

    Raises:
        ValueError: if the key is empty, or `reduce`, `tensor` or `per` is unknown.
    """

    key: str
    unit: str = ""
    reduce: Reduce = "sum"
    tensor: str | None = None
    per: Per = "structure"

    def __post_init__(self) -> None:
        check_reduce(self.reduce)
        if self.tensor is not None:
            tensor_kind(self.tensor)
        if self.per not in ("structure", "atom"):
            raise ValueError(f"per is {self.per!r}; use 'structure' or 'atom'")
        if not self.key:
            raise ValueError("the target has an empty key; give the name of a property")

    def settings(self) -> dict[str, Any]:
        """The same as plain types, for a file: `Target(**settings)` is equal."""
        plain = {"key": self.key, "unit": self.unit, "reduce": self.reduce}
        more = {"tensor": self.tensor, "per": self.per}
        return {**plain, **{k: v for k, v in more.items() if v not in (None, "structure")}}


def with_unit(name: str, unit: str) -> str:
    """A name with its unit in brackets, or alone if there is no unit."""
    return f"{name} ({unit})" if unit else name
