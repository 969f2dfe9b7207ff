"""Isolation: no test sees the changes of another, whatever their order is.

The same tests fail if a part of pgherd that isolates them is disabled.
"""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.slow

CONFTEST = """
import pytest
from pgherd import sql_files

@pytest.fixture(scope="session")
def pg_migrations():
    return sql_files("schema.sql")

@pytest.fixture
def execute(pg):
    connection = pg.connect()
    connection.autocommit = True
    cursor = connection.cursor()
    def execute(statement):
        cursor.execute(statement)
        return cursor.fetchall() if cursor.description else None
    yield execute
    connection.close()
"""
# Each test needs the database as the migrations left it, then changes and commits something.
TESTS = """
import pytest

WRITES = [
    "INSERT INTO person VALUES (DEFAULT, 'eve')",
    "UPDATE person SET name = 'eve' WHERE name = 'ada'",
    "DELETE FROM person",
    "TRUNCATE person RESTART IDENTITY",
    "SELECT setval('ticket', 100)",
    "INSERT INTO note VALUES ('x')",
    "ALTER TABLE note ADD COLUMN more text",
    "COMMENT ON TABLE note IS 'new'",
]

@pytest.mark.parametrize("repetition", range(2))
@pytest.mark.parametrize("write", WRITES)
def test_write(execute, write, repetition):
    assert execute("SELECT id, name FROM person ORDER BY 1") == [(1, "ada"), (2, "bob")]
    assert execute("SELECT * FROM note") == []
    assert execute("SELECT obj_description('note'::regclass)") == [(None,)]
    assert execute("SELECT attname FROM pg_attribute WHERE attrelid = 'note'::regclass"
                   " AND attnum > 0") == [("text",)]
    assert execute("SELECT nextval('ticket'), nextval('person_id_seq')") == [(1, 3)]
    execute(write)
"""
SCHEMA = """
CREATE TABLE person (id serial PRIMARY KEY, name text UNIQUE);
INSERT INTO person (name) VALUES ('ada'), ('bob');
CREATE TABLE note (text text); CREATE SEQUENCE ticket;
"""
IMPORTS = """
from pgherd import clones
from pgherd.postgres import naming
from pgherd.reset.resetter import Resetter
"""
FAULTS = {
    "the reset does nothing": "Resetter.reset = lambda resetter: True",
    "no clone is replaced": "clones.Spares.replace = lambda spares: None",
    "all workers share one clone": "naming.clone = lambda run_id, worker: f'pgherd_{run_id}_one'",
}


@pytest.fixture
def suite(pytester, server):
    """Create a project, on the outer run's server, whose tests commit and never clean up."""
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(TESTS)
    (pytester.path / "schema.sql").write_text(SCHEMA)
    return pytester


@pytest.mark.parametrize("seed", range(10))
def test_the_tests_pass_in_any_order(suite, seed: int):
    """On four workers and in random order, every test finds its database pristine."""
    result = suite.runpytest_subprocess("-n4", f"--randomly-seed={seed}")
    result.assert_outcomes(passed=16)


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_the_tests_fail_without_isolation(suite, fault: str):
    """The same tests fail if a part of pgherd that isolates them is disabled."""
    suite.makeconftest(f"{IMPORTS}{fault}\n{CONFTEST}")
    result = suite.runpytest_subprocess("-n4", "--randomly-seed=1")
    outcomes = result.parseoutcomes()
    assert outcomes.get("failed", 0) + outcomes.get("errors", 0) > 0
