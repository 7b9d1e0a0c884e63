"""Files that a command reads, which it never overwrites."""

from pathlib import Path

from multilode.config.config import Config


def inputs_of(config: Config, path: Path) -> list[Path]:
    """The configuration and its data.

    Args:
        config: the settings.
        path: their file.
    """
    return [path, *map(Path, (*config.data.train, *config.data.test))]
