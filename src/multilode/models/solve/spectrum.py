"""Eigendecompositions that serve a whole grid of regularizations."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

_ROUNDING = 2e-15  # of singular values and of eigenvalues, relative to the largest


@final
@dataclass(frozen=True, kw_only=True)
class Spectrum:
    """Eigenpairs of a kernel matrix in the space orthogonal to the unpenalized columns.

    Args:
        vectors: orthonormal eigenvectors u, orthogonal to `fixed` where their eigenvalue is not 0.
        eigenvalues: of the kernel, not negative; the squared singular values of the features.
        fixed: orthonormal basis of the unpenalized columns (may have no column).
        floor: smallest regularization that is not lost in the rounding of the eigenvalues.
        n_targets: number of samples, the first, that vary about a mean; those that follow are
            derivatives, which do not. None for all.
        right: right singular vectors of the weighted features; None of a kernel matrix.
    """

    vectors: Float[Tensor, "sample rank"]
    eigenvalues: Float[Tensor, " rank"]
    fixed: Float[Tensor, "sample column"]
    floor: float = 0.0
    n_targets: int | None = None
    right: Float[Tensor, "feature rank"] | None = None

    @property
    def complete(self) -> bool:
        """Whether eigenvectors and fixed columns together span the space of all samples."""
        return self.vectors.shape[1] + self.fixed.shape[1] == len(self.vectors)

    @property
    def mean_eigenvalue(self) -> float:
        """Mean eigenvalue of the kernel about its mean: the unit of regularizations."""
        first = self.vectors[: self.n_targets]
        along_mean = first.mean(dim=0).square() * len(first)
        total = float(self.eigenvalues.sum())
        centered = total - float(self.eigenvalues @ along_mean)
        return regularization_unit(centered, total, len(self.vectors))

    def regularizations(
        self, relative: Float[Tensor, " regularization"]
    ) -> Float[Tensor, " regularization"]:
        """Absolute regularizations, not below what the rounding of the decomposition allows."""
        return (relative * self.mean_eigenvalue).clamp(min=self.floor)

    def outside(self, y: Float[Tensor, "sample target"]) -> Float[Tensor, "sample target"]:
        """Part of `y` that neither the eigenvectors nor the fixed columns describe."""
        if self.complete:
            return torch.zeros_like(y)  # exactly; rounding would be divided by the regularization
        remainder = y - self.fixed @ (self.fixed.T @ y)
        return remainder - self.vectors @ (self.vectors.T @ remainder)


def regularization_unit(centered: float, total: float, n_samples: int) -> float:
    """Unit of relative regularizations: the variance of the features.

    Features of which a large part is the same in all samples (as for one chemical formula) differ
    only by little, and it is the differences that are learned.

    Args:
        centered: trace of the kernel about the mean of the samples.
        total: trace of the kernel, taken where the samples do not differ.
        n_samples: number of samples.
    """
    trace = centered if centered > 1e-14 * total else total
    return trace / n_samples if trace > 0 else 1.0


class AbstractTermSpectra(ABC):
    """Gives the spectrum of sum_c w_c K_c for any weights w_c >= 0."""

    n_terms: int

    @abstractmethod
    def spectrum(self, weights: tuple[float, ...]) -> Spectrum:
        """Decompose for one choice of weights."""


def orthonormal_columns(columns: Float[Tensor, "sample column"]) -> Float[Tensor, "sample basis"]:
    """Orthonormal basis of the space that `columns` span; dependent columns are dropped."""
    left, singular, _ = torch.linalg.svd(columns, full_matrices=False)
    largest = singular.max() if singular.numel() else 0.0
    return left[:, singular > 1e-10 * largest]


def orthogonal_complement(
    basis: Float[Tensor, "sample column"],
) -> Float[Tensor, "sample rest"]:
    """Orthonormal basis of everything orthogonal to the orthonormal columns of `basis`."""
    full, _ = torch.linalg.qr(basis, mode="complete")
    return full[:, basis.shape[1] :]


@final
class TallTermSpectra(AbstractTermSpectra):
    """Spectra of features that are fewer than the samples, from one QR decomposition.

    The singular values are those of the features themselves, never of a product with its
    transpose, which would square the condition number.
    """

    def __init__(
        self,
        terms: tuple[Float[Tensor, "sample _"], ...],
        unpenalized: Float[Tensor, "sample column"],
    ) -> None:
        self.n_terms = len(terms)
        stack = torch.cat(terms, dim=1)
        self._fixed = fixed = orthonormal_columns(unpenalized)
        self._widths = torch.tensor([term.shape[1] for term in terms])
        # together with the fixed columns: of dependent features alone, the factorization would add
        # directions that are not orthogonal to them
        q, r = torch.linalg.qr(torch.cat([fixed, stack], dim=1))
        self._q, self._r = q[:, fixed.shape[1] :], r[fixed.shape[1] :, fixed.shape[1] :]

    def spectrum(self, weights: tuple[float, ...]) -> Spectrum:
        """Decompose the features with term c multiplied by the root of w_c."""
        roots = torch.tensor(weights, dtype=self._r.dtype).sqrt()
        left, singular, right = torch.linalg.svd(
            self._r * roots.repeat_interleave(self._widths), full_matrices=False
        )
        # of dependent features the smallest singular values are rounding, not information
        rounding = len(self._q) * torch.finfo(singular.dtype).eps * singular.max()
        singular = torch.where(singular > rounding, singular, 0.0)
        eigenvalues = singular.square()
        return Spectrum(
            vectors=self._q @ left,
            eigenvalues=eigenvalues,
            fixed=self._fixed,
            floor=float(eigenvalues.max()) * _ROUNDING**2,
            right=right.T,
        )


@final
class KernelTermSpectra(AbstractTermSpectra):
    """Spectra of kernel matrices, decomposed in the complement of the fixed columns."""

    def __init__(
        self,
        kernels: tuple[Float[Tensor, "sample sample"], ...],
        unpenalized: Float[Tensor, "sample column"],
    ) -> None:
        self.n_terms = len(kernels)
        self._fixed = fixed = orthonormal_columns(unpenalized)
        self._complement = orthogonal_complement(fixed) if fixed.shape[1] else None
        self._kernels = tuple(self._project(kernel) for kernel in kernels)

    def _project(self, kernel: Float[Tensor, "sample sample"]) -> Float[Tensor, "rest rest"]:
        if self._complement is None:
            return kernel
        return self._complement.T @ kernel @ self._complement

    def spectrum(self, weights: tuple[float, ...]) -> Spectrum:
        """Decompose the weighted sum of the kernels; eigenvalues below zero are rounding."""
        total = torch.zeros_like(self._kernels[0])
        for weight, kernel in zip(weights, self._kernels, strict=True):
            if weight > 0:
                total = total.add(kernel, alpha=weight)
        values, vectors = torch.linalg.eigh(total)
        if self._complement is not None:
            vectors = self._complement @ vectors
        return Spectrum(
            vectors=vectors,
            eigenvalues=values.clamp(min=0),
            fixed=self._fixed,
            floor=float(values[-1:].sum()) * _ROUNDING,  # no value: one sample and an intercept
        )


def term_spectra(
    scaled: tuple[Float[Tensor, "sample _"], ...],
    unpenalized: Float[Tensor, "sample column"],
) -> AbstractTermSpectra:
    """Features where they are fewer than the samples, otherwise kernels between samples."""
    n_samples, n_features = len(scaled[0]), sum(term.shape[1] for term in scaled)
    if n_features < n_samples - unpenalized.shape[1]:
        return TallTermSpectra(scaled, unpenalized)
    return KernelTermSpectra(tuple(term @ term.T for term in scaled), unpenalized)
