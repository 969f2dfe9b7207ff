"""A backend that crashes: the server recovers, and the next test gets a pristine database."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.slow

CONFTEST = """
import pytest
from pgherd import sql_files

@pytest.fixture(scope="session")
def pg_migrations():
    return sql_files("schema.sql")
"""
TESTS = """
import os, signal, pytest

def execute(database, statement):
    connection = database.connect()
    cursor = connection.cursor()
    cursor.execute(statement)
    found = cursor.fetchall() if cursor.description else []
    connection.commit()
    connection.close()
    return found

@pytest.mark.parametrize("number", range(4))
def test_crash(pg, number):
    assert execute(pg, "SELECT count(*) FROM thing") == [(0,)]
    execute(pg, "INSERT INTO thing VALUES (1)")
    if number % 2:
        connection = pg.connect()
        pid = connection.info.backend_pid
        {kill}
"""
KILL = {
    "embedded": "os.kill(pid, signal.SIGKILL)",
    "docker": """import docker
        engine = docker.from_env()
        name = f"pgherd-{pg.name.split('_')[1]}"
        engine.containers.get(name).exec_run(["sh", "-c", f"kill -9 {pid}"])
        engine.close()""",
}


@pytest.fixture(params=KILL)
def run(request, pytester):
    """Return a function that runs four tests, two of which kill a backend."""
    pytester.makeconftest(CONFTEST)
    (pytester.path / "schema.sql").write_text("CREATE TABLE thing (id int)")
    pytester.makepyfile(TESTS.replace("{kill}", KILL[request.param]))
    chosen = ["-pno:randomly", f"--pgherd-server={request.param}"]
    return lambda how: pytester.runpytest_subprocess(*chosen, how, timeout=90)


def test_the_server_recovers_and_the_run_goes_on(run):
    """A crash ends every connection, and still all four tests pass."""
    run("-n0").assert_outcomes(passed=4)


def test_the_run_goes_on_in_every_worker(run):
    """A crash also ends the other worker's connections, so its running test may fail."""
    result = run("-n2")
    outcomes = result.parseoutcomes()
    assert outcomes.get("passed", 0) + outcomes.get("failed", 0) == 4
    assert "errors" not in outcomes
    assert "assert [(" not in result.stdout.str()


LOST = """
import os, signal, time, pytest

def execute(database, statement):
    connection = database.connect()
    cursor = connection.cursor()
    cursor.execute(statement)
    found = cursor.fetchall() if cursor.description else []
    connection.commit()
    connection.close()
    return found

def test_write(pg):
    execute(pg, "INSERT INTO thing VALUES (1)")
    time.sleep(0.5)  # the WAL writer flushes the row

def test_crash_just_after_the_reset(pg):
    connection = pg.server.database("postgres").connect()
    os.kill(connection.info.backend_pid, signal.SIGKILL)
    time.sleep(0.5)
    assert execute(pg, "SELECT count(*) FROM thing") == [(0,)]
"""


def test_a_crash_does_not_lose_a_reset(pytester):
    """The reset is on disk before the next test begins, so a crash cannot bring the row back."""
    pytester.makeconftest(CONFTEST)
    (pytester.path / "schema.sql").write_text("CREATE TABLE thing (id int)")
    pytester.makepyfile(LOST)
    result = pytester.runpytest_subprocess(
        "-pno:randomly", "-n0", "--pgherd-server=embedded", timeout=60
    )
    result.assert_outcomes(passed=2)


UNLOGGED = """
import os, signal, time

def test_crash(pg):
    connection = pg.connect()
    os.kill(connection.info.backend_pid, signal.SIGKILL)
    time.sleep(0.1)

def test_next(pg):
    connection = pg.connect()
    cursor = connection.cursor()
    cursor.execute("SELECT count(*) FROM seeded")
    assert cursor.fetchall() == [({rows},)]
    connection.close()
"""


@pytest.mark.parametrize(("rows", "passed"), [(5, 2), (5000, 1)])
def test_no_test_gets_a_table_that_a_crash_has_emptied(pytester, rows: int, passed: int):
    """A small unlogged table is restored; for a large one, a message says what is empty."""
    pytester.makeconftest(CONFTEST)
    (pytester.path / "schema.sql").write_text(
        f"CREATE UNLOGGED TABLE seeded AS SELECT generate_series(1, {rows}) AS id"
    )
    pytester.makepyfile(UNLOGGED.replace("{rows}", str(rows)))
    result = pytester.runpytest_subprocess(
        "-pno:randomly", "-n0", "--pgherd-server=embedded", timeout=60
    )
    outcomes = result.parseoutcomes()
    assert "failed" not in outcomes
    assert outcomes["passed"] == passed
    message = "has emptied UNLOGGED tables of the template: seeded"
    assert (message in result.stdout.str()) is (passed == 1)
