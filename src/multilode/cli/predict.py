"""`multilode predict`."""

from collections.abc import Sequence
from pathlib import Path

from multilode.cli.baseline import load_with_baseline
from multilode.cli.notes import say
from multilode.cli.output import output_file
from multilode.cli.progress import progress_stages
from multilode.data.io import read, write
from multilode.data.writing import writer_of
from multilode.errors import one_line
from multilode.prediction.evaluation import predict, with_predictions
from multilode.workflow.doubts_of_models import doubts_of_environments
from multilode.workflow.doubts_of_units import doubts_of_lengths


def run_predict(
    model: Path,
    structures: Sequence[Path],
    output: Path,
    *,
    index: str,
    baseline: Path | None,
    **wanted: bool,
) -> None:
    """Predict structures and write them with the predictions.

    Args:
        model: the model file.
        structures: files with structures.
        output: file to write, in the format of its suffix.
        index: which frames.
        baseline: configuration with the calculator of the baseline, if the model needs one.
        wanted: forces, stress, std.

    Raises:
        UserError: if a file, a structure or the output cannot be used.
    """
    predictor = load_with_baseline(model, baseline)
    inputs = [model, *structures, *([] if baseline is None else [baseline])]
    with output_file(output, inputs=inputs):
        writer_of(output)  # refused now, not after the computation
        with progress_stages() as stage:
            dataset = read(list(structures), index, progress=stage("reading structures"))
            predicted = predict(predictor, dataset, progress=stage("predicting"), **wanted)
            doubts = [
                *doubts_of_lengths(dataset),
                *doubts_of_environments(predictor, dataset, "these"),
            ]
        completed = with_predictions(dataset, predicted, predictor.target)
        write(output, completed)
    say(doubts)
    unit = f" ({predictor.target.unit})" if predictor.target.unit else ""
    first = f"predicted_{predictor.target.key}"
    others = [
        key
        for key in (*completed.columns, *completed.atom_columns)
        if key.startswith("predicted_") and key != first
    ]
    more = f", {', '.join(others)}" if others else ""
    print(
        f"Written to {one_line(str(output))}: {len(dataset)} structures with {first}{unit}{more}."
    )
