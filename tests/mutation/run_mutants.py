"""Mutants of the numerical rooms, each against the tests that enter its function.

    python -m pytest -p seen --seen build/seen.json tests/unit tests/conformance tests/physics
    python tests/mutation/run_mutants.py --seen build/seen.json --number 150 -o build/mutants.jsonl

What is there already is not run again. A copy of the repository is changed, not the repository.
"""

import argparse
import importlib
import json
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from mutants import Mutant, mutants_of

ROOT = Path(__file__).parents[2]
ROOMS = ("expansion", "correlations", "models", "radial", "equivariants")
LONGEST = 20.0  # CPU seconds of the tests of one mutant, as they were measured
SLOWER = 4  # times the measured seconds, and START: beyond, a mutant does not end
START = 60
# without checks of shapes, which take as long to install as most tests
OPTIONS = ("-x", "-p", "no:cacheprovider", "-p", "no:xdist", "-o", "addopts=-q -m 'not slow'")


def drawn(rooms: Sequence[str], number: int, seed: int) -> list[Mutant]:
    """Mutants at random, of all kinds in turn."""
    kinds: dict[str, list[Mutant]] = {}
    for room in rooms:
        for path in sorted((ROOT / "src/multilode" / room).rglob("*.py")):
            for mutant in mutants_of(ROOT, str(path.relative_to(ROOT))):
                kinds.setdefault(mutant.kind, []).append(mutant)
    generator = random.Random(seed)
    for kind in sorted(kinds):
        generator.shuffle(kinds[kind])
    found: list[Mutant] = []
    while len(found) < number and any(kinds.values()):
        for kind in sorted(kinds):
            if kinds[kind]:
                found.append(kinds[kind].pop())
    return found[:number]


def tests_of(mutant: Mutant, seen: dict[str, dict]) -> tuple[list[str], float]:
    """Tests that enter its function, the shortest first, those of its own room before others."""
    path = mutant.path.removeprefix("src/")
    place = f"{path}:{mutant.function}"
    room = Path(path).parts[1]
    found = []
    for name, test in seen.items():
        own = not name.startswith(f"tests/unit/{room}/")
        entered = test["functions"]
        if place in entered if mutant.function else any(f.startswith(path) for f in entered):
            found.append((own, test["seconds"], name))
    chosen, total = [], 0.0
    for _, seconds, name in sorted(found):
        if chosen and total + seconds > LONGEST:
            continue
        chosen.append(name)
        total += seconds
    return chosen, total


def tried(mutant: Mutant, tree: Path, seen: dict[str, dict]) -> dict:
    """What became of a mutant in a copy of the repository."""
    tests, seconds = tests_of(mutant, seen)
    row = asdict(mutant) | {"tests": len(tests)}
    if not tests:
        return row | {"result": "no test"}
    file = tree / mutant.path
    source = (ROOT / mutant.path).read_text()
    begun = time.monotonic()
    try:
        file.write_text(mutant.applied(source))
        _forget(file)
        log = tree / "mutant.log"
        limit = int(SLOWER * seconds + START)
        code = _in_child(tests, tree, log, limit)
    finally:
        file.write_text(source)
        _forget(file)
    result = {0: "survived", 1: "killed", 2: "killed", -signal.SIGXCPU: "timeout"}
    failed = [line for line in log.read_text().splitlines() if line.startswith("FAILED ")]
    return row | {
        "result": result.get(code, f"killed ({code})"),
        "by": failed[-1][7:150] if failed else "",
        "seconds": round(time.monotonic() - begun),
    }


def _forget(file: Path) -> None:
    """Compiled forms of a file: two versions may have one size and one second."""
    for compiled in (file.parent / "__pycache__").glob(f"{file.stem}.*"):
        compiled.unlink()


def _in_child(tests: list[str], tree: Path, log: Path, limit: int) -> int:
    """Exit code of pytest in a process that has imported the large libraries already."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    code = 3
    try:
        resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 5))
        os.chdir(tree)
        sys.path[:0] = [str(tree / "src"), str(tree / "papers/src"), str(tree / "tests")]
        with log.open("w") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        import pytest

        code = int(pytest.main([*OPTIONS, *tests]))
    finally:
        os._exit(code)


def _copy(folder: Path) -> Path:
    tree = folder / "tree"
    left_out = shutil.ignore_patterns(".git", ".venv", "build", "__pycache__", "results")
    shutil.copytree(ROOT, tree, ignore=left_out)
    return tree


def _results(file: Path) -> Iterator[dict]:
    if file.exists():
        yield from map(json.loads, file.read_text().splitlines())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seen", type=Path, required=True)
    parser.add_argument("--number", type=int, default=150)
    parser.add_argument("--rooms", nargs="+", default=ROOMS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    for library in ("torch", "scipy.special", "ase.io"):  # what takes seconds, not plugins
        importlib.import_module(library)
    known = {(r["path"], r["start"], r["new"]) for r in _results(options.output)}
    with tempfile.TemporaryDirectory() as folder:
        tree = _copy(Path(folder))
        for mutant in drawn(options.rooms, options.number, options.seed):
            if (mutant.path, mutant.start, mutant.new) in known:
                continue
            row = tried(mutant, tree, json.loads(options.seen.read_text()))
            with options.output.open("a") as file:
                file.write(json.dumps(row) + "\n")
            print(f"{row['result']}: {mutant.path}:{mutant.line} {mutant.old} -> {mutant.new}")
    results = [row["result"].split()[0] for row in _results(options.output)]
    for result in sorted(set(results)):
        print(f"{result}: {results.count(result)} of {len(results)}")


if __name__ == "__main__":
    main()
