"""The projects in examples/ pass on the outer run's server, and leave no clone there."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from pgherd.postgres import databases, naming

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).parents[2] / "examples"
PASSED = {"asyncpg": 7, "django": 10, "psycopg3": 10, "sqlalchemy": 9}


def test_all_examples_are_tested():
    """Every folder of examples/ with a project is tested in this file."""
    assert {path.parent.name for path in EXAMPLES.glob("*/pyproject.toml")} == set(PASSED)


@pytest.mark.parametrize("name", PASSED)
def test_example_passes_and_leaves_no_clone(pytester, server, connection, monkeypatch, name: str):
    """Two workers pass the example's tests, each on its own clone, and the clones are dropped."""
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)  # the examples need anyio and pytest-django
    unwanted = shutil.ignore_patterns("__pycache__", ".*")
    shutil.copytree(EXAMPLES / name, pytester.path, ignore=unwanted, dirs_exist_ok=True)
    log = ["--log-file=log", "--log-file-mode=a", "--log-file-level=INFO"]
    result = pytester.runpytest_subprocess("-n2", "-pno:cacheprovider", *log, timeout=120)
    result.assert_outcomes(passed=PASSED[name])
    created = re.findall(r"created database (\S+)", (pytester.path / "log").read_text())
    run_ids = {run_id for database in created if (run_id := naming.run_of(database))}
    assert len(run_ids) == 1, created
    assert {f"pgherd_{run_id}_gw{n}" for run_id in run_ids for n in range(2)} <= set(created)
    assert [databases.names(connection, f"pgherd_{run_id}_") for run_id in run_ids] == [[]]


@pytest.mark.parametrize("name", PASSED)
def test_example_shows_pg_disconnect(name: str):
    """The conftest.py defines the hook; the README names it and the command for the tests."""
    assert "def pg_disconnect(" in (EXAMPLES / name / "conftest.py").read_text()
    readme = (EXAMPLES / name / "README.md").read_text()
    assert "`pg_disconnect`" in readme
    assert "    pytest -n 2\n" in readme
