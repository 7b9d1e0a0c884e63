"""Networks in the report of a training: their size, and errors in the course of it."""

import numpy as np

from multilode.models import NetworkCommittee, NetworkModel, NetworkTensorModel
from multilode.models.targets import force_unit, with_unit
from multilode.report.document import Section, Table
from multilode.report.interactive import Plot, Series

_COURSE = (
    "Root mean squared errors in the course of the training: of the training set while weights "
    "change, of the validation set with averaged weights. The dashed line is the epoch whose "
    "weights were kept."
)


def network_section(
    model: NetworkModel | NetworkTensorModel | NetworkCommittee, unit: str, *, forces: bool
) -> Section:
    """Size of a network and the course of its training; of the first of several.

    Args:
        unit: of energies, or tensors.
        forces: whether it was trained on forces.
    """
    members = ()
    text = "A network that multiplies the fields itself, trained epoch by epoch."
    if isinstance(model, NetworkCommittee):
        members = (("networks", f"{len(model.members)}, of which this is the first"),)
        text = "The mean of networks that multiply the fields themselves, trained epoch by epoch."
        model = model.members[0]
    return Section(
        heading="Model and the course of its training",
        text=text,
        tables=(Table(header=("what", "value"), rows=(*members, *network_rows(model))),),
        plots=_course(model, unit, forces=forces) if model.history else (),
    )


def network_rows(model: NetworkModel | NetworkTensorModel) -> tuple[tuple[str, str], ...]:
    """Numbers that describe a network and its training."""
    size, kept = model.size, model.best_epoch
    weights = sum(weight.numel() for weight in model.weights.values())
    return (
        ("channels", str(size.channels)),
        ("rounds", str(size.rounds)),
        ("charges and dipoles of each atom", f"{size.charges} and {size.dipoles}"),
        ("weights", str(weights)),
        ("epochs", str(len(model.history))),
        ("weights kept", "those of the last epoch" if kept is None else f"those of epoch {kept}"),
    )


def _course(
    model: NetworkModel | NetworkTensorModel, unit: str, *, forces: bool
) -> tuple[Plot, ...]:
    """Errors against epochs; without a validation set those of the training set alone."""
    rows, x = model.history, "epochs"
    validated = {
        "forces": ([row.force for row in rows], force_unit(unit)),
        "energies / √atoms": ([row.energy for row in rows], unit),
        "components": ([row.component for row in rows], unit),
    }
    tensors = isinstance(model, NetworkTensorModel)
    trained = "components" if tensors else "forces" if forces else "energies / √atoms"
    epochs = np.array([row.epoch for row in rows], dtype=float)
    plots = []
    for what, (errors, own) in validated.items():
        y = with_unit(f"error of {what}", own)
        shown = {"training set": [row.train for row in rows]} if what == trained else {}
        if any(error is not None for error in errors):
            shown["validation set"] = [np.nan if error is None else error for error in errors]
        series = tuple(
            Series(name=name, columns={x: epochs, y: np.array(values, dtype=float)}, line=True)
            for name, values in shown.items()
        )
        if series:
            plots.append(
                Plot(
                    name=f"course of {what}",
                    caption=_COURSE,
                    x=(x,),
                    y=y,
                    series=series,
                    log=frozenset({y}),
                    marks=() if model.best_epoch is None else (float(model.best_epoch),),
                )
            )
    return tuple(plots)
