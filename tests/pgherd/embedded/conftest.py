"""The fixtures that the tests of the embedded server share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.pgherd.support import owners, users

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def _embedded(monkeypatch):
    """Choose the embedded server for the inner run."""
    monkeypatch.setenv("PGHERD_SERVER", "embedded")
    monkeypatch.delenv("PGHERD_IMAGE", raising=False)


@pytest.fixture
def public_directory() -> Iterator[Path]:
    """A directory that every user can enter."""
    with users.public_directory() as directory:
        yield directory


@pytest.fixture
def start_owner(public_directory: Path) -> Iterator[Callable[..., owners.Owner]]:
    """A function that starts an owner of an embedded server."""
    with owners.starter(public_directory) as start:
        yield start
