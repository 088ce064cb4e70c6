"""What every test file shares: one seed, one thread, reproducible properties."""

import os

import pytest
import torch
from hypothesis import settings

settings.register_profile("book", deadline=None, derandomize=True, max_examples=20)
settings.register_profile("thorough", deadline=None, max_examples=300)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "book"))


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)  # tests run side by side; tiny products gain nothing from more


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)
