"""The table of fitted models, for files; `multilode.models` fills it."""

from multilode.models.model import AbstractModel

MODELS: dict[str, type[AbstractModel]] = {}


def kind_of(model: AbstractModel) -> str:
    """The name under which the class of a model stands in `MODELS`.

    Raises:
        ValueError: if it is not there.
    """
    for kind, cls in MODELS.items():
        if type(model) is cls:
            return kind
    raise ValueError(
        f"{type(model).__name__} is in no table; add it to MODELS, which has {', '.join(MODELS)}"
    )
