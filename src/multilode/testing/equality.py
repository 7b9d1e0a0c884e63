"""Messages of all checks about things that differ."""


def require_equal(name: str, given: object, expected: object) -> None:
    """Raise AssertionError if they differ, with both."""
    if given != expected:
        raise AssertionError(f"{name} is {given}, expected {expected}")
