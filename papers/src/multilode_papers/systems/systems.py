"""The table of systems."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

from multilode.errors import UserError
from multilode_papers.systems import (
    bulk_water,
    charged_dimers,
    dimer_classes,
    lithium_water,
    multipoles,
    point_charges,
    polypeptides,
    relaxed_dimers,
    sapt10k,
    tensors,
    water_co2,
)
from multilode_papers.systems.outcome import Outcome
from multilode_papers.systems.study import Study


@final
@dataclass(frozen=True, kw_only=True)
class System:
    """One system of the papers.

    Args:
        name: as on the command line.
        title: heading of its page.
        paper: figures or tables that it reproduces.
        run: everything that it gives.
    """

    name: str
    title: str
    paper: str
    run: Callable[[Study], Outcome]


SYSTEMS = {
    entry.name: entry
    for entry in (
        System(
            name="point-charges",
            title="Gas of point charges",
            paper="2019, Fig. 1",
            run=point_charges.run,
        ),
        System(
            name="charged-dimers",
            title="Binding curves of charged dimers",
            paper="2019, Fig. 2",
            run=charged_dimers.run,
        ),
        System(
            name="bulk-water",
            title="Dielectric response of liquid water",
            paper="2019, Fig. 3",
            run=bulk_water.run,
        ),
        System(
            name="water-co2",
            title="Water and carbon dioxide far apart",
            paper="2021, Figs. 3 and 4",
            run=water_co2.run,
        ),
        System(
            name="multipoles",
            title="Features as multipoles",
            paper="2021, Eqs. 11-19",
            run=multipoles.run,
        ),
        System(
            name="dimer-classes",
            title="Six classes of dimers",
            paper="2021, Table 1, Figs. 5 and 6",
            run=dimer_classes.run,
        ),
        System(
            name="relaxed-dimers",
            title="Six classes of dimers near their minima",
            paper="2021, Table 1",
            run=relaxed_dimers.run,
        ),
        System(
            name="lithium-water",
            title="Water above a lithium slab (model data)",
            paper="2021, Figs. 7 and 8",
            run=lithium_water.run,
        ),
        System(
            name="polypeptides",
            title="Polarizability of peptides (model data)",
            paper="2021, Figs. 9 and 10",
            run=polypeptides.run,
        ),
        System(
            name="sapt10k",
            title="Dimers of eight elements, and what their energies consist of",
            paper="in no figure of the two papers",
            run=sapt10k.run,
        ),
        System(
            name="tensors",
            title="Tensors of molecules and liquids",
            paper="third-party data, in no figure of the two papers",
            run=tensors.run,
        ),
    )
}


def system(name: str) -> System:
    """The system with a name.

    Raises:
        UserError: if there is none.
    """
    if name not in SYSTEMS:
        raise UserError(f"there is no system '{name}'; known are {', '.join(SYSTEMS)}, and all")
    return SYSTEMS[name]
