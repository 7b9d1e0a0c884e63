"""Cross-validation in closed form: every fold and regularization from one decomposition.

For y = B beta + f + noise with the kernel K of f and the regularization g, let G = K + g and
P = G^-1 - G^-1 B (B^T G^-1 B)^-1 B^T G^-1. The residuals of a fold F, predicted by a model that was
fitted without F, are (P_FF)^-1 (P y)_F: no refit is needed. With eigenpairs (e, u) of the kernel
projected on the complement of B, and an orthonormal basis b of B,

    g P = 1 - b b^T - u diag(e / (e + g)) u^T,

which holds for thin decompositions too. It is the block form of the leave-one-out residual of a
linear smoother.
"""

from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from multilode.models.solve.spectrum import Spectrum


@final
@dataclass(frozen=True, kw_only=True)
class RegularizationScan:
    """Cross-validated errors of a grid of regularizations.

    Args:
        regularizations: absolute values, in the unit of the kernel's eigenvalues.
        errors: root mean squared residual over all samples and targets, in the unit of y.
        shown: the same over the first samples only, which are targets; forces may follow them.
        derived: the same over those that follow; NaN if there are none.
    """

    regularizations: Float[Tensor, " regularization"]
    errors: Float[Tensor, " regularization"]
    shown: Float[Tensor, " regularization"]
    derived: Float[Tensor, " regularization"]

    @property
    def best(self) -> tuple[float, float, float, float]:
        """Regularization of the lowest error, that error, and those of targets and of forces."""
        index = int(self.errors.argmin())
        return (
            float(self.regularizations[index]),
            float(self.errors[index]),
            float(self.shown[index]),
            float(self.derived[index]),
        )


def make_folds(
    n: int, n_folds: int | None, seed: int, groups: Int[Tensor, " sample"] | None = None
) -> Int[Tensor, " sample"]:
    """Fold of each of `n` samples, drawn at random; a group is never split.

    Args:
        n_folds: number of folds, reduced to the number of samples (or groups) if there are fewer;
            None leaves out one sample (or group) at a time.
        seed: of the random draw; the same seed gives the same folds.
        groups: samples with equal numbers stay in one fold.

    Raises:
        ValueError: if fewer than two folds are asked for or possible.
    """
    members = (
        torch.arange(n)
        if groups is None
        else torch.as_tensor(groups).unique(return_inverse=True)[1]
    )
    if len(members) != n:
        raise ValueError(f"got {len(members)} group numbers for {n} samples; give one per sample")
    n_groups = int(members.max()) + 1 if n else 0
    wanted = n_groups if n_folds is None else min(n_folds, n_groups)
    if wanted < 2:
        raise ValueError(
            f"cross-validation needs at least 2 folds and 2 samples or groups, got {n_folds} folds "
            f"of {n_groups}; add data or give the regularization and the term weights"
        )
    sizes = torch.bincount(members, minlength=n_groups)
    generator = torch.Generator().manual_seed(seed)
    shuffled = torch.randperm(n_groups, generator=generator)
    order = shuffled[torch.argsort(sizes[shuffled], descending=True, stable=True)]
    fold_of_group = torch.empty(n_groups, dtype=torch.int64)
    load = torch.zeros(wanted, dtype=torch.int64)
    for group in order.tolist():  # the largest group first, into the emptiest fold
        fold = int(load.argmin())
        fold_of_group[group] = fold
        load[fold] += sizes[group]
    return fold_of_group[members]


def cross_validated_residuals(
    spectrum: Spectrum,
    y: Float[Tensor, "sample target"],
    folds: Int[Tensor, " sample"],
    regularizations: Float[Tensor, " regularization"],
) -> Float[Tensor, "regularization sample target"]:
    """Residuals y - prediction of each sample by the model fitted without its fold.

    Source: theory#cross-validation.

    Args:
        folds: fold of each sample.
        regularizations: absolute values, larger than 0.

    Raises:
        ValueError: if without one fold an unpenalized column is no longer determined.
    """
    residuals = _smoother_residuals(spectrum, y, regularizations)
    if len(folds.unique()) == len(folds):
        _check_fixed(spectrum.fixed.square().sum(dim=1).max(), "a sample")
        return residuals / _leave_one_out_diagonal(spectrum, regularizations)[..., None]
    result = torch.empty_like(residuals)
    for fold in folds.unique().tolist():
        rows = (folds == fold).nonzero()[:, 0]
        result[:, rows] = _fold_residuals(spectrum, rows, residuals[:, rows], regularizations)
    return result


def scan_regularizations(
    spectrum: Spectrum,
    y: Float[Tensor, "sample target"],
    folds: Int[Tensor, " sample"],
    relative: Float[Tensor, " regularization"],
) -> RegularizationScan:
    """Errors for regularizations that are given relative to `mean_eigenvalue`."""
    regularizations = spectrum.regularizations(relative)
    residuals = cross_validated_residuals(spectrum, y, folds, regularizations)
    errors, shown = (
        part.square().mean(dim=(1, 2)).sqrt().nan_to_num(nan=torch.inf, posinf=torch.inf)
        for part in (residuals, residuals[:, : spectrum.n_targets])
    )
    n = len(y) if spectrum.n_targets is None else spectrum.n_targets
    return RegularizationScan(
        regularizations=regularizations,
        errors=errors,
        shown=shown,
        derived=residuals[:, n:].square().mean(dim=(1, 2)).sqrt(),
    )


def _kept(
    spectrum: Spectrum, regularizations: Float[Tensor, " regularization"]
) -> Float[Tensor, "regularization rank"]:
    """Share g / (e + g) of each eigenvector that stays in the residual."""
    g = regularizations[:, None]
    return g / (spectrum.eigenvalues + g)


def _smoother_residuals(
    spectrum: Spectrum,
    y: Float[Tensor, "sample target"],
    regularizations: Float[Tensor, " regularization"],
) -> Float[Tensor, "regularization sample target"]:
    """Residuals g P y of the fit to all samples."""
    projected = spectrum.vectors.T @ y  # [rank, target]
    kept = _kept(spectrum, regularizations)[..., None] * projected
    return spectrum.vectors @ kept + spectrum.outside(y)


def _leave_one_out_diagonal(
    spectrum: Spectrum, regularizations: Float[Tensor, " regularization"]
) -> Float[Tensor, "regularization sample"]:
    """Diagonal of g P."""
    squared = spectrum.vectors.square()
    diagonal = _kept(spectrum, regularizations) @ squared.T
    if spectrum.complete:
        return diagonal
    return diagonal + (1 - squared.sum(dim=1) - spectrum.fixed.square().sum(dim=1))


def _fold_residuals(
    spectrum: Spectrum,
    rows: Int[Tensor, " member"],
    residuals: Float[Tensor, "regularization member target"],
    regularizations: Float[Tensor, " regularization"],
) -> Float[Tensor, "regularization member target"]:
    """Solve (g P)_FF x = (g P y)_F for one fold F, in the smaller of two spaces."""
    vectors, fixed = spectrum.vectors[rows], spectrum.fixed[rows]
    if fixed.shape[1]:
        _check_fixed(torch.linalg.eigvalsh(fixed.T @ fixed)[-1], "a fold")
    kept = _kept(spectrum, regularizations)
    if spectrum.complete or vectors.shape[1] + fixed.shape[1] >= len(rows):
        return _solve_by_samples(vectors, fixed, kept, residuals, complete=spectrum.complete)
    return _solve_by_rank(vectors, fixed, kept, residuals)


def _solve_by_samples(
    vectors: Float[Tensor, "member rank"],
    fixed: Float[Tensor, "member column"],
    kept: Float[Tensor, "regularization rank"],
    residuals: Float[Tensor, "regularization member target"],
    *,
    complete: bool,
) -> Float[Tensor, "regularization member target"]:
    """Dense solve with the samples of the fold."""
    outside = torch.zeros(len(vectors), len(vectors), dtype=vectors.dtype)
    if not complete:
        outside = torch.eye(len(vectors), dtype=vectors.dtype)
        outside -= vectors @ vectors.T + fixed @ fixed.T
    solutions = [
        torch.linalg.solve_ex(outside + (vectors * share) @ vectors.T, residual)[0]
        for share, residual in zip(kept, residuals, strict=True)
    ]
    return torch.stack(solutions)


def _solve_by_rank(
    vectors: Float[Tensor, "member rank"],
    fixed: Float[Tensor, "member column"],
    kept: Float[Tensor, "regularization rank"],
    residuals: Float[Tensor, "regularization member target"],
) -> Float[Tensor, "regularization member target"]:
    """Woodbury solve: (1 - W W^T)^-1 = 1 + W (1 - W^T W)^-1 W^T with few columns W."""
    joined = torch.cat([fixed, vectors], dim=1)
    gram = joined.T @ joined
    identity = torch.eye(len(gram), dtype=gram.dtype)
    solutions = []
    for share, residual in zip(kept, residuals, strict=True):
        root = torch.cat([share.new_ones(fixed.shape[1]), (1 - share).sqrt()])
        inner = identity - root[:, None] * gram * root
        projected = root[:, None] * (joined.T @ residual)
        correction = torch.linalg.solve_ex(inner, projected)[0]
        solutions.append(residual + joined @ (root[:, None] * correction))
    return torch.stack(solutions)


def _check_fixed(largest: Tensor | float, what: str) -> None:
    if float(largest) > 1 - 1e-10:
        raise ValueError(
            f"without {what} that is left out, an unpenalized column (such as the intercept) is no "
            "longer determined by the remaining samples; use other folds, or fewer columns"
        )
