"""Data sets of the papers: a row for each, the files that ship, the archive of the 2021 paper.

Names to know: `COLLECTION`, which multilode finds under the entry point `multilode.datasets`.
To add a data set, write a row in `catalogue.py`; files go to `shipped/` with their sums.
"""

from multilode_papers.datasets.catalogue import COLLECTION

__all__ = ["COLLECTION"]
