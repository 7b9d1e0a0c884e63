"""Reference calculations one after the other, or side by side; what is done is never done again."""

import itertools
import multiprocessing
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from multilode.data import write
from multilode.files import folder_for_results
from multilode.progress import Progress
from multilode_papers.makers.frames import Frame, dataset_of

Job = Callable[[str], Sequence[Frame]]


def run_jobs(
    job: Job,
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
        folder: folder of the files.
        workers: number of processes.
        progress: called with the numbers of finished and of all jobs.
    """
    files = {name: folder / f"{name}.xyz" for name in names}
    missing = {name: path for name, path in files.items() if not path.is_file()}
    finished = itertools.count(len(names) - len(missing))

    def advance() -> None:
        if progress is not None:
            progress(next(finished), len(names))

    # a run whose first job fails, as it does without its engine, leaves no empty folder
    with folder_for_results(folder):
        advance()
        if workers == 1:
            for name, path in missing.items():
                _run(job, name, path)
                advance()
        else:
            _side_by_side(job, missing, workers, advance)
    return list(files.values())


def _side_by_side(
    job: Job, files: Mapping[str, Path], workers: int, advance: Callable[[], None]
) -> None:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        running = [pool.submit(_run, job, name, path) for name, path in files.items()]
        try:
            for finished in as_completed(running):
                finished.result()
                advance()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _run(job: Job, name: str, path: Path) -> None:
    write(path, dataset_of(job(name)))
