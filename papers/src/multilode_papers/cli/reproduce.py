"""`multilode reproduce`."""

import time
from collections.abc import Sequence
from pathlib import Path

from multilode.cli import output_folder, print_table, progress_stages
from multilode.errors import one_line
from multilode.files import write_json, write_text
from multilode.report import save_figure, write_report
from multilode_papers.expected import check, expected_metrics
from multilode_papers.systems import SYSTEMS, Outcome, Study, System, system
from multilode_papers.systems.outcome import metrics, rows_table
from multilode_papers.systems.page import data_table, markdown, sections, settings_text

_CHAPTER = "chapter.md"
_PREFACE = """# The systems of the papers

Every example of the two papers that define the method, [2019](https://doi.org/10.1063/1.5128375)
and [2021](https://doi.org/10.1039/D0SC04934D), as `multilode reproduce all` finds it. Made by
that command; what else was checked is in [validation.md](validation.md).

`RMSE%` is the RMSE over the standard deviation of the set (ddof 0), times 100. The column *paper*
is what the paper's text or tables say, on its own data. The papers' data are not at hand for most
systems: ours are made with open codes ([datasets.md](datasets.md)), some of them **model data**.
On such data numbers compare in kind only: ratios between models, transitions, learning rates.
Regularization, weights of terms and choices between candidates come from cross-validation on the
training set, grouped by molecule, curve or trajectory where the notes say so; every setting is in
`metrics.json`.
"""


def run_reproduce(
    names: Sequence[str], folder: Path, *, quick: bool, data: Path | None, seed: int, checked: bool
) -> None:
    """Run systems one after the other; write metrics, figures and a page for each.

    Args:
        names: of the systems, or `all`.
        folder: folder for the results, one for each system.
        quick: the short form.
        data: folder with third-party data; None for the setting `MULTILODE_DATA`.
        seed: of everything random.
        checked: whether to compare with the results that are kept.

    Raises:
        UserError: if a system is unknown, data are missing, or a check fails.
    """
    chosen = [system(name) for name in (SYSTEMS if list(names) == ["all"] else names)]
    if checked:
        for one in chosen:  # refused now, not after hours
            expected_metrics(one.name, quick=quick, seed=seed)
    for one in chosen:
        with output_folder(folder / one.name) as staging:
            with progress_stages() as stage:
                study = Study(quick=quick, folder=data, seed=seed, stage=stage)
                begin = time.perf_counter()
                outcome = one.run(study)
            found = metrics(one.name, outcome, quick=quick)
            found["seconds"] = round(time.perf_counter() - begin, 1)
            _write(one, outcome, found, staging)
        _save_figures(one, outcome, folder)
        _print(one, outcome, folder)
        write_text(folder / "results.md", _assembled(folder))
        if checked:
            print(f"{check(one.name, found)} rows agree with the results that are kept.")


def _write(one: System, outcome: Outcome, found: dict, folder: Path) -> None:
    write_json(folder / "metrics.json", found)
    text = markdown(one.name, f"{one.title} ({one.paper})", outcome, quick=found["quick"])
    write_text(folder / _CHAPTER, text)
    write_report(
        folder / "page.html",
        one.title,
        f"{one.paper}. Reproduced with multilode{', short form' if found['quick'] else ''}.",
        sections(outcome, settings_text(found)),
    )


def _save_figures(one: System, outcome: Outcome, folder: Path) -> None:
    """All figures side by side, where the text of all systems finds them."""
    with output_folder(folder / "figures") as staging:
        for name, picture in outcome.pictures.items():
            save_figure(staging / f"{one.name}-{name}.png", picture.figure)


def _print(one: System, outcome: Outcome, folder: Path) -> None:
    print(f"{one.title} ({one.paper})")
    print_table(data_table(outcome))
    print_table(rows_table(outcome))
    for note in outcome.notes:
        print(f"- {note}")
    print(
        f"Written to {one_line(str(folder))}: {one.name}/page.html, {one.name}/metrics.json, "
        "results.md, figures."
    )


def _assembled(folder: Path) -> str:
    """All chapters that are there, in the order of the table."""
    chapters = [folder / name / _CHAPTER for name in SYSTEMS]
    texts = [path.read_text(encoding="utf-8") for path in chapters if path.is_file()]
    return _PREFACE + "\n" + "\n".join(texts)
