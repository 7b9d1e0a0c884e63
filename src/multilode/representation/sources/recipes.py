"""Recipes of sources, before they are fitted to a training set."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, final

from multilode.representation.representation import Representation
from multilode.representation.sources.abstract import AbstractSources
from multilode.representation.sources.components import described_sources
from multilode.representation.sources.conserved import ConservedSources
from multilode.representation.sources.described import DescribedSources
from multilode.representation.sources.given import GivenSources
from multilode.structures.batch import Structures


class AbstractSourceRecipe(ABC):
    """What makes the sources of a field.

    Args:
        supervised: whether targets are needed to fit them.
    """

    supervised: ClassVar[bool]

    @property
    @abstractmethod
    def arrays(self) -> tuple[str, ...]:
        """Names of the numbers of atoms that structures have to bring along."""

    @abstractmethod
    def start(
        self, name: str, representation: Representation, structures: Structures, seed: int
    ) -> AbstractSources:
        """Sources of a field that need no targets, or the channels that others are mixed from.

        Args:
            name: of the field.
            representation: of the training set, without these sources.
            structures: the training set.
            seed: of the choice of structures.

        Raises:
            ValueError: if the training set does not carry what is asked for.
        """


@final
@dataclass(frozen=True, kw_only=True)
class Given(AbstractSourceRecipe):
    """Strengths that the data give: charges of another code, formal charges, spins.

    Args:
        keys: names of numbers of atoms, one channel each.
    """

    supervised: ClassVar[bool] = False
    keys: tuple[str, ...]

    def __post_init__(self) -> None:
        GivenSources(keys=self.keys)

    @property
    def arrays(self) -> tuple[str, ...]:
        """The keys."""
        return self.keys

    def start(
        self,
        name: str,  # noqa: ARG002 - the interface
        representation: Representation,  # noqa: ARG002
        structures: Structures,
        seed: int,  # noqa: ARG002
    ) -> AbstractSources:
        """They are known."""
        found = GivenSources(keys=self.keys)
        found.strengths(structures)
        return found


@final
@dataclass(frozen=True, kw_only=True)
class Described(AbstractSourceRecipe):
    """For each species a constant and the first principal components of its own surroundings.

    Args:
        components: of each species.
        cutoff: radius in Å of the surroundings; None for that of the density, or of the basis.
        responding: whether the field itself, made by species, is among what describes an atom.
        totals: name of the known sums of the strengths of each part, such as its charge: a number
            of the structure, or of each atom that of its part; None if they are free.
        parts: labels of the atoms of a part; None for whole structures.
        toward: name of numbers of atoms, such as charges of another code, that the components are
            to explain (principal covariates regression); None for principal components.
        mixing: 1 for the largest variances alone, 0 for what explains these numbers alone.
    """

    supervised: ClassVar[bool] = False
    components: int = 4
    cutoff: float | None = None
    responding: bool = False
    totals: str | None = None
    parts: str | None = None
    toward: str | None = None
    mixing: float = 0.5

    def __post_init__(self) -> None:
        _check(self)

    @property
    def arrays(self) -> tuple[str, ...]:
        """Totals, labels of parts, and numbers to be explained, if there are any."""
        return _arrays(self)

    def start(
        self, name: str, representation: Representation, structures: Structures, seed: int
    ) -> DescribedSources | ConservedSources:
        """Fitted to some of the structures."""
        return _channels(self, name, representation, structures, seed)


@final
@dataclass(frozen=True, kw_only=True)
class Fitted(AbstractSourceRecipe):
    """A few channels, each a mixture of what `Described` has, fitted together with the model.

    Args:
        channels: their number.
        components: of each species, which are mixed beside a constant.
        cutoff: radius in Å of the surroundings, as in `Described`.
        responding: likewise.
        totals: likewise.
        parts: likewise.
        toward: likewise.
        mixing: likewise.
        steps: of the fit, at most.
        joint: name of labels of the structures, such as the class of a dimer or its data set: while
            the sources are found, structures of each label have weights of their own.
    """

    supervised: ClassVar[bool] = True
    channels: int = 1
    components: int = 4
    cutoff: float | None = None
    responding: bool = False
    totals: str | None = None
    parts: str | None = None
    toward: str | None = None
    mixing: float = 0.5
    steps: int = 60
    joint: str | None = None

    def __post_init__(self) -> None:
        _check(self)
        for name in ("channels", "steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; use 1 or more")

    @property
    def arrays(self) -> tuple[str, ...]:
        """Totals, labels of parts, and numbers to be explained, if there are any."""
        return _arrays(self)

    def start(
        self, name: str, representation: Representation, structures: Structures, seed: int
    ) -> DescribedSources | ConservedSources:
        """The channels that are mixed.

        Raises:
            ValueError: if there are fewer of them than channels.
        """
        found = _channels(self, name, representation, structures, seed)
        if found.n_channels < self.channels:
            raise ValueError(
                f"{self.channels} channels of the field '{name}' are more than the data carry: "
                f"a constant and components of each species are {found.n_channels}; set channels "
                "to fewer"
            )
        return found


SOURCE_RECIPES: dict[str, type[AbstractSourceRecipe]] = {
    "given": Given,
    "described": Described,
    "fitted": Fitted,
}


def _channels(
    recipe: Described | Fitted,
    name: str,
    representation: Representation,
    structures: Structures,
    seed: int,
) -> DescribedSources | ConservedSources:
    """A constant and components of each species, with totals if they are known."""
    found = described_sources(
        name,
        representation,
        structures,
        recipe.components,
        recipe.cutoff,
        responding=recipe.responding,
        toward=recipe.toward,
        mixing=recipe.mixing,
        seed=seed,
    )
    if recipe.totals is None:
        return found
    conserved = ConservedSources.of(found, recipe.totals, recipe.parts)
    conserved.check(structures)
    return conserved


def _arrays(recipe: Described | Fitted) -> tuple[str, ...]:
    names = (recipe.totals, recipe.parts, recipe.toward)
    return tuple(dict.fromkeys(name for name in names if name is not None))


def _check(recipe: Described | Fitted) -> None:
    if recipe.parts is not None and recipe.totals is None:
        raise ValueError(
            f"parts is {recipe.parts!r} without totals; name the totals of the strengths of each "
            "part"
        )
    if not 0 <= recipe.mixing <= 1:
        raise ValueError(f"mixing is {recipe.mixing}; it must lie between 0 and 1")
    if recipe.components < 0:
        raise ValueError(f"components is {recipe.components}; use 0 or more")
    if recipe.cutoff is not None and not 0 < recipe.cutoff <= 100:
        raise ValueError(f"cutoff is {recipe.cutoff} Å; it must lie between 0 and 100")
