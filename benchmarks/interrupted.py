"""How long Ctrl-C takes to be answered in the stages of long trainings.

    python benchmarks/interrupted.py -o build/interrupted

Dipeptides and dimers with eight elements (third-party: MULTILODE_DATA), trained by a network, a
linear model of all forces, a sparse kernel and a linear model of 6822 energies; each is sent SIGINT
at several times, in fields, features, sums, searches, decompositions and epochs.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

DIPEPTIDES = """data: {{train: {data}/dipeptides/train.xyz.gz, test: {data}/dipeptides/val.xyz.gz}}
target: {{key: total_energy, unit: eV, forces: ref_forces}}
"""
DIMERS = """data: {{train: {data}/sapt10k/sapt10k.xyz.gz}}
target: {{key: interaction_energy, unit: kcal/mol}}
"""
TRAININGS = {
    "network": (DIPEPTIDES, (1, 4, 8, 15, 40)),
    "linear, forces": (DIPEPTIDES + "preset: fast\n", (3, 8, 20, 40, 70)),
    "sparse kernel": (
        DIPEPTIDES + "estimator: {{kind: sparse, zeta: 2, n_active: 2000}}\n",
        (10, 30, 60),
    ),
    "linear, 6822 energies": (DIMERS, (6, 12, 20, 28, 36, 44)),
}


def answered(folder: Path, after: float) -> str:
    """Seconds from SIGINT to the end of the command, and its last words."""
    shutil.rmtree(folder / "run", ignore_errors=True)
    words = [sys.executable, "-m", "multilode.cli.main", "train", "config.yaml", "-o", "run"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    pipe = subprocess.PIPE
    process = subprocess.Popen(words, cwd=folder, env=environment, stderr=pipe, stdout=pipe)
    time.sleep(after)
    if process.poll() is not None:
        return "ended before"
    begun = time.monotonic()
    process.send_signal(signal.SIGINT)
    said = process.communicate()[1].decode().strip().splitlines()[-1]
    return f"{time.monotonic() - begun:.2f} s, exit code {process.returncode}, '{said}'"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, required=True)
    folder = parser.parse_args().output
    folder.mkdir(parents=True, exist_ok=True)
    for name, (text, times) in TRAININGS.items():
        (folder / "config.yaml").write_text(text.format(data=os.environ["MULTILODE_DATA"]))
        for after in times:
            print(f"{name}, after {after} s: {answered(folder, after)}", flush=True)


if __name__ == "__main__":
    main()
