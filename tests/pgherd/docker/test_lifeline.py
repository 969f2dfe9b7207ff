"""The lifeline of the container: the container ends when its owner ends, however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from tests.pgherd.support.containers import containers
from tests.pgherd.support.waiting import wait_until

pytestmark = pytest.mark.slow

# By default, pytest-xdist waits ten seconds for workers that do not end.
CONFTEST = """
import pathlib, pytest
from pgherd import plugin
from xdist.workermanage import NodeManager

NodeManager.EXIT_TIMEOUT = 1

def pytest_sessionstart(session):
    stash = session.config.stash
    if owner := stash[plugin._process].owner:
        pathlib.Path("run_id").write_text(owner.coordinator.run_id)
"""
SLEEP = """
import pathlib, time

def test_sleep(pg):
    pathlib.Path("asleep").touch()
    time.sleep(60)
"""
FORK = """
import os, pathlib, time

def test_fork(pg):
    if not (child := os.fork()):
        time.sleep(30)
        os._exit(0)
    pathlib.Path("child").write_text(str(child))
    pathlib.Path("asleep").touch()
    time.sleep(60)
"""


@pytest.fixture
def start_run(pytester, engine):
    """A function that starts a run in the background, and waits until it is `asleep` or `started`.

    A run is asleep when its test is, and started when its container is.
    """
    processes = []

    def start(until: str, tests: str = SLEEP, how: str = "-n2") -> tuple[subprocess.Popen, str]:
        pytester.makeconftest(CONFTEST)
        pytester.makepyfile(tests)
        process = subprocess.Popen(
            [sys.executable, "-m", "pytest", how, "-pno:cacheprovider"],
            cwd=pytester.path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            # A shell ignores SIGINT in programs that it runs in the background.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
        )
        processes.append(process)
        run_id = pytester.path / "run_id"
        wait_until(lambda: run_id.exists() and run_id.read_text(), 60)
        wait_until(
            lambda: (
                (pytester.path / "asleep").exists()
                if until == "asleep"
                else containers(engine, run_id.read_text(), "running")
            ),
            60,
        )
        return process, run_id.read_text()

    yield start
    for process in processes:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_container_does_not_outlive_its_owner(start_run, engine, how):
    """If a signal ends the owner during a test, the container is gone within two seconds."""
    process, run_id = start_run("asleep")
    assert len(containers(engine, run_id)) == 1
    process.send_signal(how)
    if how is signal.SIGINT:  # pytest-xdist waits for its workers
        wait_until(lambda: containers(engine, run_id) == [], 30)
    else:
        assert wait_until(lambda: containers(engine, run_id) == []) < 2


def test_forked_child_of_the_owner_does_not_hold_the_lifeline(start_run, engine, pytester):
    """If a child by os.fork outlives the owner, the container ends all the same."""
    process, run_id = start_run("asleep", FORK, "-n0")
    assert len(containers(engine, run_id)) == 1
    process.kill()
    try:
        assert wait_until(lambda: containers(engine, run_id) == []) < 2
    finally:
        os.kill(int((pytester.path / "child").read_text()), signal.SIGKILL)


def test_container_that_is_starting_does_not_outlive_its_owner(start_run, engine):
    """If the owner is killed while PostgreSQL initialises its data, nothing is left."""
    process, run_id = start_run("started")
    process.kill()
    wait_until(lambda: containers(engine, run_id) == [], 30)
