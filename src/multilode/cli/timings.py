"""Where the time of a command went: kept apart from results, which do not depend on the hour."""

import time
from pathlib import Path
from typing import final

from multilode.files import write_json
from multilode.numerics.memory import largest_memory
from multilode.progress import Progress, Stage, duration

_SHOWN = 3  # stages of the line for the terminal


@final
class Timings:
    """Seconds and memory by stage.

    A stage lasts until the next one begins; what begins again is added up.

    Args:
        stage: starts a progress report.
    """

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._begun = time.perf_counter(), time.process_time()
        self._name = "starting"
        self._rows: dict[str, dict[str, float]] = {}

    def begin(self, name: str) -> Progress:
        """A stage in the place of the one that is passed to a workflow."""
        self.mark(name)
        return self._stage(name)

    def mark(self, name: str) -> None:
        """Count what follows under this name, without a report of its progress."""
        self._end()
        self._name = name

    def write(self, path: Path) -> None:
        """Write all stages until now, in the order of their beginning.

        Args:
            path: a JSON file.

        Raises:
            OSError: if it cannot be written.
        """
        self._end()
        rows = [{"stage": name, **row} for name, row in self._rows.items()]
        write_json(path, {"stages": rows})

    def summary(self) -> str:
        """The whole time and the longest stages in one line."""
        self._end()
        seconds = {name: row["seconds"] for name, row in self._rows.items()}
        longest = sorted(seconds, key=lambda name: -seconds[name])[:_SHOWN]
        told = ", ".join(f"{name} {duration(seconds[name])}" for name in longest)
        return (
            f"{duration(sum(seconds.values()))} ({told}), largest memory {largest_memory():.2f} GB"
        )

    def _end(self) -> None:
        now = time.perf_counter(), time.process_time()
        row = self._rows.setdefault(self._name, {"seconds": 0.0, "cpu_seconds": 0.0})
        row["seconds"] += now[0] - self._begun[0]
        row["cpu_seconds"] += now[1] - self._begun[1]
        row["largest_memory_gb"] = largest_memory()
        self._begun = now
