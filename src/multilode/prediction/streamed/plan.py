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
from multilode.scheduling import distributed, n_workers, workers_here

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
        worker: bytes in each worker, where others add up.
        limited: whether more combinations would not have fitted.
    """

    columns: int
    combinations: int | None
    n_folds: int
    needed: float
    usable: float
    worker: float
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
        n, p, each = rows.n_rows, self.size, n_workers()
        work, features = 0.55 * n * p**2 / each, per_atom * rows.structures.n_atoms / each
        if self.combinations is not None:
            m = self.sampled_rows
            share = 1 / max(len(rows.widths), 1)  # combinations are of one term each
            work += share * n * self.columns * p / each + m**2 * self.columns + 12 * m**3
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
            plan = Plan(
                columns=columns,
                combinations=choice,
                n_folds=n_folds,
                needed=size,
                usable=usable,
                worker=_worker_bytes(rows, columns, choice),
                limited=choice != choices[0],
            )
            _check_workers(plan)
            return plan
    least = min(needed.values())
    raise ValueError(
        f"a fit to {rows.n_rows} energies, forces and stresses with {columns} features needs "
        f"{_gb(least)} even in its smallest form, and {_gb(usable)} may be used; set memory to "
        f"'{least / 1e9 + 0.1:.1f} GB' or more if that is there, or give fields fewer functions "
        "(fields.NAME.basis.n_radial, max_angular)"
    )


def _bytes(rows: StreamedRows, columns: int, combinations: int | None, n_folds: int) -> float:
    """Peak of the stages: sampling, adding up, solving."""
    p, batch = combinations or columns, _batch_bytes(rows, columns)
    bases = _bases_bytes(columns, combinations)
    matrices = 8.0 * p**2 * (n_folds + 1)  # and those of some batches
    adding = bases + matrices + batch
    solving = bases + matrices + 8.0 * p**2 * (2 if n_folds > 1 else 1)
    sampling = 0.0
    if combinations is not None:
        m = _SAMPLED * p
        sampling = 2 * 8.0 * m * columns + 3 * 8.0 * m**2 + 2 * bases + batch
    return _PROCESS_BYTES + max(adding, solving, sampling)


def _batch_bytes(rows: StreamedRows, columns: int) -> float:
    """Rows of a batch, and what they are made of."""
    most = int(rows.structures.counts.max())
    batch = _BATCHES * max(_BATCH_BYTES, 24.0 * most * columns)
    return batch + block_bytes(rows.representation, most)


def _bases_bytes(columns: int, combinations: int | None) -> float:
    """Of one term, at worst."""
    return 0.0 if combinations is None else 8.0 * combinations * columns


def _worker_bytes(rows: StreamedRows, columns: int, combinations: int | None) -> float:
    """Of a worker that adds up: its sums, those that wait or are being sent, and a batch."""
    sums = 5 * 8.0 * (combinations or columns) ** 2
    batch, bases = _batch_bytes(rows, columns), _bases_bytes(columns, combinations)
    return _PROCESS_BYTES + bases + sums + batch


def _check_workers(plan: Plan) -> None:
    """Raise a ValueError if this machine does not have the memory of its workers as well.

    The fit is the same with any number of workers, and so it is not made smaller for them.
    """
    number = workers_here()
    if plan.needed + number * plan.worker <= plan.usable:
        return
    most = int((plan.usable - plan.needed) // plan.worker)
    remedy = f"take 'local:{most}'" if most > 1 else "leave the scheduler out"
    raise ValueError(
        f"each of {number} workers on this machine needs {_gb(plan.worker)} beside "
        f"{_gb(plan.needed)} of the fit, and {_gb(plan.usable)} may be used; {remedy}, or set "
        f"memory to '{(plan.needed + number * plan.worker) / 1e9 + 0.1:.1f} GB' if that is there"
    )


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
    where = f"{torch.get_num_threads()} of {os.cpu_count()} cores"
    if distributed():
        where = f"{n_workers()} workers, which take {_gb(plan.worker)} each"
    return (
        f"normal equations of {rows.n_rows} rows of {features}, added up without storing rows: "
        f"{_gb(plan.needed)} of {_gb(plan.usable)}, about "
        f"{duration(max(seconds, 1))} on {where}{doubt}"
    )


def _gb(size: float) -> str:
    return f"{size / 1e9:.1f} GB"
