"""How far any pair potential with a cutoff can get on the gas of point charges.

One potential for like and one for unlike charges, piecewise linear on a grid of 0.25 Å from the
shortest distance to the cutoff, fitted to the 1500 training boxes together with a constant. It is
the yardstick for the local models of `point_charges.py`.

    MULTILODE_DATA=<folder with point_charges/> python studies/point_charges_pairs.py
"""

import os
import sys
from pathlib import Path

import torch
from jaxtyping import Float
from point_charges import Boxes, load
from torch import Tensor

from multilode.analysis import rmse_percent
from multilode.neighbors import pairs_within

CUTOFFS = (3.0, 6.0, 9.0, 12.0)  # Å
SHORTEST, SPACING = 2.5, 0.25  # Å
BATCH = 50  # boxes


def hat_sums(boxes: Boxes, cutoff: float) -> Float[Tensor, "structure column"]:
    """Sums over pairs of hat functions of the distance, for unlike and for like charges."""
    n_knots = round((cutoff - SHORTEST) / SPACING)  # the potential is zero at the cutoff
    parts = []
    for chosen in torch.arange(boxes.structures.n_structures).split(BATCH):
        batch = boxes.structures.select(chosen)
        pairs = pairs_within(batch, cutoff)
        place = (pairs.vectors(batch).norm(dim=1) - SHORTEST) / SPACING
        place = place.clamp(0, n_knots - 1e-9)
        knot = place.long()
        like = (batch.species[pairs.center] == batch.species[pairs.neighbor]).long()
        row = batch.structure_index[pairs.center]
        sums = torch.zeros(len(chosen), 2, n_knots + 1, dtype=torch.float64)
        sums.index_put_((row, like, knot), 1 - (place - knot), accumulate=True)
        sums.index_put_((row, like, knot + 1), place - knot, accumulate=True)
        parts.append(sums[:, :, :n_knots].flatten(start_dim=1))
    columns = torch.cat(parts)
    return torch.cat([columns, torch.ones_like(columns[:, :1])], dim=1)


def main() -> int:
    """Fit and test the potentials, or say what is missing."""
    folder = os.environ.get("MULTILODE_DATA")
    if not folder:
        print("set MULTILODE_DATA to the folder that holds point_charges/", file=sys.stderr)
        return 2
    torch.set_num_threads(1)
    train, test = load(Path(folder), "train"), load(Path(folder), "test")
    for cutoff in CUTOFFS:
        solution = torch.linalg.lstsq(hat_sums(train, cutoff), train.y, driver="gelsd").solution
        error = rmse_percent(test.y, hat_sums(test, cutoff) @ solution)
        print(
            f"best pair potential up to {cutoff:4.1f} Å: {error:6.2f} % of the standard deviation"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
