"""Tensors: dipoles, polarizabilities and hyperpolarizabilities, local and multi-scale models.

Every irrep of a tensor has its own regression: linear in raw features, or with kernels of
normalized ones. What has to be chosen (weights of the terms, regularization, species of the
centers) is chosen by cross-validation on training structures; the test structures are predicted
once per row. Some of the test structures are predicted a second time in another orientation: the
predictions must turn with them.

    MULTILODE_DATA=<folder> python studies/tensors.py water_clusters -o build/water_clusters

Features of linear models are kept in the output folder, so that an interrupted run goes on there.
"""

import argparse
import json
import os
import sys
import time
from dataclasses import asdict
from pathlib import Path

import torch
from tensor_families import SYSTEMS
from tensor_learning import Learned, study
from tensor_report import draw, print_curves, print_rows


def run(system: str, folder: Path, output: Path) -> None:
    """All families of a system."""
    begin = time.perf_counter()
    found: list[Learned] = []
    for family in SYSTEMS[system](folder):
        print(f"{family.name}: {family.data.note}", flush=True)
        learned = study(family, output / "features")
        print_rows(learned)
        print_curves(learned)
        draw(learned, output)
        found.append(learned)
        seconds = time.perf_counter() - begin
        text = json.dumps([asdict(f) for f in found], indent=1, ensure_ascii=False)
        (output / "metrics.json").write_text(f'{{"seconds": {seconds:.0f}, "families": {text}}}\n')
    print(f"{seconds:.0f} s; RMSE% is relative to the test set's standard deviation (ddof 0)")


def main() -> int:
    """Run the study, or say what is missing."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("system", choices=SYSTEMS)
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder for the results")
    arguments = parser.parse_args()
    folder = os.environ.get("MULTILODE_DATA")
    if not folder:
        print(
            "set MULTILODE_DATA to the folder that holds the data (see studies/README.md)",
            file=sys.stderr,
        )
        return 2
    torch.set_num_threads(1)
    arguments.output.mkdir(parents=True, exist_ok=True)
    run(arguments.system, Path(folder), arguments.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
