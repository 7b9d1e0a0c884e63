"""`multilode schema`."""

import json
from pathlib import Path

from multilode.cli.output import output_file
from multilode.config.schema import config_schema
from multilode.errors import one_line
from multilode.files import write_text


def run_schema(output: Path | None) -> None:
    """Print the schema of a configuration, or write it to a file.

    Args:
        output: the file.

    Raises:
        UserError: if it cannot be written.
    """
    text = json.dumps(config_schema(), indent=2, ensure_ascii=False)
    if output is None:
        print(text)
        return
    with output_file(output):
        write_text(output, f"{text}\n")
    print(f"Written to {one_line(str(output))}.")
