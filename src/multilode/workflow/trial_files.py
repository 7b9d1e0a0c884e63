"""Trials on disk: one JSON file each, written when it is finished, from which a search goes on."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, final

from multilode.errors import UserError
from multilode.files import write_json
from multilode.workflow.sampler import SearchTrial

RESULT = "tune.json"
_NAME = "trial-{:04}"


@final
@dataclass(frozen=True, kw_only=True)
class TrialFiles:
    """The files of one search.

    Args:
        folder: that holds them.
        fingerprint: of the configuration, its data and its ranges.
    """

    folder: Path
    fingerprint: str

    def read(self) -> list[SearchTrial]:
        """All finished trials from the first on, also those of a search that has ended.

        Raises:
            UserError: if a file is damaged, or of a search with another configuration or data.
        """
        own = [self._trial(path) for path in self._paths()]
        known = {trial.number: trial for trial in own}
        if 0 not in known:  # else it began anew, and what has ended is to be replaced
            ended = map(as_trial, self._ended().get("trials", ()))
            known |= {trial.number: trial for trial in ended if trial.number not in known}
        found: list[SearchTrial] = []
        while len(found) in known:
            found.append(known[len(found)])
        return found

    def write(self, trial: SearchTrial) -> None:
        """Keep a finished trial, and nothing of its training."""
        contents = {"fingerprint": self.fingerprint, "trial": asdict(trial)}
        write_json(self.folder / f"{_NAME.format(trial.number)}.json", contents)
        self.forget_training(trial.number)

    def checkpoint(self, number: int) -> Path:
        """File of the state of the training of a trial, which no other search takes for its own."""
        return self.folder / f"{_NAME.format(number)}-{self.fingerprint}.safetensors"

    def forget_training(self, number: int) -> None:
        """Remove the state of the training of a trial."""
        name = _NAME.format(number)
        for path in self.folder.glob(f"{name}*"):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            elif path.suffix == ".safetensors":
                path.unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove all files of trials; the results of an ended search stay."""
        for path in self.folder.glob("trial-[0-9]*"):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)

    def has_begun(self) -> bool:
        """Whether there are trials of a search that has not ended."""
        return bool(self._paths())

    def goes_on(self) -> bool:
        """Whether such trials are all those of this search."""
        try:
            return bool([self._trial(path) for path in self._paths()])
        except UserError:
            return False

    def can_be_extended(self, asked: int) -> bool:
        """Whether a search with this configuration has ended, with fewer trials than are asked."""
        return 0 < self._ended().get("asked", 0) < asked

    def _paths(self) -> list[Path]:
        return sorted(self.folder.glob("trial-[0-9]*.json"))

    def _trial(self, path: Path) -> SearchTrial:
        try:
            contents = json.loads(path.read_text(encoding="utf-8"))
            fingerprint, trial = contents["fingerprint"], as_trial(contents["trial"])
        except (OSError, LookupError, TypeError, ValueError) as error:
            raise UserError(
                f"{path}: is no trial of a search, or damaged ({error}); remove it, so that it is "
                "computed again"
            ) from error
        if fingerprint != self.fingerprint:
            raise UserError(
                f"{path}: is a trial of a search with another configuration or other data; choose "
                "another folder with -o, or begin anew with --overwrite"
            )
        return trial

    def _ended(self) -> dict[str, Any]:
        """Results of an ended search with this fingerprint; others are not looked at."""
        try:
            found = json.loads((self.folder / RESULT).read_text(encoding="utf-8"))
            if found["fingerprint"] == self.fingerprint and isinstance(found["asked"], int):
                list(map(as_trial, found["trials"]))
                return found
        except (OSError, LookupError, TypeError, ValueError):
            pass
        return {}


def as_trial(plain: Mapping[str, Any]) -> SearchTrial:
    """A trial from plain data.

    Raises:
        LookupError, TypeError: if it is none.
    """
    names = {one.name for one in fields(SearchTrial)}
    own = {key: value for key, value in plain.items() if key in names}
    return SearchTrial(**{**own, "folds": tuple(own["folds"]), "values": dict(own["values"])})
