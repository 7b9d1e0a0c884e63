"""`multilode predict`."""

from collections.abc import Sequence
from pathlib import Path

from multilode.cli.baseline import load_with_baseline
from multilode.cli.output import output_file
from multilode.cli.progress import progress_stages
from multilode.data.io import read, write
from multilode.prediction.evaluation import predict, with_predictions


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
        output: extended XYZ file to write.
        index: which frames.
        baseline: configuration with the calculator of the baseline, if the model needs one.
        wanted: forces, stress, std.

    Raises:
        UserError: if a file, a structure or the output cannot be used.
    """
    predictor = load_with_baseline(model, baseline)
    with output_file(output):
        with progress_stages() as stage:
            dataset = read(list(structures), index, progress=stage("reading structures"))
            predicted = predict(predictor, dataset, progress=stage("predicting"), **wanted)
        key = predictor.target.key
        write(output, with_predictions(dataset, predicted, predictor.target))
    unit = f" ({predictor.target.unit})" if predictor.target.unit else ""
    print(f"Written to {output}: {len(dataset)} structures with predicted_{key}{unit}.")
