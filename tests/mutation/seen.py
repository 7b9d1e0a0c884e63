"""A plugin of pytest that keeps which functions each test enters, and how long it takes.

`pytest -p seen --seen FILE ...` with this folder on the path of Python.
"""

import json
import sys
import time
from pathlib import Path

import pytest

SOURCE = f"{Path('src').resolve()}/"


class _Seen:
    def __init__(self, file: Path) -> None:
        self.file = file
        self.tests: dict[str, dict] = {}
        self.entered: set[tuple[str, int]] = set()

    def trace(self, frame, _event, _argument) -> None:  # no lines: only calls are followed
        code = frame.f_code
        if code.co_filename.startswith(SOURCE):
            self.entered.add((code.co_filename, code.co_firstlineno))

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_protocol(self, item, nextitem):
        self.entered, begun = set(), time.process_time()
        sys.settrace(self.trace)
        yield
        sys.settrace(None)
        functions = sorted(f"{path.removeprefix(SOURCE)}:{line}" for path, line in self.entered)
        seconds = round(time.process_time() - begun, 3)
        self.tests[item.nodeid] = {"seconds": seconds, "functions": functions}

    def pytest_sessionfinish(self) -> None:
        known = json.loads(self.file.read_text()) if self.file.exists() else {}
        self.file.write_text(json.dumps(known | self.tests))


def pytest_addoption(parser):
    parser.addoption("--seen", type=Path)


def pytest_configure(config):
    if config.getoption("--seen"):
        config.pluginmanager.register(_Seen(config.getoption("--seen")))
