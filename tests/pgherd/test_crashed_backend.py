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
