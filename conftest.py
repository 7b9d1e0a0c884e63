"""Settings that all tests share."""

import gc

import hypothesis
import torch

import shape_checks

# until all tests are collected nothing becomes garbage
gc.disable()

# before any module of the library is imported
shape_checks.install()

# Two test processes on two cores: one thread each is faster than two that fight
torch.set_num_threads(1)

# No deadline, and drawing may take long: the first call of a test builds tables
COMMON = {
    "deadline": None,
    "database": None,
    "suppress_health_check": [hypothesis.HealthCheck.too_slow],
}
# `make test`: a few examples, the same in every run
hypothesis.settings.register_profile("suite", derandomize=True, max_examples=5, **COMMON)
# `make test-all`: many examples, others in every run; the seed is printed with the command
hypothesis.settings.register_profile("random", max_examples=200, print_blob=True, **COMMON)
hypothesis.settings.load_profile("suite")


def pytest_collection_finish() -> None:
    """Modules and tests stay to the end: not to look through them again takes 5 % of the time."""
    gc.freeze()
    gc.enable()
