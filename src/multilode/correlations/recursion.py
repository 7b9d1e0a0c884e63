"""Equivariants of any order, rho x rho x V x ..., one field after the other."""

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor

from multilode.correlations.contraction import Contraction, ContractionSettings, fit_projection
from multilode.correlations.equivariant_spectrum import (
    check_centers,
    check_irreps,
    check_reached,
)
from multilode.correlations.factor import Factor, field_factor, mixed_factor
from multilode.correlations.plan import plan_product, product_irreps
from multilode.correlations.product import coupled_products
from multilode.correlations.selection import TrainingRows
from multilode.equivariants.blocks import Equivariants
from multilode.symmetry.irrep import Irrep


def correlate(
    factors: Sequence[Equivariants],
    irreps: Iterable[Irrep],
    contraction: Contraction | None = None,
) -> Equivariants:
    """Equivariants of the product of some fields, multiplied from left to right.

    Of equal fields that follow each other (the same object), products that differ by the order of
    channels are computed in one order, l and channel ascending, with the weight that keeps scalar
    products; so give equal fields side by side. This leaves all that is independent, and of
    products with equal channels a little more. After a contraction the order of the channels is no
    longer known, and such products are left to the next contraction. Intermediate irreps are those
    that can reach the wanted ones. Labels tell the channels of all factors and the irreps between;
    after a contraction they count components.

    Source: theory#coupling; Grisafi2021 Eq. 6; Nigam2020.

    Args:
        factors: expansions around the same centers.
        irreps: irreps to compute.
        contraction: features to keep after each product, from `fit_contraction` for the same fields
            and irreps; None keeps everything.

    Raises:
        ValueError: if there is no factor, the centers differ, an irrep does not occur, or the
            contraction belongs to other products.
    """
    wanted = check_irreps(irreps)
    n_steps = len(factors) - 1
    if contraction is not None and len(contraction.projections) != n_steps:
        raise ValueError(
            f"the contraction has {len(contraction.projections)} steps, {len(factors)} factors "
            f"have {n_steps}; fit it to the same fields"
        )
    return _correlate(factors, wanted, contraction, n_steps)


def fit_contraction(
    batches: Sequence[Sequence[Equivariants]],
    irreps: Iterable[Irrep],
    settings: ContractionSettings,
) -> Contraction:
    """Projections after each product of `correlate`, fitted to a training set.

    Each step is fitted to what the steps before it leave. For blocks that can have a mean, the
    invariants, its direction is always kept. Work and memory of a step grow with the number of
    features before it, times the smaller of that and the number of centers times m: some thousand
    centers are enough.

    Source: theory#contraction; Nigam2020.

    Args:
        batches: factors of each batch of training structures.
        irreps: irreps of the last product.
        settings: how many features to keep, and how.

    Raises:
        ValueError: as `correlate`; or if there is nothing to fit to.
    """
    wanted = check_irreps(irreps)
    if not batches or not sum(len(factors[0].centers) for factors in batches if factors):
        raise ValueError("there are no centers to fit a contraction to; give training structures")
    fitted = Contraction((), ())
    for n_steps in range(1, len(batches[0])):
        training: dict[Irrep, TrainingRows] = {}
        for factors in batches:
            with torch.no_grad():
                found = _correlate(factors, wanted, fitted, n_steps)
            for irrep, block in found.blocks.items():
                mine = TrainingRows.of(irrep, block)
                training[irrep] = training[irrep] + mine if irrep in training else mine
        kept = {irrep: fit_projection(rows, settings) for irrep, rows in training.items()}
        fitted = Contraction(
            (*fitted.projections, {irrep: matrix for irrep, (matrix, _) in kept.items()}),
            (*fitted.report, {irrep: report for irrep, (_, report) in kept.items()}),
        )
    return fitted


def _correlate(
    factors: Sequence[Equivariants],
    wanted: tuple[Irrep, ...],
    contraction: Contraction | None,
    n_steps: int,
) -> Equivariants:
    """The first steps of the recursion, contracted as far as the contraction goes."""
    if not factors:
        raise ValueError("a correlation needs at least one field")
    check_centers(tuple(factors))
    needed = _needed(factors, wanted)
    check_reached(wanted, needed[-1], len(factors))
    factor = field_factor(factors[0])
    blocks = {irrep: factors[0].blocks[irrep] for irrep in needed[0]}
    for step in range(1, n_steps + 1):
        field, repeated = factors[step], factors[step] is factors[step - 1]
        plan = plan_product(factor, field_factor(field), needed[step], repeated)
        matrices = None
        if contraction is not None and step <= len(contraction.projections):
            matrices = contraction.projections[step - 1]
            _check_contraction(matrices, plan.result, step)
        blocks = {
            irrep: coupled_products(
                terms,
                blocks,
                field.blocks,
                irrep.degree,
                None if matrices is None else matrices[irrep],
            )
            for irrep, terms in plan.terms.items()
        }
        factor = plan.result
        if matrices is not None:
            sizes = tuple((irrep, matrices[irrep].shape[1]) for irrep in blocks)
            factor = mixed_factor(sizes, step + 1)
    if n_steps == len(factors) - 1:  # channels may be too few to be antisymmetric
        check_reached(wanted, blocks, len(factors))
    labels = {irrep: factor.channels[irrep].labels for irrep in blocks}
    return Equivariants(blocks, labels, factors[0].centers)


def _needed(factors: Sequence[Equivariants], wanted: tuple[Irrep, ...]) -> list[tuple[Irrep, ...]]:
    """Irreps needed after each factor: those that exist and lead to the wanted ones."""
    fields = [tuple(sorted(factor.blocks)) for factor in factors]
    reached = [set(fields[0])]
    for field in fields[1:]:
        reached.append({i for a in reached[-1] for b in field for i in product_irreps(a, b)})
    needed = [set(wanted) & reached[-1]]
    for before, field in zip(reached[-2::-1], fields[:0:-1], strict=True):
        useful = {a for a in before for b in field if needed[0] & set(product_irreps(a, b))}
        needed.insert(0, useful)
    return [tuple(sorted(irreps)) for irreps in needed]


def _check_contraction(matrices: Mapping[Irrep, Tensor], result: Factor, step: int) -> None:
    for irrep, channels in result.channels.items():
        expected = len(channels.labels)
        found = matrices[irrep].shape[0] if irrep in matrices else 0
        if found != expected:
            raise ValueError(
                f"after factor {step + 1} there are {expected} products with {irrep}, the "
                f"contraction was fitted to {found}; fit it to the same fields and irreps"
            )
