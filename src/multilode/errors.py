"""The one kind of error that the command line reports as a single line."""


class UserError(ValueError):
    """Something in the input, not in the program: its message says what and how to mend it."""
