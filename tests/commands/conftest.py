"""Fixtures of the command line's tests: a saved model, and what stdin gives."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest
from tiny_text import save_translator, tiny_translator


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved tiny translator."""
    return save_translator(tmp_path_factory.mktemp("models") / "tiny", tiny_translator())


@pytest.fixture
def stdin(monkeypatch: pytest.MonkeyPatch):
    """A function that sets what stdin gives."""

    def give(data: bytes) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))

    return give
