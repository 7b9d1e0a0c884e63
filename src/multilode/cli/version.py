"""`multilode --version`."""

from importlib.metadata import version


def print_version() -> None:
    """Print name and version of the package."""
    print(f"multilode {version('multilode')}")
