"""Keep what `multilode reproduce` wrote: the text, the figures, and the metrics for `--check`.

python docs/keep_results.py DIR      # the folder that was given with -o
"""

import json
import shutil
import sys
from pathlib import Path

from PIL import Image  # comes with matplotlib

DOCS = Path(__file__).parent
KEPT = DOCS.parent / "papers" / "src" / "multilode_papers" / "expected"


def main(folder: Path) -> None:
    """Copy text and figures of full runs, and the metrics of full and of short runs."""
    for path in sorted(folder.glob("*/metrics.json")):
        metrics = json.loads(path.read_text(encoding="utf-8"))
        suffix = ".quick.json" if metrics["quick"] else ".json"
        shutil.copyfile(path, KEPT / f"{metrics['system']}{suffix}")
        if not metrics["quick"]:
            for figure in sorted((folder / "figures").glob(f"{metrics['system']}-*.png")):
                keep_small(figure, DOCS / "figures" / figure.name)
    if not any(json.loads(p.read_text())["quick"] for p in folder.glob("*/metrics.json")):
        shutil.copyfile(folder / "results.md", DOCS / "results.md")


def keep_small(source: Path, target: Path) -> None:
    """A figure in the size of a page, with few colours: a tenth of the bytes."""
    image = Image.open(source).convert("RGB")
    size = (image.width * 5 // 8, image.height * 5 // 8)
    image.resize(size, Image.Resampling.LANCZOS).quantize(128).save(target, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
