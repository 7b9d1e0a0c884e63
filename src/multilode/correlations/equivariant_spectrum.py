"""Equivariants of second order of two fields."""

from collections.abc import Iterable

from multilode.correlations.factor import field_factor
from multilode.correlations.plan import plan_product
from multilode.correlations.product import coupled_products
from multilode.equivariants.blocks import Equivariants
from multilode.symmetry.irrep import Irrep


def equivariant_power_spectrum(
    left: Equivariants, right: Equivariants, irreps: Iterable[Irrep]
) -> Equivariants:
    """Equivariants of second order of two fields, labelled by both channels.

    All pairs (l1, l2) that couple to an irrep are there, l1 > l2 too: they are different things
    where the fields differ. Of one field with itself (the same object given twice) each unordered
    pair of channels is stored once, with weight sqrt2 unless it is the same channel twice, so that
    scalar products do not change, and what vanishes for every structure is left out.
    For Irrep(0) these are the invariants of `power_spectrum`, sign included. Properties are ordered
    by l of the right factor, l of the left factor, left channel and right channel.

    Source: theory#coupling; theory#unordered-pairs; Grisafi2021 Eq. 6.

    Args:
        left: expansion of a field.
        right: expansion of a field around the same centers; its degrees may be others.
        irreps: irreps to compute.

    Raises:
        ValueError: if the centers differ, or an irrep does not occur in the product.
    """
    wanted = check_irreps(irreps)
    check_centers((left, right))
    plan = plan_product(field_factor(left), field_factor(right), wanted, left is right)
    check_reached(wanted, plan.terms, 2)
    blocks = {
        irrep: coupled_products(terms, left.blocks, right.blocks, irrep.degree)
        for irrep, terms in plan.terms.items()
    }
    labels = {irrep: plan.result.channels[irrep].labels for irrep in blocks}
    return Equivariants(blocks, labels, left.centers)


def check_irreps(irreps: Iterable[Irrep]) -> tuple[Irrep, ...]:
    """The irreps, ascending and without repetition.

    Raises:
        ValueError: if there is none, or one does not exist.
    """
    wanted = tuple(sorted({Irrep(*irrep) for irrep in irreps}))
    wrong = [irrep for irrep in wanted if irrep.degree < 0 or irrep.parity not in (1, -1)]
    if wrong or not wanted:
        raise ValueError(
            f"irreps are {list(wanted)}; give at least one, each with a degree >= 0 and a parity "
            "of 1 or -1"
        )
    return wanted


def check_centers(factors: tuple[Equivariants, ...]) -> None:
    """Raise a ValueError if the factors do not belong to the same centers."""
    numbers = [len(factor.centers) for factor in factors]
    if len(set(numbers)) > 1:
        raise ValueError(f"factors have {numbers} centers; expand all fields around the same atoms")


def check_reached(wanted: tuple[Irrep, ...], reached: Iterable[Irrep], order: int) -> None:
    """Raise a ValueError if an irrep is not among those that a product has."""
    missing = sorted(set(wanted) - set(reached))
    if missing:
        raise ValueError(
            f"a product of these {order} fields has no {', '.join(map(str, missing))}; leave them "
            "out, raise max_angular, or multiply more fields"
        )
