"""Open settings of a regression: tried on some rows, confirmed on all of them.

Each trial of term weights decomposes the kernel of its rows, in time that grows with their cube.
Where there are many rows, weights are therefore tried on some of them; all rows are decomposed
once, with the best weights, and the regularization is chosen again from that one spectrum.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from multilode.models.rows import Rows
from multilode.models.solve.cross_validation import (
    RegularizationScan,
    cross_validated_residuals,
    make_folds,
    scan_regularizations,
)
from multilode.models.solve.fold_errors import FoldErrors, folds_wanted, keep_folds
from multilode.models.solve.spectrum import AbstractTermSpectra, Spectrum
from multilode.models.solve.term_weights import Choice, Search, Trial, search_term_weights
from multilode.progress import begin

FEWEST_ROWS = 500  # all rows are searched up to here: their trials take a tenth of a second
MOST_ROWS = 1200  # a trial takes half a second
_NEAR = 4  # steps of the grid about the regularization of some rows that are tried on all

RELATIVE_REGULARIZATIONS = torch.logspace(-12, 3, 31, dtype=torch.float64)

Decompose = Callable[[Rows], AbstractTermSpectra]


@final
@dataclass(frozen=True, kw_only=True)
class Settled:
    """What was chosen, and the spectrum that it was chosen from.

    Args:
        choice: regularization and term weights.
        spectrum: of all rows with these weights.
    """

    choice: Choice
    spectrum: Spectrum

    @property
    def regularization(self) -> float:
        """In the unit of the eigenvalues, not below what their rounding allows."""
        relative = torch.tensor([self.choice.regularization], dtype=torch.float64)
        return float(self.spectrum.regularizations(relative))


def settle(rows: Rows, search: Search, decompose: Decompose) -> Settled:
    """The open settings, chosen by cross-validation on these rows only; one spectrum of all rows.

    Source: theory#cross-validation; theory#multiscale.

    Args:
        rows: whose terms are scaled, so that their weights are comparable.
        search: given settings.
        decompose: rows to the spectra of their weighted terms.

    Raises:
        ValueError: if the rows are too few for cross-validation.
    """
    settled = _settled(rows, search, decompose)
    if folds_wanted():
        keep_folds(_fold_errors(rows, search, settled))
    return settled


def _settled(rows: Rows, search: Search, decompose: Decompose) -> Settled:
    weights, table, near = search.term_weights, (), None
    if len(rows.terms) == 1:
        weights = (1.0,)  # a common factor of weights and regularization has no effect
    n_searched = searched_rows(len(rows), len(rows.terms))
    if weights is None and n_searched < len(rows):
        sample = rows.sample(n_searched, search.seed)
        trials = _Trials(rows=sample, spectra=decompose(sample), search=search)
        best = trials.search_weights()
        weights, near, table = best.term_weights, best.regularization, trials.table
    spectra = decompose(rows)
    if weights is not None and search.regularization is not None and not table:
        choice = Choice(term_weights=weights, regularization=search.regularization)
        return Settled(choice=choice, spectrum=_decomposed(spectra, weights, rows))
    trials = _Trials(rows=rows, spectra=spectra, search=search, near=near)
    if weights is None:
        best = trials.search_weights()
    else:
        progress = begin(f"decomposing {len(rows)} rows")
        best = trials.evaluate(weights)
        progress(1, 1)
    choice = Choice(
        term_weights=best.term_weights,
        regularization=best.regularization,
        table=(*table, *trials.table),
    )
    return Settled(choice=choice, spectrum=trials.best_spectrum)


def _fold_errors(rows: Rows, search: Search, settled: Settled) -> FoldErrors:
    """Of the settings that were given or chosen."""
    folds = make_folds(len(rows), search.folds, search.seed, rows.groups)
    regularization = torch.tensor([settled.regularization], dtype=torch.float64)
    residuals = cross_validated_residuals(settled.spectrum, rows.y, folds, regularization)[0]
    irrep, n = rows.problem.irrep, rows.n_targets
    return FoldErrors.of(irrep, residuals, folds, n, rows.force_weight)


def searched_rows(n_rows: int, n_terms: int) -> int:
    """Rows on which term weights are tried: about as expensive as one decomposition of all rows.

    There are about ten trials for each term.
    """
    share = n_rows / (10 * n_terms) ** (1 / 3)
    return min(n_rows, max(FEWEST_ROWS, min(MOST_ROWS, round(share))))


class _Trials:
    """Cross-validated errors of term weights on the same rows and folds; all of them are kept."""

    def __init__(
        self,
        *,
        rows: Rows,
        spectra: AbstractTermSpectra,
        search: Search,
        near: float | None = None,
    ) -> None:
        self._rows, self._spectra, self._search, self._near = rows, spectra, search, near
        self._folds = make_folds(len(rows), search.folds, search.seed, rows.groups)
        self._best: tuple[float, Spectrum] | None = None
        self.table: tuple[Trial, ...] = ()

    @property
    def best_spectrum(self) -> Spectrum:
        """That of the best trial; there must have been one."""
        if self._best is None:
            raise RuntimeError("no trial has been evaluated")
        return self._best[1]

    def search_weights(self) -> Trial:
        """The best term weights."""
        n_terms = len(self._rows.terms)
        progress = begin(f"choosing term weights on {len(self._rows)} rows")
        search_term_weights(self.evaluate, n_terms, progress=progress)
        return min(self.table, key=lambda trial: trial.judged)

    def evaluate(self, weights: tuple[float, ...]) -> Trial:
        """The error at the given regularization, or at the best one of the grid."""
        rows, spectrum = self._rows, _decomposed(self._spectra, weights, self._rows)
        best, judged, rmse, derived = _scanned(
            spectrum, rows.y, self._folds, self._search.regularization, self._near
        ).best
        if self._best is None or judged < self._best[0]:
            self._best = (judged, spectrum)
        trial = Trial(
            term_weights=weights,
            regularization=best / spectrum.mean_eigenvalue,
            rmse=rmse,
            judged=judged,
            forces=None if rows.force_weight is None else derived / rows.force_weight,
            n_rows=len(rows),
        )
        self.table = (*self.table, trial)
        return trial


def _decomposed(spectra: AbstractTermSpectra, weights: tuple[float, ...], rows: Rows) -> Spectrum:
    return replace(spectra.spectrum(weights), n_targets=rows.n_targets)


def _scanned(
    spectrum: Spectrum,
    y: Float[Tensor, "row target"],
    folds: Int[Tensor, " row"],
    given: float | None,
    near: float | None,
) -> RegularizationScan:
    """Errors at the given regularization, on the grid, or on the grid near an earlier best one."""
    grid = RELATIVE_REGULARIZATIONS
    if given is not None:
        return scan_regularizations(spectrum, y, folds, grid.new_tensor([given]))
    if near is None:
        return scan_regularizations(spectrum, y, folds, grid)
    middle = int((grid.log() - torch.tensor(near).log()).abs().argmin())
    first, last = max(middle - _NEAR, 0), min(middle + _NEAR, len(grid) - 1)
    scan = scan_regularizations(spectrum, y, folds, grid[first : last + 1])
    best = first + int(scan.errors.argmin())
    if (best == first > 0) or (best == last < len(grid) - 1):
        return scan_regularizations(spectrum, y, folds, grid)  # it moved further than expected
    return scan
