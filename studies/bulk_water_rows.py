"""The lines of the bulk-water study: which features each model sees."""

from dataclasses import dataclass, replace
from typing import final

from multilode.cutoffs import AbstractCutoff, RadialScaling, ShiftedCosine
from multilode.expand import FieldExpansion
from multilode.fields import GaussianDensity, SmearedPotential
from multilode.models import Ridge
from multilode.radial import GaussianTypeOrbitals
from multilode.representation import Representation

HYDROGEN, OXYGEN = 1, 8
WATER = (HYDROGEN, OXYGEN)
PLAIN = ShiftedCosine(0.5)
SCALED = RadialScaling(scale=1.5, exponent=6.0, rate=1.0, width=0.5)
ESTIMATOR = Ridge(reduce="mean", folds=10, seed=0)


@final
@dataclass(frozen=True, kw_only=True)
class Block:
    """A matrix with one row per box.

    Args:
        name: for tables.
        representation: gives one correlation; None stands for 1 / volume.
        shared: one weight vector for all centers, instead of one per center species.
    """

    name: str
    representation: Representation | None
    shared: bool = False


@final
@dataclass(frozen=True, kw_only=True)
class Row:
    """A line of the table: the candidates among which cross-validation chooses.

    Args:
        name: of the line.
        candidates: sums of blocks, each with a weight.
        curve: whether its learning curve is drawn.
    """

    name: str
    candidates: tuple[tuple[Block, ...], ...]
    curve: bool = False


def soap(
    cutoff: float, fade: AbstractCutoff, *, centers: tuple[int, ...] = WATER
) -> Representation:
    """Power spectrum of the density."""
    large = cutoff > 3 or fade is SCALED
    n_radial, max_angular = (8, 6) if large else (6, 4)
    density = FieldExpansion(
        GaussianDensity(0.3),
        GaussianTypeOrbitals(n_radial, cutoff),
        max_angular,
        cutoff=cutoff,
        cutoff_function=fade,
    )
    return Representation(
        expansions={"rho": density},
        correlations=(("rho", "rho"),),
        species=WATER,
        centers=centers,
    )


def potential(exponent: float, *, local: bool) -> Representation:
    """Power spectrum of the density with a potential (local), or of the potential with itself."""
    basis = GaussianTypeOrbitals(6, 3.0)
    expansions = {
        "rho": FieldExpansion(GaussianDensity(0.3), basis, 4, cutoff=3.0, cutoff_function=PLAIN),
        "V": FieldExpansion(SmearedPotential(1.0, exponent), basis, 4),
    }
    return Representation(
        expansions=expansions,
        correlations=(("rho", "V") if local else ("V", "V"),),
        species=WATER,
        centers=WATER,
    )


def soap_blocks(cutoff: float) -> dict[str, Block]:
    """Both cutoff functions."""
    name = f"rho x rho {cutoff:g} Å"
    return {
        "plain": Block(name=name, representation=soap(cutoff, PLAIN)),
        "scaled": Block(name=f"{name} scaled", representation=soap(cutoff, SCALED)),
    }


def table() -> list[Row]:
    """All lines of the study."""
    near = soap_blocks(3.0)
    volume = Block(name="1 / volume", representation=None)
    vv = Block(name="V x V", representation=potential(1.0, local=False))
    mixed = {p: potential(p, local=True) for p in (1.0, 2.0, 4.0)}
    rv = {p: Block(name=f"rho x V{p:g}", representation=r, shared=True) for p, r in mixed.items()}
    pair = (rv[2.0], rv[4.0])
    return [
        Row(name="1/volume alone", candidates=((volume,),)),
        *[
            Row(name=f"SOAP {cutoff:g} Å", candidates=_alone(soap_blocks(cutoff)), curve=True)
            for cutoff in (3.0, 4.0, 6.0)
        ],
        Row(name="LODE 3 Å", candidates=_alone({"V": vv}), curve=True),
        Row(
            name="SOAP + LODE 3 Å",
            candidates=tuple(
                (s, replace(vv, shared=k)) for s in near.values() for k in (False, True)
            ),
            curve=True,
        ),
        Row(name="rho x V 3 Å", candidates=_alone({"V": rv[1.0]})),
        Row(name="SOAP + rho x V 3 Å", candidates=tuple((s, rv[1.0]) for s in near.values())),
        Row(
            name="SOAP + rho x (V2, V4) 3 Å",
            candidates=tuple((s, *pair) for s in near.values()),
            curve=True,
        ),
        Row(name="SOAP 3 Å + 1/volume", candidates=tuple((s, volume) for s in near.values())),
    ]


def _alone(blocks: dict[str, Block]) -> tuple[tuple[Block, ...], ...]:
    return tuple((replace(b, shared=shared),) for b in blocks.values() for shared in (False, True))
