"""The plugins of inner runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

OPTIONS = "-pno:anyio -pno:django -pno:hypothesispytest"
"""The options of an inner run that leave out the plugins of other tests.

The virtual environment and the suite's image have them. To import them takes each process longer
than all the rest of its start.
"""


def load_few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let inner runs, and their workers, load only plugins that they use."""
    monkeypatch.setenv("PYTEST_ADDOPTS", OPTIONS)
