"""Run benchmarks, write benchmarks/results/summary.json, its plots and its tables.

Each suite replaces its own rows of the summary, so that long suites can be run by themselves.
"""

import argparse
import importlib
import json
import os
import sys
from pathlib import Path

# name: module and function
SUITES = {
    "lode": ("bench_lode", "run"),
    "soap": ("bench_soap", "run"),
    "equivariants": ("bench_equivariants", "run"),
    "mesh": ("bench_mesh", "run"),
    "hardware": ("bench_hardware", "run"),
    "batches": ("bench_batches", "run"),
    "gpu": ("bench_gpu", "run"),
    "sources": ("bench_sources", "run"),
    "step": ("bench_step", "run"),
    "lode, large": ("bench_lode", "run_large"),
    "mesh, large": ("bench_mesh", "run_large"),
    "sizes": ("bench_sizes", "run"),
    "choice": ("calibrate", "run"),
}
LARGE = ("lode, large", "mesh, large", "sizes", "choice")
SUMMARY = Path(__file__).parent / "results" / "summary.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall", help="see timing.py")
    parser.add_argument("--only", choices=SUITES, help="one suite; the summary is left alone")
    parser.add_argument("--large", action="store_true", help="the long suites instead")
    arguments = parser.parse_args()
    os.environ["RAYON_NUM_THREADS"] = str(arguments.threads)  # read once, at the first use

    import torch

    torch.set_num_threads(arguments.threads)
    sys.path.insert(0, str(Path(__file__).parent))
    importlib.import_module("timing").choose_clock(arguments.clock)
    chosen = [name for name in SUITES if (name in LARGE) == arguments.large]
    if arguments.only is not None:
        chosen = [arguments.only]
    for name in chosen:
        module, function = SUITES[name]
        entries = getattr(importlib.import_module(module), function)(arguments.threads)
        entries = [{"suite": name, **entry, "clock": arguments.clock} for entry in entries]
        show(entries)
        if arguments.only is None:
            store(name, entries)
    if arguments.only is None:
        importlib.import_module("figures").draw(SUMMARY)
        importlib.import_module("report").fill(SUMMARY)


def show(entries: list[dict]) -> None:
    for e in entries:
        if "ratio" in e:
            print(
                f"{e['case']:84} {e['peer']:9} {e['tolerance']:7.0e} "
                f"{1e3 * e['ours_seconds']:9.2f} ms, peer {1e3 * e['peer_seconds']:9.1f} ms, "
                f"ratio {e['ratio']:7.2f}"
            )
        else:
            value = "not measured" if e["value"] is None else f"{e['value']:.4g} {e['unit']}"
            print(f"{e['case']:84} {value:>16}  {e.get('target', '')}")
    sys.stdout.flush()


def store(suite: str, entries: list[dict]) -> None:
    """Put the rows of a suite in the place of its former ones."""
    kept = json.loads(SUMMARY.read_text()) if SUMMARY.exists() else []
    kept = [e for e in kept if e.get("suite") not in (suite, None)]
    order = list(SUITES)
    kept = sorted(kept + entries, key=lambda e: order.index(e["suite"]))
    partial = SUMMARY.with_suffix(".partial")
    partial.write_text(json.dumps(kept, indent=1) + "\n")
    partial.replace(SUMMARY)


if __name__ == "__main__":
    main()
