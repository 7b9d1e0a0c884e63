"""Reference calculations one after the other, or side by side; what is done is never done again."""

import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from multilode.datasets.frames import Frame, dataset_of
from multilode.io import write

Progress = Callable[[int, int], None]


def run_jobs(
    job: Callable[[str], Sequence[Frame]],
    names: Sequence[str],
    folder: Path,
    *,
    workers: int = 1,
    progress: Progress | None = None,
) -> list[Path]:
    """Files with the frames of each job, in the order of the names.

    Each job writes one file when it ends; a job whose file is there is not run again, so that a
    run that was killed continues where it stopped.

    Args:
        job: makes the frames for a name; a function of a module, since other processes call it.
        names: of the jobs; also the names of their files.
        folder: where the files are kept.
        workers: number of processes.
        progress: called with the numbers of finished and of all jobs.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = {name: folder / f"{name}.xyz" for name in names}
    missing = [name for name in names if not files[name].is_file()]
    done = len(names) - len(missing)
    if progress is not None:
        progress(done, len(names))
    if workers == 1:
        for name in missing:
            _run(job, name, files[name])
            done += 1
            if progress is not None:
                progress(done, len(names))
        return list(files.values())
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        running = [pool.submit(_run, job, name, files[name]) for name in missing]
        try:
            for finished in as_completed(running):
                finished.result()
                done += 1
                if progress is not None:
                    progress(done, len(names))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return list(files.values())


def _run(job: Callable[[str], Sequence[Frame]], name: str, path: Path) -> None:
    write(path, dataset_of(job(name)))
