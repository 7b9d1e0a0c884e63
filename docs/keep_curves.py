"""Keep the finished curves of `multilode datasets make relaxed-dimers`, also of a run that goes on.

python docs/keep_curves.py DIR      # the folder that was given with -o
"""

import sys
from pathlib import Path

from multilode.datasets import write_sums
from multilode_papers.makers.relaxed_dimers import CLASSES, NAME, finished
from multilode_papers.makers.relaxed_pairs import split_of
from multilode_papers.makers.shipping import write_parts

PACKAGE = Path(__file__).parents[1] / "papers" / "src" / "multilode_papers"
SHIPPED = PACKAGE / "datasets" / "shipped"


def main(folder: Path) -> None:
    """Write the files that ship and their sums, and say what the catalogue has to say."""
    dataset = finished(folder / "parts" / NAME)
    write_parts(SHIPPED, NAME, dataset)
    write_sums(SHIPPED, SHIPPED.glob("*.gz"))
    names = sorted(set(dataset.labels("dimer")))
    for label in CLASSES:
        parts = [split_of(name) for name in names if name.startswith(label)]
        count = parts.count("train"), parts.count("test")
        print(f"{label}: {count[0]} curves for training, {count[1]} for the test")
    print(f"{len(dataset)} structures")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
