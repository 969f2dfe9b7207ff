"""The files in this directory use every public name, so mypy sees each as a project uses it."""

from __future__ import annotations

from pathlib import Path

import pytest

import pgherd
import pgherd.peewee

SOURCES = {path.name: path.read_text() for path in Path(__file__).parent.glob("[!t]*.py")}


@pytest.mark.parametrize("name", pgherd.__all__)
def test_core_uses_the_name(name: str) -> None:
    """A name that somebody adds to `pgherd` is used in core.py, too."""
    assert f"pgherd.{name}" in SOURCES["core.py"]


@pytest.mark.parametrize("name", pgherd.peewee.__all__)
def test_peewee_suite_uses_the_name(name: str) -> None:
    """A name that somebody adds to `pgherd.peewee` is used in peewee_suite.py, too."""
    assert f"{name}(" in SOURCES["peewee_suite.py"]


@pytest.mark.parametrize(
    "fixture",
    [
        "pg",
        "pg_database",
        "pg_disconnect",
        "pg_factory",
        "pg_migrations",
        "pg_server",
        "pg_template",
    ],
)
def test_fixtures_uses_the_fixture(fixture: str) -> None:
    """Each fixture of the plugin has an annotation, or is overridden, in fixtures.py."""
    source = SOURCES["fixtures.py"]
    assert f"{fixture}: " in source or f"def {fixture}(" in source
