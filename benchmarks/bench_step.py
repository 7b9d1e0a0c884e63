"""A step of dynamics, energy and forces of moved atoms in a fixed cell, beside an untrained MACE.

MACE is optional (`pip install mace-torch`): without it only our times are measured.
"""

import importlib.util
import time
import warnings
from collections.abc import Callable

import numpy as np
import torch
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.neighborlist import neighbor_list
from systems import liquid, water_box
from timing import quantity, result

import multilode as ml

SIZES = {96: (1, 1, 1), 768: (2, 2, 2), 3072: (4, 4, 2)}
# ours: name of the row, settings of the calculator, its tolerance, precision of the peer
SETTINGS = (
    ("the calculator's default", {}, 1e-4, "float64"),
    ("in single precision", {"dtype": "float32"}, 1e-4, "float32"),
    ("tolerance 1e-8", {"tolerance": None}, 1e-8, "float64"),
)
_TRAINING_BOXES = 25
_ROUNDS = {96: 9, 768: 5, 3072: 3}


def run(threads: int) -> list[dict]:  # noqa: ARG001 - one thread, whatever the others have
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        calculators = _calculators()
        return [entry for n_atoms in SIZES for entry in _of_size(n_atoms, calculators)]
    finally:
        torch.set_num_threads(before)


def trained() -> ml.Predictor:
    """The default fields, basis and products, fitted to energies that are made up."""
    boxes = [water_box(seed=seed) for seed in range(_TRAINING_BOXES)]
    for seed, box in enumerate(boxes):
        box.rattle(0.05, rng=np.random.default_rng(seed))
    energies = np.array([_energy(box) for box in boxes])
    target = ml.Target(key="energy", unit="eV")
    return ml.train(ml.features(), ml.from_ase(boxes), target, y=energies)


def _energy(atoms: Atoms) -> float:
    """Screened charges of a water model, between molecules, in eV."""
    i, j, distance = neighbor_list("ijd", atoms, 5.0)
    charge = np.where(atoms.numbers == 8, -0.8, 0.4)
    pairs = 14.4 * charge[i] * charge[j] * np.exp(-distance / 2) / distance
    return float(0.5 * pairs[distance > 1.2].sum())


def mace(precision: str) -> Calculator | None:
    """The smallest of usual size: 32 invariant channels, two layers, 4.5 Å, correlation of 3."""
    if importlib.util.find_spec("mace") is None:
        return None
    warnings.filterwarnings("ignore", module="(mace|e3nn|torch).*")
    before = torch.get_default_dtype()
    torch.set_default_dtype(getattr(torch, precision))
    torch.manual_seed(0)
    from mace import modules  # has to come before e3nn, whose constants it lets torch read
    from mace.calculators import MACECalculator

    o3 = importlib.import_module("e3nn.o3")
    block = modules.interaction_classes["RealAgnosticResidualInteractionBlock"]
    model = modules.ScaleShiftMACE(
        r_max=4.5, num_bessel=8, num_polynomial_cutoff=5, max_ell=3, interaction_cls=block,
        interaction_cls_first=block, num_interactions=2, num_elements=2,
        hidden_irreps=o3.Irreps("32x0e"), MLP_irreps=o3.Irreps("16x0e"),
        gate=torch.nn.functional.silu, atomic_energies=np.zeros(2), avg_num_neighbors=30.0,
        atomic_numbers=[1, 8], correlation=3, radial_type="bessel", atomic_inter_scale=1.0,
        atomic_inter_shift=0.0,
    )  # fmt: skip
    found = MACECalculator(models=[model], device="cpu", default_dtype=precision)
    torch.set_default_dtype(before)
    return found


def _calculators() -> dict[str, Calculator]:
    """Ours by the names of their rows, and the peer by its precision."""
    predictor = trained()
    calculators = {name: ml.PredictorCalculator(predictor, **own) for name, own, *_ in SETTINGS}
    for precision in ("float64", "float32"):
        peer = mace(precision)
        if peer is not None:
            calculators[precision] = peer
    return calculators


def _of_size(n_atoms: int, calculators: dict[str, Calculator]) -> list[dict]:
    atoms = liquid(SIZES[n_atoms])
    steps = {name: step(atoms, calculator) for name, calculator in calculators.items()}
    seconds, entries = _in_turn(steps, _ROUNDS[n_atoms]), []
    for name, _, tolerance, precision in SETTINGS:
        case = f"step of dynamics, {n_atoms}-atom water, {name}"
        if precision not in seconds:
            print("no MACE here: pip install mace-torch", flush=True)
            entries.append(quantity(case, 1e3 * seconds[name], "ms", threads=1))
            continue
        times = (seconds[name], seconds[precision])
        entries.append(
            result(case, f"MACE, {precision}", times, tolerance=tolerance, threads=1,
                   peer_threads=1, dtype=precision)
        )  # fmt: skip
    return entries


def step(atoms: Atoms, calculator: Calculator) -> Callable[[], None]:
    """A call that moves all atoms a little, and computes energy and forces."""
    own, rng = atoms.copy(), np.random.default_rng(0)
    start, own.calc = atoms.positions.copy(), calculator

    def call() -> None:
        own.positions = start + rng.normal(scale=0.01, size=start.shape)
        own.get_forces()
        own.get_potential_energy()

    return call


def _in_turn(steps: dict[str, Callable[[], None]], rounds: int) -> dict[str, float]:
    """Median seconds of the processor, which others on the machine disturb less than the clock."""
    for call in steps.values():
        call()
        call()  # TorchScript of the peer compiles at its second call
    seconds = {name: [] for name in steps}
    for _ in range(rounds):
        for name, call in steps.items():
            start = time.process_time()
            call()
            seconds[name].append(time.process_time() - start)
    return {name: float(np.median(own)) for name, own in seconds.items()}
