"""Error against minutes of training: our default network beside MACE, on the same molecules.

    python benchmarks/bench_training.py ours
    python benchmarks/bench_training.py mace --epochs 30
    python benchmarks/bench_training.py plot

495 dipeptides (third-party: MULTILODE_DATA). Both set the same tenth of them aside, drawn at
random, by which each keeps its best weights; the 55 of the other file are predicted once, at the
end. One thread, processor time from the first structure read to the last epoch. MACE (`pip install
mace-torch`): two layers of 32 invariant channels, batches of 5, float32, averaged weights, all else
as it is by default.
Each run replaces its own part of benchmarks/results/training.json.
"""

import argparse
import importlib
import json
import logging
import os
import re
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import ase.io
import matplotlib as mpl
import numpy as np
import torch
from ase import Atoms

from multilode.config import config_from_dict
from multilode.models.network import Network
from multilode.models.network.training import validation_set
from multilode.workflow.experiment import run_training
from multilode.workflow.sets import load_sets

RESULTS = Path(__file__).parent / "results" / "training.json"
FIGURE = Path(__file__).parents[1] / "docs" / "figures" / "training_minutes.png"
ENERGY, FORCES = "total_energy", "ref_forces"
_OURS = re.compile(r"validation set ([\d.e-]+) of forces")
_THEIRS = re.compile(r"Epoch (\d+): .*RMSE_F=\s*([\d.]+) meV")
_CONFIG = {"target": {"key": ENERGY, "forces": {"key": FORCES}}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("ours", "mace", "plot"))
    parser.add_argument("--epochs", type=int, default=30, help="of MACE")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.what == "plot":
        plot(json.loads(RESULTS.read_text()))
        return
    folder = Path(os.environ["MULTILODE_DATA"]) / "dipeptides"
    with tempfile.TemporaryDirectory() as temporary:
        found = ours(folder) if arguments.what == "ours" else mace(
            folder, Path(temporary), arguments.epochs
        )  # fmt: skip
    kept = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    RESULTS.write_text(json.dumps({**kept, arguments.what: found}, indent=1) + "\n")
    print(json.dumps({**found, "curve": found["curve"][-1:]}, indent=1))


class _Curve(logging.Handler):
    """Minutes of the processor and the errors that a pattern finds in what is logged."""

    def __init__(self, read: Callable[[str], float | None]) -> None:
        super().__init__()
        self.read, self.points = read, []
        self.begun = time.process_time()

    def emit(self, record: logging.LogRecord) -> None:
        error = self.read(record.getMessage())
        if error is not None:
            self.points.append(((time.process_time() - self.begun) / 60, error))


def ours(folder: Path) -> dict:
    """The default of a configuration of four lines."""
    data = {"train": str(folder / "train.xyz.gz"), "test": str(folder / "val.xyz.gz")}
    config = config_from_dict({"data": data, **_CONFIG})

    def read(text: str) -> float | None:
        found = _OURS.search(text)
        return None if found is None else 1e3 * float(found[1])

    curve, logger = _Curve(read), logging.getLogger("multilode")
    logger.addHandler(curve)
    logger.setLevel(logging.INFO)
    run = run_training(config, load_sets(config))

    def predict(frames: list[Atoms]) -> tuple[np.ndarray, np.ndarray]:
        predicted = run.predictor.predict(frames, forces=True)
        return np.ravel(predicted.values), np.asarray(predicted.forces)

    return _row("multilode, default", curve.points, predict, folder)


def mace(folder: Path, temporary: Path, epochs: int) -> dict:
    """The same molecules set aside."""
    frames = _frames(folder / "train.xyz.gz")
    apart = set(validation_set(len(frames), None, Network()))
    for name, chosen in (("train", False), ("valid", True)):
        some = [atoms for k, atoms in enumerate(frames) if (k in apart) == chosen]
        ase.io.write(temporary / f"{name}.xyz", some)
    os.chdir(temporary)
    run = importlib.import_module("mace.cli.run_train").run
    parser = importlib.import_module("mace.tools").build_default_arg_parser()
    settings = {
        "name": "peer", "train_file": "train.xyz", "valid_file": "valid.xyz", "E0s": "average",
        "energy_key": ENERGY, "forces_key": FORCES, "num_channels": 32, "max_L": 0, "r_max": 4.5,
        "correlation": 3, "num_interactions": 2, "batch_size": 5, "valid_batch_size": 10,
        "max_num_epochs": epochs, "default_dtype": "float32", "seed": 0, "device": "cpu",
        "plot": False,
    }  # fmt: skip
    words = [f"--{key}={value}" for key, value in settings.items()] + ["--ema"]

    def read(text: str) -> float | None:
        found = _THEIRS.search(text)
        return None if found is None else float(found[2])

    curve = _Curve(read)
    logging.getLogger().addHandler(curve)
    run(parser.parse_args(words))
    calculators = importlib.import_module("mace.calculators")
    path = max(temporary.glob("peer*.model"), key=lambda p: p.stat().st_mtime)
    calculator = calculators.MACECalculator(
        model_paths=[str(path)], device="cpu", default_dtype="float32"
    )

    def predict(frames: list[Atoms]) -> tuple[np.ndarray, np.ndarray]:
        values, slopes = [], []
        for atoms in frames:
            copy = atoms.copy()
            copy.calc = calculator
            slopes.append(copy.get_forces())
            values.append(copy.get_potential_energy())
        return np.array(values), np.concatenate(slopes)

    return _row("MACE, 32 channels, L = 0", curve.points, predict, folder)


def _row(
    name: str, points: list[tuple[float, float]],
    predict: Callable[[list[Atoms]], tuple[np.ndarray, np.ndarray]], folder: Path,
) -> dict:  # fmt: skip
    """The curve, and the errors of the 55."""
    frames = _frames(folder / "val.xyz.gz")
    energies, forces = predict([Atoms(a.numbers, a.positions) for a in frames])
    counts = np.array([len(atoms) for atoms in frames])
    known = np.array([atoms.info[ENERGY] for atoms in frames])
    slopes = np.concatenate([atoms.arrays[FORCES] for atoms in frames])
    return {
        "name": name,
        "curve": points,
        "test_forces": 1e3 * float(np.sqrt(np.mean((forces - slopes) ** 2))),
        "test_energies": 1e3 * float(np.sqrt(np.mean(((energies - known) / counts) ** 2))),
    }


def _frames(path: Path) -> list[Atoms]:
    return [atoms for atoms in ase.io.iread(path) if isinstance(atoms, Atoms)]


def plot(results: dict) -> None:
    mpl.use("Agg")
    plt = importlib.import_module("matplotlib.pyplot")
    ticker = importlib.import_module("matplotlib.ticker")
    figure, axis = plt.subplots(figsize=(5.6, 3.8))
    for row, color in zip(results.values(), ("#1b6ca8", "#c8553d"), strict=False):
        minutes, errors = zip(*row["curve"], strict=True)
        axis.semilogy(minutes, errors, color=color, label=row["name"])
        axis.plot(minutes[-1], row["test_forces"], "o", color=color)
    axis.set_xlabel("minutes of training (one thread, processor time)")
    axis.set_ylabel("RMSE of forces (meV/Å)")
    axis.set_title("set aside from 495 dipeptides; dots: the 55 for the test", fontsize=9)
    axis.yaxis.set_major_formatter(ticker.ScalarFormatter())
    axis.yaxis.set_minor_formatter(ticker.NullFormatter())
    axis.set_yticks([60, 80, 100, 150, 200, 300, 500, 1000])
    axis.grid(alpha=0.3)
    axis.legend(frameon=False, fontsize=9)
    figure.savefig(FIGURE, dpi=130, bbox_inches="tight")


if __name__ == "__main__":
    main()
