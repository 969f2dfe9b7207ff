"""Several runs at once on one machine, each with a server of its own.

`test_external` has the tests of several runs on one server.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from tests.pgherd.support import users
from tests.pgherd.support.engine import need

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow

# Each run comes to the meeting before its first test ends, so that all runs live at once.
TESTS = """
import os, pathlib, time
import pytest

RUNS = 3

@pytest.mark.parametrize("number", range(4))
def test_meet(pg, number):
    meeting = pathlib.Path(os.environ["MEETING"])
    (meeting / pg.name).write_text(f"{pg.host}:{pg.port}")
    until = time.monotonic() + 60
    while len({name.split("_")[1] for name in os.listdir(meeting)}) < RUNS:
        assert time.monotonic() < until, "the other runs did not come"
        time.sleep(0.01)
    with pg.connect() as connection:
        connection.cursor().execute("CREATE TABLE mine ()")
    connection.close()
"""


@pytest.fixture
def checkouts(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Path]]:
    """Two checkouts of one project, which every user can read."""
    with users.public_directory() as directory:
        monkeypatch.setenv("MEETING", str(directory / "meeting"))
        (directory / "meeting").mkdir()
        (directory / "meeting").chmod(0o777)
        first = directory / "first"
        first.mkdir()
        (first / "test_meet.py").write_text(TESTS)
        yield [first, shutil.copytree(first, directory / "second")]


def start(stack: ExitStack, checkout: Path, *arguments: str, python=sys.executable, **user):
    """Start a run, and kill it at the end if it still runs."""
    command = [python, "-m", "pytest", "-v", "-pno:cacheprovider", "-pno:randomly", *arguments]
    process = stack.enter_context(
        subprocess.Popen(
            command, cwd=checkout, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **user
        )
    )
    stack.callback(process.kill)
    return process


def servers(meeting: Path, runs: list[subprocess.Popen]) -> dict[str, set[str]]:
    """Wait until all runs have passed; return the addresses of each run's servers, by its id."""
    for each in runs:
        output, _ = each.communicate(timeout=90)
        assert b"4 passed" in output, output.decode()
    found: dict[str, set[str]] = {}
    for path in meeting.iterdir():
        found.setdefault(path.name.split("_")[1], set()).add(path.read_text())
    return found


@pytest.mark.parametrize("kind", ["docker", "embedded"])
def test_three_runs_in_two_checkouts_have_three_servers(kind: str, checkouts: list[Path]):
    """Two runs in one checkout and one in another have a server each, and leave nothing."""
    if kind == "docker":
        need(os.environ.get("PGHERD_IMAGE") or "postgres:17")
    first, second = checkouts
    with ExitStack() as stack:
        server = f"--pgherd-server={kind}"
        starts = [(first, "-n2"), (first, "-n0"), (second, "-n2")]
        runs = [start(stack, checkout, how, server) for checkout, how in starts]
        found = servers(first.parent / "meeting", runs)
    assert [len(each) for each in found.values()] == [1, 1, 1]
    assert len(set.union(*found.values())) == 3
    if kind == "docker":
        ps = ["docker", "ps", "--all", "--format={{.Names}}"]
        left = subprocess.run(ps, capture_output=True, text=True, check=True).stdout.split()
        assert not {f"pgherd-{run_id}" for run_id in found} & set(left)
    else:
        for address in set.union(*found.values()):
            host, port = address.split(":")
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection((host, int(port)))


@users.needs_root
def test_runs_of_two_users_have_three_servers(checkouts: list[Path]):
    """Each user's servers have their own directories, which the other user's run leaves alone."""
    user, environ = users.nobody(), users.environment(HOME="/")
    python = users.python_for(user, environ)
    first, second = checkouts
    with ExitStack() as stack:
        server = "--pgherd-server=embedded"
        runs = [
            start(stack, first, "-n0", server),
            start(stack, first, "-n2", server),
            start(stack, second, "-n0", server, python=python, env=environ, **user),
        ]
        found = servers(first.parent / "meeting", runs)
    assert len(set.union(*found.values())) == 3
