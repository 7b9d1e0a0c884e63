"""Networks in the report of a training: their size, and errors in the course of it."""

from matplotlib.figure import Figure

from multilode.models import NetworkCommittee, NetworkModel, NetworkTensorModel
from multilode.report.document import Picture, Section, Table
from multilode.report.parity_report import literal
from multilode.report.plots import training_curves


def network_section(
    model: NetworkModel | NetworkTensorModel | NetworkCommittee, unit: str, *, forces: bool
) -> Section:
    """Size of a network and the course of its training; of the first of several.

    Args:
        unit: of energies, or tensors.
        forces: whether it was trained on forces.
    """
    pictures, members = (), ()
    text = "A network that multiplies the fields itself, trained epoch by epoch."
    if isinstance(model, NetworkCommittee):
        members = (("networks", f"{len(model.members)}, of which this is the first"),)
        text = "The mean of networks that multiply the fields themselves, trained epoch by epoch."
        model = model.members[0]
    if model.history:
        caption = (
            "Root mean squared errors in the course of the training: of the training set while "
            "weights change, of the validation set with averaged weights."
        )
        pictures = (Picture(figure=_course(model, literal(unit), forces=forces), caption=caption),)
    return Section(
        heading="Model",
        text=text,
        tables=(Table(header=("what", "value"), rows=(*members, *network_rows(model))),),
        pictures=pictures,
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


def _course(model: NetworkModel | NetworkTensorModel, unit: str, *, forces: bool) -> Figure:
    """Errors against epochs; without a validation set those of the training set alone."""
    rows = model.history
    train = {"training set": [row.train for row in rows]}
    energy = [row.energy for row in rows if row.energy is not None]
    force = [row.force for row in rows if row.force is not None]
    component = [row.component for row in rows if row.component is not None]
    tensors = isinstance(model, NetworkTensorModel)
    known = {"forces": force, "energies": energy, "components": component}
    shown = {what: {"validation set": errors} if errors else {} for what, errors in known.items()}
    trained = "components" if tensors else "forces" if forces else "energies"
    shown[trained] = {**train, **shown[trained]}
    return training_curves(
        [row.epoch for row in rows],
        **shown,
        unit=unit,
        chosen=model.best_epoch,
    )
