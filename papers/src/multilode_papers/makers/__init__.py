"""Codes that make the data: engines of quantum chemistry, and models of the physics.

A maker is `make(folder, *, count, workers, progress) -> Dataset`; finished parts stay in the
folder, so that a run that was stopped continues. A row of the catalogue names it.
Names to know: `run_jobs`, `Frame`, `EngineError`, `write_parts`.
"""
