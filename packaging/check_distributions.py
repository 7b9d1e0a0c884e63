"""Looks into the distributions of a folder, installs them, and runs them without the repository.

python packaging/check_distributions.py build/dist          # other packages: those of this Python
python packaging/check_distributions.py build/dist --fetch  # they too are fetched, as for a user
"""

import argparse
import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import time
import venv
import zipfile
from collections.abc import Callable
from email.parser import Parser
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# folder of each distribution, the package in it, and the MB that its files may take
DISTRIBUTIONS = {"multilode": (".", 1.0), "multilode_papers": ("papers", 16.0)}
BESIDE = {  # in an archive of sources, beside the package
    "multilode": {"CHANGELOG.md", "CITATION.cff"},
    "multilode_papers": set(),
}
ALWAYS = {"LICENSE", "PKG-INFO", "README.md", "pyproject.toml", ".gitignore"}
RELATIVE_LINK = re.compile(r"\]\((?!\w+:)[^)]*\)")
CONFIGURATION = """\
data: {train: train.xyz.gz, test: test.xyz.gz}
target: {key: interaction_energy, unit: eV}
preset: fast
cutoff: 3.0
fields:
  rho: {basis: {n_radial: 2, max_angular: 1}}
  V: {basis: {n_radial: 2, max_angular: 1}}
"""


def tracked(folder: str, package: str) -> set[str]:
    """Files of a package that the repository keeps, as `src/PACKAGE/...`."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", f"src/{package}"],
        cwd=ROOT / folder,
        capture_output=True,
        text=True,
        check=True,
    )
    return set(filter(None, listed.stdout.split("\0")))


def members(archive: Path) -> dict[str, Callable[[], bytes]]:
    """Readers of the files of an archive by their paths; of sources, without the first folder."""
    if archive.suffix == ".whl":
        wheel = zipfile.ZipFile(archive)
        return {name: lambda name=name: wheel.read(name) for name in wheel.namelist()}
    sources = tarfile.open(archive)  # noqa: SIM115 (read later)
    return {
        x.name.partition("/")[2]: lambda x=x: sources.extractfile(x).read()  # pyright: ignore
        for x in sources.getmembers()
        if x.isfile()
    }


def wrong_with(archive: Path, package: str) -> list[str]:
    """What is wrong with the contents of an archive, in sentences."""
    folder, limit = DISTRIBUTIONS[package]
    kept, found = tracked(folder, package), members(archive)
    if archive.suffix == ".whl":
        infos = {name for name in found if ".dist-info/" in name}
        kept, beside = {name.removeprefix("src/") for name in kept}, infos
        metadata = next(name for name in infos if name.endswith("/METADATA"))
    else:
        beside, metadata = ALWAYS | BESIDE[package], "PKG-INFO"
    said = [f"{name} is missing" for name in sorted((kept | beside) - set(found))]
    said += [f"{name} does not belong there" for name in sorted(set(found) - kept - beside)]
    size = archive.stat().st_size / 1e6
    said += [f"{size:.1f} MB, more than {limit:.0f}"] if size > limit else []
    return [*said, *wrong_metadata(found[metadata]().decode(), set(found))]


def wrong_metadata(text: str, names: set[str]) -> list[str]:
    """What an index page would show wrongly, and licences that are not there."""
    said, about = [], Parser().parsestr(text)
    for key in ("Summary", "License-Expression", "Requires-Python", "License-File"):
        said += [] if about[key] else [f"the metadata lack {key}"]
    for name in about.get_all("License-File", []):
        said += [] if any(x.endswith(name) for x in names) else [f"the licence {name} is missing"]
    links = RELATIVE_LINK.findall(about.get_payload())  # pyright: ignore
    return said + [f"the link {link} leads nowhere on an index page" for link in links]


class Environment:
    """A fresh environment of Python; no variable of ours reaches its commands."""

    def __init__(self, folder: Path, *, fetch: bool) -> None:
        self.folder, self.work, self.fetch = folder, folder.parent / "work", fetch
        self.work.mkdir()
        venv.create(folder, with_pip=True)
        if (
            not fetch
        ):  # a folder in a .pth file: its own .pth files, of this repository, are not read
            (self.packages / "others.pth").write_text(sysconfig.get_path("purelib"))

    @property
    def packages(self) -> Path:
        """Where its packages lie."""
        return next((self.folder / "lib").glob("python*/site-packages"))

    def run(self, program: str, *words: str | Path) -> str:
        """What a command says; one that fails ends all."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "MULTILODE"))}
        begin = time.perf_counter()
        done = subprocess.run(
            [self.folder / "bin" / program, *words],
            cwd=self.work,
            env=kept,
            capture_output=True,
            text=True,
            check=False,
        )
        line = f"{program} {' '.join(map(str, words))}"
        if done.returncode:
            sys.exit(f"{line}\n{done.stdout}{done.stderr}ended with {done.returncode}")
        print(f"{time.perf_counter() - begin:6.1f} s  {line[:100]}", flush=True)
        return done.stdout

    def install(self, archives: list[Path]) -> None:
        """Install distributions, others of them only where they are asked for."""
        alone = [] if self.fetch else ["--no-deps"]
        self.run("pip", "install", "--quiet", "--force-reinstall", *alone, *archives)

    def installed(self) -> dict[str, bytes]:
        """Modules and data of both packages."""
        paths = [x for name in DISTRIBUTIONS for x in (self.packages / name).rglob("*")]
        files = [x for x in paths if x.is_file() and "__pycache__" not in x.parts]
        return {str(x.relative_to(self.packages)): x.read_bytes() for x in files}


def require(condition: object, sentence: str) -> None:
    """End with a sentence where something is not as it must be."""
    if not condition:
        sys.exit(sentence)


def walk(here: Environment) -> None:
    """What a user does first, on the data that ship."""
    origin = here.run("python", "-c", "import multilode; print(multilode.__file__)")
    require(origin.startswith(str(here.packages)), f"multilode is that of {origin}")
    require("train" in here.run("multilode", "--help"), "the help lacks `train`")
    require("point-charges" in here.run("multilode", "datasets", "list"), "the papers' data lack")
    require("--quick" in here.run("multilode", "reproduce", "--help"), "`reproduce` is not there")
    for path in here.run("multilode", "datasets", "path", "water-co2").splitlines():
        name = "train" if "_train." in path else "test" if "_extrapolation." in path else "far"
        (here.work / f"{name}.xyz.gz").write_bytes(Path(path).read_bytes())
    (here.work / "config.yaml").write_text(CONFIGURATION)
    said = here.run("multilode", "train", "config.yaml", "-o", "run")
    require("report.html" in said, f"the training said {said}")
    model = "run/model.safetensors"
    here.run("multilode", "predict", model, "test.xyz.gz", "-o", "out.xyz", "--forces")
    require("predicted_forces" in (here.work / "out.xyz").read_text(), "predictions lack forces")


def main() -> None:
    """Check the archives of a folder; the first complaint ends it with code 1."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, help="folder with both wheels and archives of sources")
    parser.add_argument("--fetch", action="store_true", help="fetch all other packages as well")
    asked = parser.parse_args()
    archives: dict[str, list[Path]] = {".whl": [], ".tar.gz": []}
    for package in DISTRIBUTIONS:
        for suffix, found in archives.items():
            matching = sorted(asked.folder.resolve().glob(f"{package}-*{suffix}"))
            require(len(matching) == 1, f"{asked.folder}: not one {package}-*{suffix}")
            said = "; ".join(wrong_with(matching[0], package))
            require(not said, f"{matching[0].name}: {said}")
            print(f"{matching[0].stat().st_size / 1e6:6.2f} MB {matching[0].name}")
            found += matching
    with tempfile.TemporaryDirectory() as folder:
        here = Environment(Path(folder).resolve() / "env", fetch=asked.fetch)
        here.install(archives[".whl"])
        files = here.installed()
        walk(here)
        here.fetch = False  # what else is needed is there now
        here.install(archives[".tar.gz"])
        require(here.installed() == files, "archives of sources install other files than wheels")
        here.run("multilode", "--version")


if __name__ == "__main__":
    main()
