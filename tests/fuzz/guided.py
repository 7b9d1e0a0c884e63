"""Inputs that follow coverage: those that enter a new branch of our readers are changed further.

    pip install "multilode[fuzz]"  # atheris
    python tests/fuzz/guided.py xyz --count 100000 --seed 1 -o build/guided-xyz

The files from which new ones are made stay in the folder, and a later run goes on from them. Faults
are kept under `faults/`, and do not end a run.
"""

import argparse
import hashlib
import importlib
import os
import sys
import tempfile
import time
from pathlib import Path

atheris = importlib.import_module("atheris")  # an extra of its own, on Linux only
with atheris.instrument_imports(include=["multilode.data", "multilode.config", "multilode.files"]):
    from byte_borders import BYTE_BORDERS
    from judge import Fault, limit_memory, peak_bytes

    from multilode.files import write_json

_EVERY = 500  # inputs between two summaries
_KEPT = 3  # inputs that are kept of each kind of fault


class _Run:
    """Counts of one run, and its faults on disk."""

    def __init__(self, name: str, folder: Path, count: int) -> None:
        self.use, self.count = BYTE_BORDERS[name].prepare(), count
        self.folder, self.begun = folder, time.monotonic()
        self.inputs = self.accepted = self.refused = 0
        self.faults: dict[str, int] = {}

    def __call__(self, data: bytes) -> None:
        try:
            if self.use(data):
                self.accepted += 1
            else:
                self.refused += 1
        except Fault as fault:
            self.faults[fault.kind] = self.faults.get(fault.kind, 0) + 1
            if self.faults[fault.kind] <= _KEPT:
                self._keep(fault, data)
        self.inputs += 1
        if self.inputs % _EVERY == 0 or self.inputs == self.count:  # libFuzzer ends the process
            self.write()

    def write(self) -> None:
        row = {
            "inputs": self.inputs,
            "accepted": self.accepted,
            "refused": self.refused,
            "seconds": round(time.monotonic() - self.begun, 1),
            "peak_mb": peak_bytes() // 10**6,
            "files": len(list((self.folder / "corpus").iterdir())),
            "faults": self.faults,
        }
        write_json(self.folder / "summary.json", row)

    def _keep(self, fault: Fault, data: bytes) -> None:
        kind = "".join(c if c.isalnum() else "-" for c in fault.kind)[:80]
        kept = self.folder / "faults" / kind
        kept.mkdir(parents=True, exist_ok=True)
        name = hashlib.sha256(data).hexdigest()[:12]
        (kept / name).write_bytes(data)
        (kept / f"{name}.said").write_text(f"{fault.kind}\n{fault.said}\n", errors="replace")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("border", choices=sorted(BYTE_BORDERS))
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    border, folder = BYTE_BORDERS[options.border], options.output.absolute()
    (folder / "corpus").mkdir(parents=True, exist_ok=True)
    for data in border.good():
        (folder / "corpus" / f"good-{hashlib.sha256(data).hexdigest()[:12]}").write_bytes(data)
    given = [f"-runs={options.count}", f"-seed={options.seed}", "-max_len=200000"]
    given += ["-rss_limit_mb=0", "-timeout=100", "-verbosity=0"]
    if border.words:
        words = folder / "words"
        words.write_text("".join(f'"{_escaped(word)}"\n' for word in border.words))
        given.append(f"-dict={words}")
    with tempfile.TemporaryDirectory() as place:
        os.chdir(place)
        run = _Run(options.border, folder, options.count)
        limit_memory()
        atheris.Setup([sys.argv[0], *given, str(folder / "corpus")], run)
        atheris.Fuzz()


def _escaped(word: bytes) -> str:
    return "".join(f"\\x{byte:02X}" for byte in word)


if __name__ == "__main__":
    main()
