"""What a model consists of, as rows of tables."""

from collections.abc import Mapping, Sequence
from typing import Any

from multilode.correlations import reachable_irreps
from multilode.representation.recipe import Representation
from multilode.symmetry.irrep import Irrep, irrep_name

Row = tuple[str, str, str, float]  # part, regularization, term, weight
# part, alpha, validation points, errors within their bars in per cent: found and expected
CalibrationRow = tuple[str, str, int, float, float]
CALIBRATION_HEADER = ("part", "alpha", "points left out", "within the bar (%)", "expected (%)")


def model_rows(settings: Mapping[str, Any], representation: Representation) -> list[Row]:
    """Regularization and term weights of each part of a model."""
    top = {name: part.max_angular for name, part in representation.expansions.items()}
    return term_rows(settings, representation.correlations, top)


def term_rows(
    settings: Mapping[str, Any],
    correlations: Sequence[Sequence[str]],
    max_angular: Mapping[str, int],
) -> list[Row]:
    """The same from plain data, as a model file has it.

    Args:
        settings: of the model.
        correlations: names of the fields of each term.
        max_angular: largest l of each field.
    """
    rows = []
    for name, irrep, part in _parts(settings):
        terms = [
            " x ".join(names)
            for names in correlations
            if irrep is None or irrep in reachable_irreps(tuple(max_angular[n] for n in names))
        ]
        powers = part.get("zeta", [1] * len(terms))  # of kernels only
        terms = [t if z == 1 else f"({t})^{z}" for t, z in zip(terms, powers, strict=True)]
        strength = f"{part['regularization']:.3g}"
        for term, weight in zip(terms, part["term_weights"], strict=True):
            rows.append((name, strength, term, float(weight)))
    return rows


def calibrations(settings: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """How the error bars of each part of a committee were found; nothing for other models."""
    return {
        name: part["committee"]["calibration"]
        for name, _, part in _parts(settings)
        if "committee" in part
    }


def calibration_rows(settings: Mapping[str, Any]) -> list[CalibrationRow]:
    """The same as rows of a table."""
    rows = []
    for name, found in calibrations(settings).items():
        scale = ", ".join(f"{alpha:.3g}" for alpha in found["alpha"])
        rows.append((name, scale, found["points"], 100 * found["inside"], 100 * found["expected"]))
    return rows


def contraction_rows(representation: Representation) -> list[tuple[str, str, int, int, float]]:
    """What contractions keep: product, irrep, features before and after, variance in per cent."""
    rows = []
    pairs = zip(representation.correlations, representation.contractions or (), strict=False)
    for names, contraction in pairs:
        steps = () if contraction is None else contraction.report
        for step, report in enumerate(steps):
            product = " x ".join(names[: step + 2])
            for irrep, kept in report.items():
                share = 100 * kept.fraction
                rows.append((product, irrep_name(irrep), kept.n_before, kept.n_after, share))
    return rows


def _parts(
    settings: Mapping[str, Any],
) -> list[tuple[str, Irrep | None, Mapping[str, Any]]]:
    """Each irrep of a tensor, or the only part of other models."""
    if "parts" not in settings:
        return [("all", None, settings)]
    irreps = [Irrep(*part["irrep"]) for part in settings["parts"]]
    return [
        (irrep_name(irrep), irrep, part["settings"])
        for irrep, part in zip(irreps, settings["parts"], strict=True)
    ]
