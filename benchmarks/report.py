"""Write the rows of the summary as tables into docs/performance.md, between its markers."""

import json
import re
from pathlib import Path

DOCUMENT = Path(__file__).parents[1] / "docs" / "performance.md"
_PLOTTED = ("time per atom", "error, ")  # shown as curves


def fill(summary: Path) -> None:
    entries = json.loads(summary.read_text())
    text = DOCUMENT.read_text()
    steps = [e for e in entries if e["suite"] == "step"]
    others = [e for e in entries if e["suite"] != "step"]
    tables = {"peers": _peers(others), "steps": _steps(steps), "quantities": _quantities(others)}
    for marker, table in tables.items():
        start, stop = f"<!-- {marker} -->\n", f"<!-- end of {marker} -->"
        pattern = re.compile(f"(?<={re.escape(start)}).*?(?={re.escape(stop)})", re.DOTALL)
        text, count = pattern.subn(lambda _, table=table: table, text)
        if count != 1:
            raise RuntimeError(f"{DOCUMENT} has {count} places for the table of {marker}")
    partial = DOCUMENT.with_suffix(".partial")
    partial.write_text(text)
    partial.replace(DOCUMENT)


def _peers(entries: list[dict]) -> str:
    lines = [
        "| case | peer | tolerance | error, ours | error, peer | ours (ms) | peer (ms) | ratio |",
        "|---|---|---|---|---|---:|---:|---:|",
    ]
    for e in entries:
        if "ratio" in e:
            lines.append(
                f"| {e['case']} | {e['peer']} | {e['tolerance']:.0e} | {_error(e, 'ours_error')} "
                f"| {_error(e, 'peer_error')} | {1e3 * e['ours_seconds']:.3g} "
                f"| {1e3 * e['peer_seconds']:.3g} | {e['ratio']:.3g} |"
            )
    return "\n".join(lines) + "\n"


def _steps(entries: list[dict]) -> str:
    """Of ours alone where the peer is not installed."""
    lines = [
        "| atoms | ours | ours (ms) | MACE | MACE (ms) | ratio |",
        "|---:|---|---:|---|---:|---:|",
    ]
    for e in entries:
        _, size, name = e["case"].split(", ", 2)
        atoms = size.split("-")[0]
        if "ratio" in e:
            peer = f"{e['dtype']} | {1e3 * e['peer_seconds']:.3g} | {e['ratio']:.3g}"
            lines.append(f"| {atoms} | {name} | {1e3 * e['ours_seconds']:.3g} | {peer} |")
        else:
            lines.append(f"| {atoms} | {name} | {e['value']:.3g} | not installed | | |")
    return "\n".join(lines) + "\n"


def _error(entry: dict, name: str) -> str:
    return f"{entry[name]:.0e}" if name in entry else ""


def _quantities(entries: list[dict]) -> str:
    lines = ["| quantity | measured | target |", "|---|---:|---|"]
    for e in entries:
        if "value" not in e or e["case"].startswith(_PLOTTED):
            continue
        value = "not measured" if e["value"] is None else f"{e['value']:.3g} {e['unit']}"
        lines.append(f"| {e['case']} | {value.strip()} | {e.get('target', '')} |")
    return "\n".join(lines) + "\n"
