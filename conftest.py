"""Settings that all tests share."""

import hypothesis
import torch

# Two test processes on two cores: one thread each is faster than two that fight
torch.set_num_threads(1)

# The same examples in every run, and no deadline: the first call of a test builds tables
hypothesis.settings.register_profile(
    "suite",
    derandomize=True,
    deadline=None,
    max_examples=5,
    database=None,
    suppress_health_check=list(hypothesis.HealthCheck),
)
hypothesis.settings.load_profile("suite")
