"""Tables and figures of the study of tensors."""

from collections.abc import Mapping
from pathlib import Path

from tensor_learning import Learned

from multilode.report.plots import COLORS, CurveSeries, learning_curves


def print_rows(learned: Learned) -> None:
    """One line per property and model: errors of all components, then of each irrep."""
    print(f"{'property':8s} {'model':34s} {'RMSE':>9s} {'RMSE%':>14s}  turned  by irrep")
    for result in learned.results:
        whole, parts = result.errors["all"], []
        for irrep, choice in result.choices.items():
            errors = result.errors.get(irrep, whole)
            weights = ", ".join(f"{w:g}" for w in choice["term_weights"])
            parts.append(
                f"{irrep}: {_percent(errors)} (CV {choice['cv_percent']:.2f}; weights {weights}; "
                f"regularization {choice['regularization']:.0e}; centers {choice['centers']})"
            )
        print(
            f"{result.property:8s} {result.model:34s} {whole['rmse']:9.4g} {_percent(whole):>14s}"
            f"  {result.turned:.0e}   {'; '.join(parts)}",
            flush=True,
        )


def print_curves(learned: Learned) -> None:
    """Learning curves as text."""
    for name, by_model in learned.curves.items():
        print(f"{learned.family}, {name}: RMSE% by number of training structures")
        for model, series in by_model.items():
            entries = zip(series.sizes, series.errors, series.spreads, strict=True)
            shown = [f"{n}: {e:.3g}" + (f" ± {s:.2g}" if s else "") for n, e, s in entries]
            print(f"  {model:34s} " + "  ".join(shown), flush=True)


def draw(learned: Learned, folder: Path) -> None:
    """Learning curves; of more models than there are colors, kernels apart from linear models."""
    for name, by_model in learned.curves.items():
        parts = {"": by_model}
        if len(by_model) > len(COLORS):
            parts = {
                f"_{kind}": {m: s for m, s in by_model.items() if m.endswith(kind)}
                for kind in ("kernel", "linear")
            }
        for suffix, series in parts.items():
            stem = f"{learned.family}_{name}{suffix}".replace(" = ", "").replace(", ", "_")
            _draw_one(series, f"{learned.family}, {name}", folder / f"{stem.replace(' ', '_')}.png")


def _draw_one(series: Mapping[str, CurveSeries], title: str, path: Path) -> None:
    """One figure with the legend above, where it hides none of the curves."""
    figure = learning_curves(series, unit="% of the test standard deviation")
    axes = figure.axes[0]
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False)
    figure.suptitle(title, fontsize=11)
    figure.savefig(path, dpi=110)


def _percent(errors: dict[str, float]) -> str:
    error = errors["standard_error_percent"]
    return f"{errors['rmse_percent']:.3g}" + (f" ± {error:.2g}" if error else "")
