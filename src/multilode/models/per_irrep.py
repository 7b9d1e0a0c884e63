"""What the settings of a regression mean for one irrep of a tensor."""

from dataclasses import fields

from multilode.models.committee import Committee
from multilode.models.kernel import KernelRidge
from multilode.models.model import AbstractEstimator
from multilode.models.ridge import Ridge
from multilode.models.sparse_kernel import SparseKernelRidge
from multilode.symmetry.cartesian import tensor_kind
from multilode.symmetry.irrep import Irrep

Regression = Ridge | KernelRidge | SparseKernelRidge | Committee


def needed_irreps(tensor: str, estimator: AbstractEstimator) -> tuple[Irrep, ...]:
    """Irreps of the features that a model of a tensor needs, ascending."""
    irreps = set(tensor_kind(tensor).irreps)
    return tuple(sorted(irreps | ({Irrep(0)} if uses_invariants(estimator) else set())))


def uses_invariants(estimator: AbstractEstimator) -> bool:
    """Whether a kernel of it multiplies equivariants with invariants."""
    plain = member_of(estimator)
    if not isinstance(plain, KernelRidge | SparseKernelRidge):
        return False
    zetas = plain.zeta if isinstance(plain.zeta, tuple) else (plain.zeta,)
    return max(zetas) > 1


def member_of(estimator: AbstractEstimator) -> AbstractEstimator:
    """What the members of a committee are, or the estimator itself."""
    return estimator.estimator if isinstance(estimator, Committee) else estimator


def with_terms(estimator: Regression, present: tuple[int, ...], n_terms: int) -> Regression:
    """With the settings of those terms that have features of an irrep.

    Args:
        estimator: its settings that are tuples have one value for each term.
        present: numbers of the terms that have such features.
        n_terms: number of all terms.

    Raises:
        ValueError: if a tuple has another length.
    """
    plain, picked = member_of(estimator), {}
    for field in fields(plain):
        value = getattr(plain, field.name)
        if not isinstance(value, tuple):
            continue
        if len(value) != n_terms:
            raise ValueError(
                f"{field.name} {value} for {n_terms} terms; give one value for each term"
            )
        picked[field.name] = tuple(value[k] for k in present)
    return estimator.with_settings(**picked)
