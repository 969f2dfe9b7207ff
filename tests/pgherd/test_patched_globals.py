"""Tests that patch the standard library: a patch that is still in force does not stop a reset."""

from __future__ import annotations

import time

import pytest

pytestmark = pytest.mark.slow

CONFTEST = """
import pytest
from pgherd import sql_files

@pytest.fixture(scope="session")
def pg_migrations():
    return sql_files("schema.sql")

@pytest.fixture(scope="session")
def kept():
    return []
"""
# `patched` is set up before `pg` and so torn down after it: the patch is in force in the reset.
TESTS = """
import contextlib, datetime, logging, os, random, signal, socket, threading, time, uuid
from unittest import mock
import pytest

def fail(*args, **kwargs):
    raise RuntimeError("patched")

@pytest.fixture(scope="session", autouse=True)
def _started(pg_database):
    '''The patches are those of a test: the server is there already.'''

@pytest.fixture
def patched(_started):
    with contextlib.ExitStack() as stack:
        {patch}
        yield

@pytest.mark.parametrize("number", range(2))
def test_leave_a_transaction(patched, pg, kept, number):
    connection = pg.connect()
    cursor = connection.cursor()
    cursor.execute("SELECT count(*) FROM thing")
    assert cursor.fetchall() == [(0,)]
    cursor.execute("INSERT INTO thing VALUES (1)")
    connection.commit()
    cursor.execute("INSERT INTO thing VALUES (2)")
    kept.append(connection)

@pytest.mark.parametrize("number", range(2))
def test_change_the_schema(patched, pg, number):
    connection = pg.connect()
    cursor = connection.cursor()
    cursor.execute("SELECT * FROM thing")
    assert [column.name for column in cursor.description] == ["id"]
    cursor.execute("ALTER TABLE thing ADD COLUMN more int")
    connection.commit()
    connection.close()
"""
PATCHES = {
    "a frozen clock": "from freezegun import freeze_time\n"
    "        stack.enter_context(freeze_time('2020-02-02'))",
    "a clock that stands still": "import time_machine\n"
    "        stack.enter_context(time_machine.travel(0, tick=False))",
    "time.monotonic": "stack.enter_context(mock.patch('time.monotonic', return_value=1.0))",
    "time.time": "stack.enter_context(mock.patch('time.time', fail))",
    "time.sleep": "stack.enter_context(mock.patch('time.sleep', fail))",
    "socket.socket": "stack.enter_context(mock.patch('socket.socket', fail))",
    "random": "random.seed(1); stack.enter_context(mock.patch('random.random', fail))",
    "uuid": "stack.enter_context(mock.patch('uuid.uuid4', fail))",
    "os.environ": "stack.enter_context(mock.patch.dict(os.environ, clear=True))",
    "libpq's variables": "stack.enter_context(mock.patch.dict(os.environ,"
    " PGHOST='192.0.2.1', PGPORT='1', PGUSER='nobody', PGDATABASE='nowhere'))",
    "the directory": "here = os.getcwd(); os.chdir('/'); stack.callback(os.chdir, here)",
    "the umask": "stack.callback(os.umask, os.umask(0o777))",
    "signal handlers": "stack.callback(signal.signal, signal.SIGALRM,"
    " signal.signal(signal.SIGALRM, signal.SIG_IGN))",
    "logging": "stack.callback(logging.disable, logging.NOTSET); logging.disable()",
    "gc": "import gc; gc.disable(); stack.callback(gc.enable)",
    "threading.Thread": "stack.enter_context(mock.patch('threading.Thread.__init__', fail))",
}


@pytest.fixture
def project(pytester, server):
    """Return a function that runs four tests while a patch is in force."""
    pytester.makeconftest(CONFTEST)
    (pytester.path / "schema.sql").write_text("CREATE TABLE thing (id int)")

    def run(patch: str, *arguments: str):
        pytester.makepyfile(TESTS.replace("{patch}", patch))
        return pytester.runpytest_subprocess(
            "-pno:randomly", "-pno:time_machine", *arguments, timeout=60
        )

    return run


@pytest.mark.parametrize("patch", PATCHES.values(), ids=PATCHES)
def test_a_patch_in_force_does_not_stop_the_reset(project, patch: str):
    """While a patch is in force, pgherd ends the transaction and replaces the clone within 40 s."""
    began = time.monotonic()
    project(patch, "-n0").assert_outcomes(passed=4, warnings=2)
    assert time.monotonic() - began < 40


@pytest.mark.parametrize(
    "option", ["--disable-socket --allow-unix-socket", "--allow-hosts=127.0.0.1"]
)
@pytest.mark.parametrize("how", ["-n0", "-n2"])
def test_pytest_socket_does_not_stop_a_run(pytester, project, option: str, how: str):
    """A worker reaches the owner although the tests may open no socket."""
    result = project("pass", how, *option.split())
    result.assert_outcomes(passed=4, warnings=2)


FIRST = """
def test_first(pg):
    connection = pg.connect()
    connection.cursor().execute("INSERT INTO thing VALUES (1)")
    connection.commit()
    connection.close()
"""


@pytest.mark.parametrize("how", ["-n0", "-n2"])
@pytest.mark.parametrize("kind", ["docker", "embedded"])
def test_pytest_socket_does_not_keep_a_server_from_starting(pytester, project, how, kind):
    """The first test starts the server while pytest-socket is in force."""
    pytester.makepyfile(FIRST)
    result = pytester.runpytest_subprocess(
        "-pno:randomly", how, "--disable-socket", "--allow-unix-socket", f"--pgherd-server={kind}"
    )
    result.assert_outcomes(passed=1)
