"""Several runs at once on one server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from pgherd.postgres import naming
from tests.pgherd.support.external import option
from tests.pgherd.support.runs import clones, databases
from tests.pgherd.support.suites import CREATE, HELPERS, SCHEMA_CHANGE, TESTS, conftest
from tests.pgherd.support.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from pgherd import Address

pytestmark = pytest.mark.slow

# The pause gives the other runs time to ask for the same template while it is built.
SLOW = f"time.sleep(0.2)\n        {CREATE.strip()}"
# In the run that is going to be killed, the last test waits for the death of the owner.
WAIT = """
import os, pathlib, time

def test_wait(pg):
    record(pg)
    write(pg)
    if os.environ.get("VICTIM"):
        owner = os.getppid()
        pathlib.Path("ready").touch()
        while os.getppid() == owner:
            time.sleep(0.01)
"""


def start(path: Path, how: str, server: Address, **environ: str) -> subprocess.Popen[Any]:
    """Start a run of the suite in this directory."""
    command = [sys.executable, "-m", "pytest", "-q", "-pno:cacheprovider", how]
    return subprocess.Popen(
        [*command, option(server)],
        cwd=path,
        env={**os.environ, **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_seven_of_eight_runs_pass_although_one_is_killed(pg_server, run_id, make_database, suite):
    """They share one template. The next run drops the clones of the dead run, and no others.

    The URLs name two databases of the server in turns.
    """
    suite.makeconftest(conftest(f"things of {suite.path}", SLOW))
    suite.makepyfile(HELPERS + SCHEMA_CHANGE + TESTS + WAIT)
    other = replace(pg_server, maintenance=make_database("maintenance").name)
    victim = start(suite.path, "-n1", other, VICTIM="1")
    hows = ["-n2", "-n0", "-n0", "-n2", "-n0", "-n0", "-n0"]
    servers = [pg_server, other] * 4
    runs = [start(suite.path, *each) for each in zip(hows, servers, strict=False)]
    wait_until((suite.path / "ready").exists, 60)
    victim.send_signal(signal.SIGKILL)
    victim.communicate(timeout=20)
    outputs = [each.communicate(timeout=60)[0] for each in runs]
    assert [each.returncode for each in runs] == [0] * 7, outputs
    assert (suite.path / "applied").read_text() == "once "
    start(suite.path, "-n0", pg_server).communicate(timeout=60)
    assert len({naming.run_of(name) for name in clones(suite)}) == 9
    assert not clones(suite) & databases(pg_server)
    assert f"pgherd_{run_id}_maintenance" in databases(pg_server)
