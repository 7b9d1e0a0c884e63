"""Memory and time of a streamed fit, foreseen before it begins."""

import os
import time
from dataclasses import dataclass
from typing import final

import torch

from multilode.numerics.memory import free_bytes
from multilode.prediction.streamed.rows import StreamedRows
from multilode.progress import duration
from multilode.representation.pooled_slopes import block_bytes

EXACT_COLUMNS = 6000  # up to which no combinations are needed; more take minutes to factorize
_COMBINATIONS = (4000, 3000, 2000, 1500, 1000, 700, 500, 300, 200)
_FEW = 2000  # combinations; of dipeptides 1000 leave twice the error of 4000
_ROWS_EACH = 4  # rows for each combination; more would only fit their noise
_SAMPLED = 1.25  # rows of the sample for each combination
_BATCH_BYTES = 1.5e8  # of the rows of a batch
_BATCHES = 4  # copies of a batch that are there at once
_PROCESS_BYTES = 3e8  # what else a training has grown by: tables, predictions
_SEARCHED = 25  # decompositions of the search for term weights, for each fold
_WALKED = 4  # trials of regularizations with all columns
_SEARCH_SECONDS = 0.2  # of one decomposition of the search
_PROBED = 3  # structures


@final
@dataclass(frozen=True, kw_only=True)
class Plan:
    """How a fit is done, and what it takes.

    Args:
        columns: number of features, of all terms.
        combinations: number that takes their place; None for the features themselves.
        n_folds: number of folds; 1 without cross-validation.
        needed: bytes at the peak, beside what is taken already.
        usable: bytes that may be taken.
        limited: whether more combinations would not have fitted.
    """

    columns: int
    combinations: int | None
    n_folds: int
    needed: float
    usable: float
    limited: bool = False

    @property
    def size(self) -> int:
        """Number of columns of the normal equations."""
        return self.combinations or self.columns

    @property
    def sampled_rows(self) -> int:
        """Rows of the sample, from which combinations are made."""
        return round(_SAMPLED * (self.combinations or 0))

    @property
    def batch_atoms(self) -> int:
        """Atoms of a batch of rows."""
        return max(1, int(_BATCH_BYTES / (24 * self.columns)))

    def seconds(self, rows: StreamedRows, per_atom: float, rate: float) -> float:
        """Estimate of the time of the whole.

        Args:
            rows: what is fitted.
            per_atom: seconds for the features and slopes of an atom.
            rate: multiplications and additions each second.
        """
        n, p = rows.n_rows, self.size
        work, features = 0.55 * n * p**2, per_atom * rows.structures.n_atoms
        if self.combinations is not None:
            m = self.sampled_rows
            share = 1 / max(len(rows.widths), 1)  # combinations are of one term each
            work += share * n * self.columns * p + m**2 * self.columns + 12 * m**3
            features *= 1.3
        solved = self.n_folds * _WALKED + 1 if self.n_folds > 1 else 1
        work += solved * p**3 / 2
        search = _SEARCHED * self.n_folds * _SEARCH_SECONDS if self.n_folds > 1 else 0
        return features + work / rate + search


def planned(rows: StreamedRows, n_folds: int) -> Plan:
    """The way that keeps most and fits into the memory that may be used.

    Raises:
        ValueError: naming settings and the values that would do, if none fits.
    """
    columns, usable = sum(rows.widths), free_bytes(rows.structures.positions.device)
    most = max(min(columns - 1, rows.n_rows // _ROWS_EACH), _COMBINATIONS[-1])
    fewer = [k for k in _COMBINATIONS if k <= most]
    choices: list[int | None] = [*fewer]
    if columns <= EXACT_COLUMNS:
        choices.insert(0, None)
    needed = {choice: _bytes(rows, columns, choice, n_folds) for choice in choices}
    for choice, size in needed.items():
        if size <= usable:
            return Plan(
                columns=columns,
                combinations=choice,
                n_folds=n_folds,
                needed=size,
                usable=usable,
                limited=choice != choices[0],
            )
    least = min(needed.values())
    raise ValueError(
        f"a fit to {rows.n_rows} energies, forces and stresses with {columns} features needs "
        f"{_gb(least)} even in its smallest form, and {_gb(usable)} may be used; set memory to "
        f"'{least / 1e9 + 0.1:.1f} GB' or more if that is there, or give fields fewer functions "
        "(fields.NAME.basis.n_radial, max_angular)"
    )


def _bytes(rows: StreamedRows, columns: int, combinations: int | None, n_folds: int) -> float:
    """Peak of the stages: sampling, adding up, solving."""
    counts = rows.structures.counts
    most = int(counts.max())
    batch = _BATCHES * max(_BATCH_BYTES, 24.0 * most * columns)
    batch += block_bytes(rows.representation, most)
    p = combinations or columns
    bases = 0.0 if combinations is None else 8.0 * p * columns  # of one term, at worst
    matrices = 8.0 * p**2 * (n_folds + 1)  # and those of some batches
    adding = bases + matrices + batch
    solving = bases + matrices + 8.0 * p**2 * (2 if n_folds > 1 else 1)
    sampling = 0.0
    if combinations is not None:
        m = _SAMPLED * p
        sampling = 2 * 8.0 * m * columns + 3 * 8.0 * m**2 + 2 * bases + batch
    return _PROCESS_BYTES + max(adding, solving, sampling)


def probe(rows: StreamedRows, plan: Plan) -> float:
    """Seconds that the whole will take, from a few structures and one product of matrices."""
    n = rows.structures.n_structures
    chosen = torch.linspace(0, n - 1, min(_PROBED, n)).round().long().unique()
    rows.groups(chosen[:1])  # tables are made
    begun = time.perf_counter()
    rows.groups(chosen)
    per_atom = (time.perf_counter() - begun) / int(rows.structures.counts[chosen].sum())
    side = 1000
    matrix = torch.ones(side, side, dtype=torch.float64)
    torch.mm(matrix, matrix)
    begun = time.perf_counter()
    torch.mm(matrix, matrix)
    rate = side**3 / (time.perf_counter() - begun)
    return plan.seconds(rows, per_atom, rate)


def forecast(rows: StreamedRows, plan: Plan, seconds: float) -> str:
    """What is going to be done, in one or two sentences."""
    features, doubt = f"{plan.columns} features", ""
    if plan.combinations is not None:
        features += f" in {plan.combinations} combinations"
        if plan.combinations < _FEW and plan.limited:
            doubt = (
                "; so few combinations cost accuracy: more memory, or fewer functions "
                "(fields.NAME.basis.n_radial, max_angular), keep more"
            )
    cores = torch.get_num_threads()
    return (
        f"normal equations of {rows.n_rows} rows of {features}, added up without storing rows: "
        f"{_gb(plan.needed)} of {_gb(plan.usable)}, about "
        f"{duration(max(seconds, 1))} on {cores} of {os.cpu_count()} cores{doubt}"
    )


def _gb(size: float) -> str:
    return f"{size / 1e9:.1f} GB"
