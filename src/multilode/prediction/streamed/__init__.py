"""Fits to energies, forces and stresses whose rows are never stored."""

from multilode.prediction.streamed.fit import streamed_model
from multilode.prediction.streamed.rows import StreamedRows

__all__ = ["StreamedRows", "streamed_model"]
