"""Run every benchmark and write benchmarks/results/summary.json."""

import argparse
import json
import os
import sys
from pathlib import Path


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", choices=("lode", "soap"))
    arguments = parser.parse_args()
    os.environ["RAYON_NUM_THREADS"] = str(arguments.threads)  # read once, at the first use

    import torch

    torch.set_num_threads(arguments.threads)
    sys.path.insert(0, str(Path(__file__).parent))
    import bench_lode
    import bench_soap

    suites = {"lode": bench_lode.run, "soap": bench_soap.run}
    entries = []
    for name, suite in suites.items():
        if arguments.only in (None, name):
            entries += suite(arguments.threads)
    print(f"{'case':66} {'peer':9} {'tolerance':>9} {'ours ms':>9} {'peer ms':>9} {'ratio':>7}")
    for e in entries:
        print(
            f"{e['case']:66} {e['peer']:9} {e['tolerance']:9.0e} {1e3 * e['ours_seconds']:9.2f} "
            f"{1e3 * e['peer_seconds']:9.1f} {e['ratio']:7.1f}"
        )
    if arguments.only is None:
        target = Path(__file__).parent / "results" / "summary.json"
        partial = target.with_suffix(".partial")
        partial.write_text(json.dumps(entries, indent=1) + "\n")
        partial.replace(target)


if __name__ == "__main__":
    main()
