"""Structures with large errors in three dimensions, by the viewer of chemiscope."""

import base64
import gzip
import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from multilode.errors import UserError
from multilode.prediction.evaluated import Evaluated
from multilode.report.error_plots import worst_structures
from multilode.report.interactive import page_file
from multilode.report.points import frame_name
from multilode.structures.elements import chemical_symbol

_PLACE = ("sphinx", "static", "chemiscope.min.js")


def viewer_source() -> bytes:
    """The script of the viewer, as the installed package has it.

    Raises:
        UserError: if the package is missing or has no such file.
    """
    found = find_spec("chemiscope")  # its file alone: the package is for notebooks
    if found is None or found.origin is None:
        raise UserError(
            "--structures needs the viewer of chemiscope; 'pip install multilode[viewer]', or "
            "leave it out"
        )
    script = Path(found.origin).parent.joinpath(*_PLACE)
    if not script.is_file():
        raise UserError(
            "--structures: the installed chemiscope has its viewer elsewhere; 'pip install "
            "multilode[viewer]' brings one that is known"
        )
    return script.read_bytes()


def viewer_html(part: Evaluated, source: bytes) -> str:
    """A button that opens the viewer with the structures of the largest errors.

    The viewer is in the page, packed, and is unpacked in a frame of its own when it is wanted.

    Args:
        part: an evaluated set.
        source: the script of the viewer.
    """
    packed = base64.b64encode(gzip.compress(source, mtime=0)).decode("ascii")
    data = json.dumps(_structures(part), separators=(",", ":")).replace("<", "\\u003c")
    return (
        '<p><button type="button" class="opener">show these structures in three dimensions'
        "</button></p>\n"
        f'<script type="application/json" id="viewer-data">{data}</script>\n'
        f'<script type="text/plain" id="viewer-source">{packed}</script>\n'
        f"<script>\n{page_file('viewer.js')}</script>"
    )


def _structures(part: Evaluated) -> dict[str, Any]:
    """The data of the viewer, in its own format."""
    worst = worst_structures(part)
    frames = [_frame(part, k) for k, _ in worst]
    error = {"target": "structure", "values": [size for _, size in worst]}
    names = {"target": "structure", "values": [frame_name(part.dataset, k) for k, _ in worst]}
    return {
        "meta": {"name": "largest errors"},
        "structures": frames,
        "properties": {"error": error, "structure": names},
    }


def _frame(part: Evaluated, structure: int) -> dict[str, Any]:
    one = part.dataset.structures.select([structure])
    x, y, z = one.positions.T.tolist()
    names = [chemical_symbol(number) for number in one.species.tolist()]
    found = {"size": len(names), "names": names, "x": x, "y": y, "z": z}
    if bool(one.pbc.all()):
        found["cell"] = one.cell[0].flatten().tolist()
    return found
