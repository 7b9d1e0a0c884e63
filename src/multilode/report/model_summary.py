"""Parts of a model, as rows of tables."""

from multilode.models.summary import ModelSummary, PartSummary
from multilode.representation import AbstractRepresentation, Representation
from multilode.representation.sources import ConservedSources, DescribedSources
from multilode.structures.elements import chemical_symbol
from multilode.symmetry.irrep import irrep_name

Row = tuple[str, str, str, float]  # part, regularization, term, weight
# part, alpha, points left out, errors within their bars in per cent: found and expected
CalibrationRow = tuple[str, str, int, float, float]
CHANNEL_HEADER = ("field", "elements x radial", "channels", "variance kept (%)")
SOURCE_HEADER = ("sources of", "channel", "strengths: mean ± spread")
CALIBRATION_HEADER = ("part", "alpha", "points left out", "within the bar (%)", "expected (%)")


def model_rows(summary: ModelSummary, representation: AbstractRepresentation) -> list[Row]:
    """Regularization and term weights of each part of a model."""
    rows = []
    for part in summary.parts:
        if part.regularization is None or part.term_weights is None:
            continue
        terms = _terms(part, representation)
        strength = f"{part.regularization:.3g}"
        for term, weight in zip(terms, part.term_weights, strict=True):
            rows.append((part_name(summary, part), strength, term, float(weight)))
    return rows


def calibration_rows(summary: ModelSummary) -> list[CalibrationRow]:
    """Calibration of the error bars of each part of a model, if it has any."""
    rows = []
    for part in summary.parts:
        if part.bars is not None:
            found = part.bars.calibration
            scale = ", ".join(f"{alpha:.3g}" for alpha in found.scale.tolist())
            inside, expected = 100 * found.inside, 100 * found.expected
            rows.append((part_name(summary, part), scale, len(found.errors), inside, expected))
    return rows


def part_name(summary: ModelSummary, part: PartSummary) -> str:
    """The irrep of a tensor, or all."""
    return "all" if summary.tensor is None else irrep_name(part.irrep)


def _terms(part: PartSummary, representation: AbstractRepresentation) -> list[str]:
    """Product of fields of each term, and its kernel."""
    products = representation.products
    if isinstance(representation, Representation):
        products = [products[k] for k in representation.terms_with(part.irrep)]
    terms = [" x ".join(names) for names in products]
    if part.kernels is None:
        return terms
    return [kernel.written(t) for kernel, t in zip(part.kernels, terms, strict=True)]


def channel_rows(representation: AbstractRepresentation) -> list[tuple[str, int, int, str]]:
    """Channels of fields: their number, and what they keep of the variance of each element."""
    rows = []
    if not isinstance(representation, Representation):
        return []
    for name, channels in (representation.channels or {}).items():
        shares = zip(representation.species, channels.shares, strict=False)
        kept = ", ".join(f"{chemical_symbol(z)} {100 * share:.3g}" for z, share in shares)
        rows.append((name, channels.n_mixed, channels.number, kept))
    return rows


def source_rows(representation: AbstractRepresentation) -> list[tuple[str, int, str]]:
    """Sources: field, channel, and mean and spread of the strengths of each element."""
    rows = []
    if not isinstance(representation, Representation):
        return []
    for name, sources in (representation.sources or {}).items():
        if not isinstance(sources, DescribedSources | ConservedSources):
            rows += [(name, k, f"'{key}' of the data") for k, key in enumerate(sources.arrays)]
            continue
        if sources.means is None or sources.spreads is None:
            continue
        for k, (means, spreads) in enumerate(zip(sources.means.T, sources.spreads.T, strict=True)):
            each = zip(representation.species, means.tolist(), spreads.tolist(), strict=True)
            told = ", ".join(f"{chemical_symbol(z)} {m:.3g} ± {s:.2g}" for z, m, s in each)
            rows.append((name, k, told))
    return rows


def contraction_rows(
    representation: AbstractRepresentation,
) -> list[tuple[str, str, int, int, float]]:
    """Contractions: product, irrep, features before and after, kept variance in per cent."""
    rows = []
    if not isinstance(representation, Representation):
        return []
    contractions = representation.contractions or ()
    pairs = zip(representation.products, contractions, strict=False)
    for names, contraction in pairs:
        steps = () if contraction is None else contraction.report
        for step, report in enumerate(steps):
            product = " x ".join(names[: step + 2])
            for irrep, kept in report.items():
                share = 100 * kept.fraction
                rows.append((product, irrep_name(irrep), kept.n_before, kept.n_after, share))
    return rows
