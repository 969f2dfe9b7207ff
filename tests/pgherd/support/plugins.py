"""The plugins of inner runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

UNUSED = ("anyio", "django", "hypothesispytest")


def load_few_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let inner runs, and their workers, load only plugins that they use.

    The virtual environment has others, for other tests. To import them takes each process longer
    than all the rest of its start.
    """
    monkeypatch.setenv("PYTEST_ADDOPTS", " ".join(f"-pno:{name}" for name in UNUSED))
