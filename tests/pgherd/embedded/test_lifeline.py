"""The lifeline of the embedded server: the server ends when its owner ends, however it ends."""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

import psycopg2
import pytest

from pgherd.servers.embedded import supervisor
from tests.pgherd.support.owners import SOON
from tests.pgherd.support.waiting import wait_until

pytestmark = pytest.mark.slow


def test_end_of_the_run_leaves_nothing(start_owner, public_directory):
    """At the end of the context, PostgreSQL and its directory are gone."""
    owner = start_owner().wait_until_ready()
    assert owner.data.is_dir()
    assert owner.processes() != []
    (public_directory / "end").touch()
    assert owner.process.wait(10) == 0
    assert owner.is_gone()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_server_does_not_outlive_its_owner(start_owner, how):
    """A signal that ends the owner ends the server, even if a backend is busy."""
    owner = start_owner().wait_until_ready()
    busy = psycopg2.connect(owner.dsn, async_=1)
    wait_until(lambda: busy.poll() == psycopg2.extensions.POLL_OK)
    busy.cursor().execute("DO 'BEGIN LOOP END LOOP; END'")
    time.sleep(0.1)
    os.killpg(owner.process.pid, how)
    wait_until(owner.is_gone, SOON)
    busy.close()


def test_server_that_is_starting_does_not_outlive_its_owner(start_owner):
    """If the owner is killed in the middle of initdb, nothing is left."""
    before = unused_memory()
    owner = start_owner()
    wait_until(lambda: any((path / "data/global/pg_control").exists() for path in owner.held()))
    # The supervisor removes the password's file as soon as initdb has ended.
    assert any((path / "password").exists() for path in owner.held())
    owner.look()
    owner.process.kill()
    wait_until(owner.is_gone, SOON)
    wait_until(lambda: not unused_memory() - before, SOON)


def unused_memory() -> set[str]:
    """List the shared memory of PostgreSQL that no process uses."""
    memory = "/dev/shm"  # noqa: S108
    used = ""
    for path in Path("/proc").glob("[0-9]*/maps"):
        with suppress(OSError):
            used += path.read_text()
    files = {str(path) for path in Path(memory).glob("PostgreSQL.*") if path.name not in used}
    _, *segments = Path("/proc/sysvipc/shm").read_text().splitlines()
    return files | {each.split()[1] for each in segments if each.split()[6] == "0"}


def test_forked_child_of_the_owner_does_not_hold_the_lifeline(start_owner):
    """If a child by os.fork outlives the owner, the server ends all the same."""
    fork = "(os.fork() or time.sleep(60))"
    owner = start_owner(then=fork).wait_until_ready()
    owner.process.kill()
    wait_until(owner.is_gone, SOON)


@pytest.mark.skipif(sys.platform != "linux", reason="Linux tells a child that its parent has died")
def test_server_does_not_outlive_its_supervisor(start_owner):
    """If the supervisor is killed, PostgreSQL ends, and a later run removes the directory."""
    owner = start_owner().wait_until_ready()
    os.kill(owner.supervisor(), signal.SIGKILL)
    wait_until(lambda: not owner.processes(), SOON)
    assert not owner.is_gone()
    for directory in owner.directories:
        os.utime(directory, (0, 0))
    supervisor.sweep()
    assert owner.is_gone()


def test_sweep_keeps_the_directory_of_a_server_that_runs(start_owner):
    """The supervisor locks the directory, so a sweep keeps it, however old it is."""
    owner = start_owner().wait_until_ready()
    os.utime(owner.data.parent, (0, 0))
    supervisor.sweep()
    assert owner.query("SELECT 1") == 1
