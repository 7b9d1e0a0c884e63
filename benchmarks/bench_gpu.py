"""A million atoms and batches of small crystals on a GPU, in single precision."""

import torch
from problem import backward, values
from systems import crystals, liquid, to_structures
from timing import in_turn, quantity

from multilode.structures.batch import Structures

SMEARING, TOLERANCE = 1.0, 1e-4
MILLION = (22, 22, 22)  # 1,022,208 atoms
FRAMES = 2000


def run(threads: int) -> list[dict]:
    settings = {"tolerance": TOLERANCE, "dtype": "float32", "threads": threads}
    single, frames = "1022208 atoms, values + derivatives", "96-atom crystals, values"
    targets = {single: ("s", "below 2"), frames: ("frames/s", "at least 20000")}
    if not torch.cuda.is_available():
        return [
            quantity(f"GPU, {name}", None, unit, target=target, note="not measured: no GPU here",
                     **settings)
            for name, (unit, target) in targets.items()
        ]  # fmt: skip
    device = torch.device("cuda")
    settings["device"] = torch.cuda.get_device_name(device)
    found = {}
    structures = to_structures(liquid(MILLION)).to(device, torch.float32)
    torch.cuda.reset_peak_memory_stats(device)
    found[single] = _seconds(backward(structures, SMEARING, TOLERANCE))
    peak = torch.cuda.max_memory_allocated(device) / 1e9
    del structures
    batch: Structures = to_structures(*crystals(FRAMES, (4, 4, 2))).to(device, torch.float32)
    found[frames] = FRAMES / _seconds(values(batch, SMEARING, TOLERANCE))
    return [
        quantity(f"GPU, {name}", found[name], unit, target=target, **settings)
        for name, (unit, target) in targets.items()
    ] + [quantity(f"GPU, {single}, peak memory", peak, "GB", **settings)]


def _seconds(call) -> float:
    def finished() -> None:
        call()
        torch.cuda.synchronize()

    (seconds,) = in_turn((finished,), rounds=5)
    return seconds
