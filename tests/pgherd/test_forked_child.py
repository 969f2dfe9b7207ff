"""A child by os.fork that outlives its worker: it does not keep the worker's lease."""

from __future__ import annotations

import os
import signal
import time
from contextlib import closing

import pytest

from pgherd.options import Options
from pgherd.run.coordinator import Coordinator
from pgherd.run.transport import Reception, RemoteCoordinator
from tests.pgherd.support.waiting import wait_until


@pytest.fixture
def fork():
    """Return a function that forks a child that sleeps; the children are killed at the end."""
    children = []

    def make() -> None:
        child = os.fork()
        if not child:
            time.sleep(60)
            os._exit(0)
        children.append(child)

    yield make
    for child in children:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_the_lease_ends_with_the_worker(monkeypatch, fork):
    """The owner releases the worker as soon as it closes its connection, while a child lives on."""
    released = []
    monkeypatch.setattr(Coordinator, "release", lambda _, worker: released.append(worker))
    with (
        closing(Coordinator(Options(), print)) as owner,
        closing(Reception(owner)) as reception,
    ):
        remote = RemoteCoordinator(reception.invitation, "gw0")
        remote.clone_name("gw0")
        fork()
        assert released == []
        remote.close()
        wait_until(lambda: released == ["gw0"], 3)
