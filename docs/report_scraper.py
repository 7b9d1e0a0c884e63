"""Reports that scripts of the gallery write, shown in their pages: a scraper of sphinx-gallery.

A block that says `report = ...`, a path, has its page in a frame below it: plots and structures in
3D, without a network.
"""

import re
import shutil
from pathlib import Path
from typing import Any

EXTRA = Path(__file__).parent / "gallery_extra"  # its contents lie beside the pages of the site
FRAME = """
.. raw:: html

    <iframe class="report" src="../reports/{name}.html" title="The report" loading="lazy"></iframe>

"""


def reports(block: tuple[str, str, int], block_vars: dict[str, Any], _: dict[str, Any]) -> str:
    """The report of a block, copied and framed; nothing of other blocks."""
    if not re.search(r"^report = ", block[1], re.MULTILINE):
        return ""
    name = Path(block_vars["src_file"]).stem
    (EXTRA / "reports").mkdir(parents=True, exist_ok=True)
    shutil.copyfile(block_vars["example_globals"]["report"], EXTRA / "reports" / f"{name}.html")
    return FRAME.format(name=name)
