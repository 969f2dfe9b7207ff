"""The projects in examples/ pass on the run's own server, and leave no clone there."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from pgherd.postgres import databases, naming

EXAMPLES = Path(__file__).parents[2] / "examples"
PASSED = {"asyncpg": 7, "django": 10, "psycopg3": 10, "sqlalchemy": 9}


@pytest.fixture
def server(pg_server, monkeypatch):
    """Give the run's server to the example, which would start one of its own."""
    monkeypatch.setenv("PGHERD_URL", pg_server.database(pg_server.maintenance).url)
    return pg_server


def test_every_example_is_run():
    """No example is forgotten here."""
    assert {path.parent.name for path in EXAMPLES.glob("*/pyproject.toml")} == set(PASSED)


@pytest.mark.parametrize("name", PASSED)
def test_example_passes_and_leaves_nothing(pytester, server, connection, name: str):
    """Two workers run the whole suite, each on a clone; of that run's clones none is left."""
    unwanted = shutil.ignore_patterns("__pycache__", ".*")
    shutil.copytree(EXAMPLES / name, pytester.path, ignore=unwanted, dirs_exist_ok=True)
    log = ["--log-file=log", "--log-file-mode=a", "--log-file-level=INFO"]
    result = pytester.runpytest_subprocess("-n2", "-pno:cacheprovider", *log, timeout=120)
    result.assert_outcomes(passed=PASSED[name])
    created = re.findall(r"created database (\S+)", (pytester.path / "log").read_text())
    runs = {run for database in created if (run := naming.run_of(database))}
    assert len(runs) == 1, created
    assert {f"pgherd_{run}_gw{n}" for run in runs for n in range(2)} <= set(created)
    assert [databases.names(connection, f"pgherd_{run}_") for run in runs] == [[]]


@pytest.mark.parametrize("name", PASSED)
def test_example_shows_its_hook(name: str):
    """What a reader copies has the hook, and the README names it and says how to run the tests."""
    assert "def pg_disconnect(" in (EXAMPLES / name / "conftest.py").read_text()
    readme = (EXAMPLES / name / "README.md").read_text()
    assert "`pg_disconnect`" in readme
    assert "    pytest -n 2\n" in readme
