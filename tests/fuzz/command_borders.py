"""Words of commands and whole trainings, as inputs of a campaign."""

import contextlib
import io
import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import corpus
import yaml
from judge import Fault, check_message, judge
from mutations import mutated_plain

from multilode.cli.main import run
from multilode.errors import UserError

Attempt = Callable[[random.Random], bool]


def _is_short(plain: Any) -> bool:
    try:
        return len(json.dumps(plain, allow_nan=False)) < 400
    except ValueError:
        return False


def as_yaml(plain: Any) -> bytes:
    text = json.dumps(plain, allow_nan=False) if _is_short(plain) else yaml.safe_dump(plain)
    return text.encode("utf-8", errors="surrogatepass")


CONFIG = """\
data: {train: train.xyz, test: test.xyz, group: label}
target: {key: gap, unit: eV}
cutoff: 2.5
fields:
  rho: {basis: {n_radial: 2, max_angular: 1}}
  V: {basis: {n_radial: 2, max_angular: 1}}
estimator: {regularization: 1.0e-8, term_weights: [1.0, 1.0]}
learning_curve: {sizes: [4, 6], repeats: 1}
"""


def _fill(folder: Path) -> None:
    """Data, a configuration, a model, and things that are none of these."""
    (folder / "train.xyz").write_bytes(corpus.xyz_of(corpus.molecules(8)))
    (folder / "test.xyz").write_bytes(corpus.xyz_of(corpus.molecules(2, seed=1)))
    (folder / "config.yaml").write_text(CONFIG)
    (folder / "model.safetensors").write_bytes(corpus.models()[-4])
    (folder / "damaged.safetensors").write_bytes(corpus.models()[-4][:-9])
    (folder / "empty").write_bytes(b"")
    (folder / "full").mkdir()
    (folder / "full" / "model.safetensors").write_bytes(corpus.models()[-4])
    (folder / "link").symlink_to("nowhere")
    (folder / "loop").symlink_to("loop")
    (folder / "sealed").mkdir(mode=0o500)
    os.mkfifo(folder / "pipe")


_COMMANDS = {
    "train": ["--overwrite", "-o", "--output", "--scheduler"],
    "predict": ["-o", "--output", "--forces", "--stress", "--std", "--baseline", "--index"],
    "evaluate": ["--json", "--key", "--group", "--forces", "--stress", "--std", "--index"],
    "features": ["-o", "--index"],
    "learning-curve": ["-o", "--overwrite", "--scheduler"],
    "check": [],
    "inspect": ["--json"],
    "datasets": ["list", "show", "path", "--data"],
    "reproduce": ["--quick", "--check", "--data", "--seed", "-o"],
    "--version": [],
    "--help": [],
    "": [],
}
_FILES = ["config.yaml", "train.xyz", "test.xyz", "model.safetensors", "damaged.safetensors"]
_FILES += ["empty", "full", "link", "loop", "sealed", "nowhere", ".", "..", "", "out", "o.xyz"]
_FILES += [
    "o.csv",
    "o.npz",
    "o.db",
    "o.traj",
    "o.gz",
    "sealed/o.xyz",
    "nowhere/o.xyz",
    "train.xyz/x",
]
_WORDS = ["::2", "0", "-1", "9:1", "::0", "a", "1.5", "9" * 30, "local:0", "local:x", "local:-1"]
_WORDS += [
    "gap",
    "label",
    "forces",
    "energy",
    "q",
    "d",
    "water-co2",
    "x" * 300,
    "x" * 5000,
    "--",
    "-",
]
_WORDS += [
    "-o",
    "-oo",
    "--index=1",
    "--index=",
    "--key=",
    "\x00",
    "\x1b[2J",
    "a\nb",
    "\udcff",
    "é",
    "*",
]
_WORDS += [
    "--forces",
    "--no-forces",
    "--help",
    "-h",
    "{}",
    "%s",
    "~",
    "tcp://",
    "ftp://x:1",
    "\u202e",
]


def arguments() -> Attempt:
    place = Path("work").absolute()

    def attempt(rng: random.Random) -> bool:
        if place.exists() and rng.random() < 0.05:
            (place / "sealed").chmod(0o700)
            shutil.rmtree(place)
        if not place.exists():
            place.mkdir()
            _fill(place)
        words = _line_of_words(rng)
        with _moved(place):
            return judge(lambda: _typed(words), seconds=10.0)

    return attempt


@contextlib.contextmanager
def _moved(place: Path) -> Any:
    before = Path.cwd()
    os.chdir(place)
    try:
        yield
    finally:
        os.chdir(before)


_GOOD = [
    "train config.yaml -o out --overwrite",
    "predict model.safetensors test.xyz -o o.xyz --forces",
    "evaluate model.safetensors test.xyz --key gap --group label",
    "features config.yaml test.xyz -o o.npz",
    "learning-curve config.yaml -o curve --overwrite",
    "check config.yaml",
    "check train.xyz",
    "inspect model.safetensors --json",
    "datasets show water-co2",
]


def _line_of_words(rng: random.Random) -> list[str]:
    if rng.random() < 0.4:
        words = rng.choice(_GOOD).split()
        for _ in range(rng.choice((1, 1, 2))):
            at = rng.randrange(len(words) + 1)
            new = rng.choice(rng.choice((_FILES, _WORDS)))
            words[at : at + rng.choice((0, 1, 1, 2))] = rng.choice(([new], [new], [new], []))
        return words
    command = rng.choice(list(_COMMANDS))
    pools = [_COMMANDS[command] or _WORDS, _FILES, _FILES, _WORDS]
    return [command, *(rng.choice(rng.choice(pools)) for _ in range(rng.randrange(6)))]


def _typed(words: list[str]) -> None:
    """One command in this process: exit code 0, or 2 and one line."""
    if any(word in ("all", "fetch", "make") for word in words):
        return  # hours, or the network
    shown, said = (io.TextIOWrapper(io.BytesIO(), "utf-8", errors="replace") for _ in range(2))
    with contextlib.redirect_stdout(shown), contextlib.redirect_stderr(said):
        try:
            code = run(words)
        except UserError as error:
            raise Fault("an error that the command line does not report", str(error)) from error
    texts = []
    for stream in (shown, said):
        stream.flush()
        texts.append(stream.buffer.getvalue().decode("utf-8", errors="replace"))
    lines = [line for line in texts[1].split("\n") if line]
    for line in lines:
        check_message(line)
    if code == 2:
        if not lines or not lines[-1].startswith("multilode: "):
            raise Fault("exit code 2 without its line", repr(texts[1]))
        raise UserError(lines[-1])
    if code != 0:
        raise Fault(f"exit code {code}", texts[1])
    odd = [c for c in texts[0] if not (c.isprintable() or c in "\n\t")]
    if odd:
        raise Fault("control characters in the output", ascii(texts[0])[:2000])


def trainings() -> Attempt:
    """Whole trainings with settings that make little sense."""
    _fill_once(Path("work"))
    plain = yaml.safe_load(CONFIG)
    words = [word.decode() for word in corpus.CONFIG_WORDS]
    extra = [
        {"kind": "kernel", "zeta": 2},
        {"kind": "sparse", "n_active": 3},
        {"committee": {"n_members": 3}},
        {"kind": "network", "epochs": 1},
        {"key": "d", "tensor": "vector", "unit": "D"},
        {"key": "energy", "forces": True},
        {"key": "q", "per": "atom"},
        {"kind": "potential", "exponent": 6.0, "basis": {"n_radial": 2, "max_angular": 1}},
        *(
            "gap",
            "energy",
            "forces",
            "label",
            "d",
            "q",
            0.1,
            3,
            1e-6,
            30.0,
            ["O"],
            ["H", "O"],
            "none",
        ),
        *words,
    ]

    def attempt(rng: random.Random) -> bool:
        good = {**plain, "centers": None, "channels": "auto", "method": "auto", "tolerance": None}
        raw = mutated_plain(good, rng, extra)
        Path("work", "in.yaml").write_bytes(as_yaml(raw))
        asked = rng.choice((["train", "in.yaml", "-o", "out", "--overwrite"], ["check", "in.yaml"]))
        with _moved(Path("work")):
            return judge(lambda: _typed(asked), seconds=30.0)

    return attempt


def _fill_once(place: Path) -> None:
    if not place.exists():
        place.mkdir()
        _fill(place)
