"""Frames that are written and read."""

import pytest

from multilode.data.io import read
from xyz_frames import ATOMS


@pytest.fixture
def frame(tmp_path):
    """Writes a frame and reads it."""

    def made(comment, extra=("", "", ""), species=("O", "H", "H")):
        rows = [
            f"{s} {xyz} {more}".rstrip()
            for s, (_, xyz), more in zip(species, ATOMS, extra, strict=True)
        ]
        path = tmp_path / "a.xyz"
        path.write_text("\n".join(["3", comment, *rows, ""]))
        return read(path)

    return made
