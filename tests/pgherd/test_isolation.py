"""No test sees what another has done, in any order; and where one does, it is noticed."""

from __future__ import annotations

import pytest

# Each test needs the database as it was migrated, leaves it otherwise, and really commits.
SUITE = """
import pytest
from pgherd import sql_files

@pytest.fixture(scope="session")
def pg_migrations():
    return sql_files("schema.sql")

@pytest.fixture
def run(pg):
    link = pg.connect()
    link.autocommit = True
    cursor = link.cursor()
    def execute(statement):
        cursor.execute(statement)
        return cursor.fetchall() if cursor.description else None
    yield execute
    link.close()
"""
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

@pytest.mark.parametrize("again", range(2))
@pytest.mark.parametrize("write", WRITES)
def test_write(run, write, again):
    assert run("SELECT id, name FROM person ORDER BY 1") == [(1, "ada"), (2, "bob")]
    assert run("SELECT * FROM note") == []
    assert run("SELECT obj_description('note'::regclass)") == [(None,)]
    assert run("SELECT attname FROM pg_attribute WHERE attrelid = 'note'::regclass"
               " AND attnum > 0") == [("text",)]
    assert run("SELECT nextval('ticket'), nextval('person_id_seq')") == [(1, 3)]
    run(write)
"""
SCHEMA = """
CREATE TABLE person (id serial PRIMARY KEY, name text UNIQUE);
INSERT INTO person (name) VALUES ('ada'), ('bob');
CREATE TABLE note (text text); CREATE SEQUENCE ticket;
"""
PARTS = """
from pgherd import clones
from pgherd.postgres import naming
from pgherd.reset.resetter import Resetter
"""
LEAKS = {
    "nothing is undone": "Resetter.reset = lambda resetter: True",
    "no clone is replaced": "clones.Spares.replace = lambda spares: None",
    "all workers share one clone": "naming.clone = lambda run, worker: f'pgherd_{run}_shared'",
}


@pytest.fixture
def suite(pytester, pg_server, monkeypatch):
    """Give tests that take care of nothing, on the outer run's server."""
    monkeypatch.setenv("PGHERD_URL", pg_server.database(pg_server.maintenance).url)
    pytester.makeconftest(SUITE)
    pytester.makepyfile(TESTS)
    (pytester.path / "schema.sql").write_text(SCHEMA)
    return pytester


@pytest.mark.parametrize("seed", range(10))
def test_every_order_is_green(suite, seed: int):
    """Four workers, and the tests in an order that nobody chose."""
    result = suite.runpytest_subprocess("-n4", f"--randomly-seed={seed}")
    result.assert_outcomes(passed=16)


@pytest.mark.parametrize("leak", LEAKS.values(), ids=LEAKS)
def test_a_planted_leak_is_caught(suite, leak: str):
    """The same tests fail where isolation does."""
    plant = f"{PARTS}{leak}\n"
    suite.makeconftest(plant + SUITE)
    result = suite.runpytest_subprocess("-n4", "--randomly-seed=1")
    outcomes = result.parseoutcomes()
    assert outcomes.get("failed", 0) + outcomes.get("errors", 0) > 0
