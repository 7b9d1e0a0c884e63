"""The systems of the papers, each with one command, its numbers beside those of the paper."""

from multilode.reproduce.outcome import DataUsed, Outcome, Row
from multilode.reproduce.study import Study
from multilode.reproduce.systems import SYSTEMS, System, system

__all__ = ["SYSTEMS", "DataUsed", "Outcome", "Row", "Study", "System", "system"]
