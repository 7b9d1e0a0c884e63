"""A fit to many forces and its predictions in one process, with two workers, and with one killed.

    python benchmarks/bench_scheduler.py --structures 120

Dipeptides (third-party: MULTILODE_DATA), energies and all forces, a linear model of `rho*rho` and
`rho*V` in six channels, settings by five folds. One thread in each process. Times are those of the
clock; those of processors are of all processes together, without the start of the workers.
"""

import argparse
import os
import resource
import signal
import time
from pathlib import Path

import torch

import multilode as ml
from multilode.prediction.predictor import Prediction
from multilode.progress import Progress, silent

RECIPE = ml.features("rho*rho + rho*V", cutoff=4.0, channels=6)
Run = tuple[Prediction, float, float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--structures", type=int, default=120)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    path = Path(os.environ["MULTILODE_DATA"]) / "dipeptides" / "train.xyz.gz"
    data = ml.read(path, f":{arguments.structures}")
    alone = one_process(data)
    show("one process", alone, alone)
    show("two workers", workers(data, kill=False), alone)
    show("two workers, one killed", workers(data, kill=True), alone)


def show(name: str, run: Run, reference: Run) -> None:
    found, wall, processors = run
    energies = (found.values - reference[0].values).abs().max()
    forces = (found.forces - reference[0].forces).abs().max()
    print(
        f"{name:24} {wall:7.1f} s, {processors:7.1f} s of processors, differences up to "
        f"{float(energies):.1e} eV and {float(forces):.1e} eV/Å",
        flush=True,
    )


def fitted(data: ml.Dataset, stage=silent) -> Prediction:
    model = ml.train(RECIPE, data, "total_energy", forces="ref_forces", stage=stage, tell=print)
    return model.predict(data, forces=True, batch_atoms=512)


def one_process(data: ml.Dataset) -> Run:
    begun, own = time.perf_counter(), time.process_time()
    found = fitted(data)
    return found, time.perf_counter() - begun, time.process_time() - own


def workers(data: ml.Dataset, *, kill: bool) -> Run:
    from distributed import Client, LocalCluster

    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, memory_limit=0, dashboard_address=None,
            silence_logs=50,
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
        ml.scheduler(cluster.scheduler_address),
    ):  # fmt: skip
        client.run(warm)
        before, begun = sum(client.run(used).values()) + used(), time.perf_counter()
        found = fitted(data, killing(client) if kill else silent)
        wall = time.perf_counter() - begun
        return found, wall, sum(client.run(used).values()) + used() - before


def killing(client):
    """Kill a worker when a third of the rows are added up."""
    killed = []

    def stage(name: str) -> Progress:
        def progress(done: int, total: int) -> None:
            if "adding up" in name and not killed and 3 * done > total:
                killed.append(client.run(os.getpid).popitem()[1])
                os.kill(killed[0], signal.SIGKILL)

        return progress

    return stage


def used() -> float:
    """Seconds of the processor that this process has taken; of a killed one they are unknown."""
    found = resource.getrusage(resource.RUSAGE_SELF)
    return found.ru_utime + found.ru_stime


def warm() -> None:
    """Import what is imported once."""
    import multilode.prediction.training  # noqa: F401


if __name__ == "__main__":
    main()
