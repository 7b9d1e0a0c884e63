"""Available data sets: the one that ships with multilode, and collections of installed packages."""

import difflib
from collections.abc import Mapping
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from types import MappingProxyType

from multilode.datasets.entry import Collection, Entry
from multilode.errors import UserError

GROUP = "multilode.datasets"
PAPERS = "multilode-papers"

OWN = Collection(
    package="multilode",
    shipped=Path(__file__).parent / "shipped",
    entries={
        "water-co2": Entry(
            description="rigid H2O and CO2 in 33 relative orientations, 6.5 to 20 Å apart",
            origin="made by us",
            level="DF-MP2/aug-cc-pVDZ with frozen core and counterpoise correction (PySCF)",
            targets={"interaction_energy": "eV"},
            paper="2021, Figs. 3-4: 33 orientations too, at a level that it does not name",
            structures=726,
            caveat="numerical noise is below 1e-4 meV; atoms in the order O H H C O O; the part "
            "'dissociated' has the energy 0 by definition",
            citation="Grisafi, Nigam, Ceriotti, Chem. Sci. 12, 2078 (2021), "
            "doi:10.1039/D0SC04934D, here [2021]",
            make="multilode_papers.makers.water_co2:make",
        )
    },
)


class DatasetError(UserError):
    """A data set that is unknown, not here, or cannot be made; the message is one line."""


@cache
def collections() -> tuple[Collection, ...]:
    """The own collection, and those of installed packages in the order of their names."""
    found = sorted(entry_points(group=GROUP), key=lambda point: point.name)
    return OWN, *(point.load() for point in found)


@cache
def catalogue() -> Mapping[str, Entry]:
    """Every data set by name."""
    return MappingProxyType(
        {name: entry for one in collections() for name, entry in one.entries.items()}
    )


def collection_of(name: str) -> Collection:
    """The collection that a data set belongs to.

    Raises:
        DatasetError: if there is none of this name.
    """
    for one in collections():
        if name in one.entries:
            return one
    known = catalogue()
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean '{close[0]}'?" if close else f"choose from {', '.join(known)}"
    if all(one.package != PAPERS for one in collections()):
        hint += f"; the sets of the papers come with 'pip install {PAPERS}'"
    raise DatasetError(f"there is no data set '{name}' here; {hint}")


def entry_of(name: str) -> Entry:
    """The catalogue entry of a data set.

    Raises:
        DatasetError: if there is none of this name.
    """
    return collection_of(name).entries[name]
