"""The systems of the papers, each with one command, its numbers beside those of the paper.

Names to know: `SYSTEMS`, `Study` (input of a system), `Outcome` (its results).
To add a system, write a module with `run(study) -> Outcome` and a row in `systems.py`.
"""

from multilode_papers.systems.outcome import DataUsed, Outcome, Row
from multilode_papers.systems.study import Study
from multilode_papers.systems.systems import SYSTEMS, System, system

__all__ = ["SYSTEMS", "DataUsed", "Outcome", "Row", "Study", "System", "system"]
