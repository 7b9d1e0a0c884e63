"""`multilode predict`."""

from collections.abc import Sequence
from pathlib import Path

from multilode.cli.output import output_file
from multilode.cli.progress import progress_stages
from multilode.config.store import load
from multilode.data.io import read, write
from multilode.prediction.evaluation import predict, with_predictions


def run_predict(
    model: Path, structures: Sequence[Path], output: Path, *, index: str, **wanted: bool
) -> None:
    """Predict structures and write them with the predictions.

    Args:
        model: the model file.
        structures: files with structures.
        output: extended XYZ file to write.
        index: which frames.
        wanted: forces, stress, std.

    Raises:
        UserError: if a file, a structure or the output cannot be used.
    """
    predictor = load(model)
    with output_file(output):
        with progress_stages() as stage:
            dataset = read(list(structures), index, progress=stage("reading structures"))
            predicted = predict(predictor, dataset, progress=stage("predicting"), **wanted)
        key = predictor.target.key
        write(output, with_predictions(dataset, predicted, predictor.target))
    unit = f" ({predictor.target.unit})" if predictor.target.unit else ""
    print(f"Written to {output}: {len(dataset)} structures with predicted_{key}{unit}.")
