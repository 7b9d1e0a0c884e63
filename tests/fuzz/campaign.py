"""A campaign of random inputs over all borders, in processes that may die; resumable.

    python tests/fuzz/campaign.py --count 20000 --seed 1 -o build/fuzz

Every input follows from seed, border and number, so that a fault can be repeated alone:

    python tests/fuzz/campaign.py --seed 1 --repeat "xyz" 1234
"""

import argparse
import json
import mmap
import os
import random
import shutil
import signal
import struct
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

import corpus
import torch
from borders import BORDERS, Border
from judge import Fault, limit_memory, peak_bytes

from multilode.files import write_json

_BATCH = 2000  # inputs of one process at most, so that growing memory shows
_SILENCE = 90.0  # seconds without a new input; a process that is silent longer is ended
_BROKEN = 77  # exit code of a child whose own code failed
_KEPT = 3  # inputs that are kept of each kind of fault


def campaign(folder: Path, *, count: int, seed: int, borders: dict[str, Border], note: Any) -> dict:
    """Run inputs until every border has had its share of them.

    Args:
        folder: for the state, from which a campaign goes on, and for inputs that are at fault.
        count: inputs in all.
        seed: of all of them.
        borders: by name.
        note: called with a line of progress.

    Returns:
        the summary that is in `summary.json`: inputs, accepted, refused, seconds and peak memory of
        each border, and faults.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "summary.json"
    known = json.loads(path.read_text()) if path.exists() else {}
    if known and known["seed"] != seed:
        raise SystemExit(f"{path} is of seed {known['seed']}; choose another folder")
    summary: dict[str, Any] = {"seed": seed, "borders": {name: _nothing() for name in borders}}
    summary["borders"].update(known.get("borders", {}))
    whole = sum(border.share for border in borders.values())
    wanted = {name: round(count * border.share / whole) for name, border in borders.items()}
    while True:  # side by side: whenever it ends, all borders have had their share
        done = {name: summary["borders"][name]["inputs"] / max(wanted[name], 1) for name in borders}
        name = min(done, key=lambda one: done[one])
        if done[name] >= 1:
            return summary
        first = summary["borders"][name]["inputs"]
        size = min(_BATCH, wanted[name] - first, max(20, wanted[name] // 20))
        found = _in_a_process(folder, name, borders[name], seed, first, size)
        _add(summary["borders"][name], found)
        write_json(path, summary)
        note(f"{name}: {summary['borders'][name]}")


def _nothing() -> dict[str, Any]:
    return {"inputs": 0, "accepted": 0, "refused": 0, "seconds": 0.0, "peak_mb": 0, "faults": {}}


def _add(total: dict[str, Any], found: dict[str, Any]) -> None:
    for key in ("inputs", "accepted", "refused", "seconds"):
        total[key] = (
            round(total[key] + found[key], 1) if key == "seconds" else total[key] + found[key]
        )
    total["peak_mb"] = max(total["peak_mb"], found["peak_mb"])
    for kind, number in found["faults"].items():
        total["faults"][kind] = total["faults"].get(kind, 0) + number


def _in_a_process(
    folder: Path, name: str, border: Border, seed: int, first: int, size: int
) -> dict[str, Any]:
    """Inputs in a child, which says where it is in shared memory; its death is a fault too."""
    shared = mmap.mmap(-1, 4096)
    place = Path(tempfile.mkdtemp(prefix="fuzz-"))
    begun = time.monotonic()
    pid = os.fork()
    if pid == 0:
        code = _BROKEN
        try:
            _child(place, folder, name, border, seed, first, size, shared)
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    status = _waited(pid, shared)
    shutil.rmtree(place, ignore_errors=True)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status) == _BROKEN:
        raise RuntimeError(f"the fuzzer itself failed at '{name}', after {first} inputs")
    done, accepted, refused, _, peak, ended = _state(shared)
    faults = json.loads(shared[512:].split(b"\x00")[0] or b"{}")
    if not ended:  # the input at which it died is done as well
        kind = f"process ended by {_word(status)}"
        faults[kind] = faults.get(kind, 0) + 1
        _keep(folder, name, seed, first + done, Fault(kind, ""), None)
        done += 1
    return {
        "inputs": done,
        "accepted": accepted,
        "refused": refused,
        "seconds": time.monotonic() - begun,
        "peak_mb": peak // 10**6,
        "faults": faults,
    }


def _child(
    place: Path,
    folder: Path,
    name: str,
    border: Border,
    seed: int,
    first: int,
    size: int,
    shared: mmap.mmap,
) -> None:
    folder = folder.absolute()
    os.chdir(place)
    torch.set_num_threads(1)
    attempt = border.prepare()
    limit_memory()
    accepted = refused = 0
    faults: dict[str, int] = {}
    for i in range(size):
        try:
            if attempt(rng_of(seed, name, first + i)):
                accepted += 1
            else:
                refused += 1
        except Fault as fault:
            faults[fault.kind] = faults.get(fault.kind, 0) + 1
            if faults[fault.kind] <= _KEPT:
                _keep(folder, name, seed, first + i, fault, place)
            text = json.dumps(faults).encode()[:3500]
            shared[512 : 512 + len(text) + 1] = text + b"\x00"
        values = (i + 1, accepted, refused, len(faults), peak_bytes(), i + 1 == size)
        shared[: struct.calcsize("6q")] = struct.pack("6q", *values)


def rng_of(seed: int, name: str, number: int) -> random.Random:
    """Random numbers of one input."""
    return random.Random(f"{seed} {name} {number}")


def _state(shared: mmap.mmap) -> tuple[int, ...]:
    return struct.unpack("6q", shared[: struct.calcsize("6q")])


def _waited(pid: int, shared: mmap.mmap) -> int:
    """The status of a child, which is killed if it stays at one input."""
    last, since = -1, time.monotonic()
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return status
        now = _state(shared)[0]
        if now != last:
            last, since = now, time.monotonic()
        elif time.monotonic() - since > _SILENCE:
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)


def _word(status: int) -> str:
    if os.WIFSIGNALED(status):
        return signal.Signals(os.WTERMSIG(status)).name
    return f"exit code {os.WEXITSTATUS(status)}"


def _keep(
    folder: Path, name: str, seed: int, number: int, fault: Fault, place: Path | None
) -> None:
    """The fault and the files that it came from."""
    kind = "".join(c if c.isalnum() else "-" for c in fault.kind)[:80]
    kept = folder / "faults" / name.replace(" ", "-") / kind
    if kept.exists() and len(list(kept.iterdir())) >= _KEPT:
        return
    kept = kept / str(number)
    kept.mkdir(parents=True, exist_ok=True)
    (kept / "said").write_text(
        f"seed {seed}, border {name}, number {number}\n{fault.kind}\n{fault.said}\n",
        errors="backslashreplace",
    )
    for path in [] if place is None else place.rglob("in*"):
        if path.is_file() and path.stat().st_size < 10**6:
            shutil.copy(path, kept / path.name)


def repeat(name: str, seed: int, number: int) -> None:
    """One input again, in this process, with its fault as an exception."""
    place = tempfile.mkdtemp(prefix="fuzz-")
    os.chdir(place)
    print(f"in {place}")
    attempt = BORDERS[name].prepare()
    print("accepted" if attempt(rng_of(seed, name, number)) else "refused")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=20_000, help="inputs in all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--borders", nargs="+", choices=list(BORDERS), default=list(BORDERS))
    parser.add_argument("--repeat", nargs=2, metavar=("BORDER", "NUMBER"))
    parser.add_argument("-o", "--output", type=Path, default=Path("build/fuzz"))
    asked = parser.parse_args()
    if asked.repeat:
        repeat(asked.repeat[0], asked.seed, int(asked.repeat[1]))
        return
    begun = time.monotonic()

    def note(line: str) -> None:
        print(f"{time.monotonic() - begun:7.0f} s  {line}", flush=True)

    corpus.models()  # once, for all children
    corpus.formats()
    borders = {name: BORDERS[name] for name in asked.borders}
    found = campaign(asked.output, count=asked.count, seed=asked.seed, borders=borders, note=note)
    print(json.dumps(found, indent=1))
    sys.exit(any(border["faults"] for border in found["borders"].values()))


if __name__ == "__main__":
    main()
