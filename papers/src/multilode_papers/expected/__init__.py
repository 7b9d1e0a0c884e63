"""Results that are kept, and whether a run agrees with them.

Names to know: `check`, `expected_metrics`, `differences`.
"""

from multilode_papers.expected.comparison import (
    CheckError,
    check,
    differences,
    expected_metrics,
)

__all__ = ["CheckError", "check", "differences", "expected_metrics"]
