"""The fixtures that the tests of the container share."""

from __future__ import annotations

from contextlib import closing

import docker
import pytest

from tests.pgherd.support.engine import need


@pytest.fixture(autouse=True)
def _docker(monkeypatch):
    """Choose the container for the inner run."""
    need("postgres:17")
    monkeypatch.setenv("PGHERD_SERVER", "docker")


@pytest.fixture
def engine():
    """A client of the engine."""
    with closing(docker.from_env()) as client:
        yield client
