"""Several runs at once on one machine, each with a server of its own.

Several runs on one server that was given are in `test_external`.
"""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from tests.pgherd.support.engine import need
from tests.pgherd.test_embedded import ROOT, place, python_for

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["place"]  # a fixture

# Each run comes to the meeting before its first test ends, so that all of them live at once.
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
        assert time.monotonic() < until, "the others did not come"
        time.sleep(0.01)
    with pg.connect() as link:
        link.cursor().execute("CREATE TABLE mine ()")
    link.close()
"""


@pytest.fixture
def checkouts(place: Path, monkeypatch) -> list[Path]:
    """Give two checkouts of one project."""
    monkeypatch.setenv("MEETING", str(place / "meeting"))
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    (place / "meeting").mkdir()
    (place / "meeting").chmod(0o777)
    first = place / "first"
    first.mkdir()
    (first / "test_meet.py").write_text(TESTS)
    return [first, shutil.copytree(first, place / "second")]


def start(stack: ExitStack, checkout: Path, *arguments: str, python=sys.executable, **user):
    """Begin a run; it is killed at the end if it still runs."""
    command = [python, "-m", "pytest", "-v", "-pno:cacheprovider", "-pno:randomly", *arguments]
    process = stack.enter_context(
        subprocess.Popen(
            command, cwd=checkout, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **user
        )
    )
    stack.callback(process.kill)
    return process


def servers(meeting: Path, runs: list[subprocess.Popen]) -> dict[str, set[str]]:
    """Wait until all runs have passed; give the places of each one's server, by the run's id."""
    for each in runs:
        said, _ = each.communicate(timeout=90)
        assert b"4 passed" in said, said.decode()
    found: dict[str, set[str]] = {}
    for told in meeting.iterdir():
        found.setdefault(told.name.split("_")[1], set()).add(told.read_text())
    return found


@pytest.mark.parametrize("kind", ["docker", "embedded"])
def test_one_checkout_twice_and_another(kind: str, checkouts: list[Path]):
    """Three runs have three servers, and of none of them anything is left."""
    if kind == "docker":
        need(os.environ.get("PGHERD_IMAGE") or "postgres:17")
    first, second = checkouts
    with ExitStack() as stack:
        chosen = f"--pgherd-server={kind}"
        hows = [(first, "-n2"), (first, "-n0"), (second, "-n2")]
        runs = [start(stack, checkout, how, chosen) for checkout, how in hows]
        found = servers(first.parent / "meeting", runs)
    assert [len(each) for each in found.values()] == [1, 1, 1]
    assert len(set.union(*found.values())) == 3
    if kind == "docker":
        listed = ["docker", "ps", "--all", "--format={{.Names}}"]
        left = subprocess.run(listed, capture_output=True, text=True, check=True).stdout.split()
        assert not {f"pgherd-{run}" for run in found} & set(left)
    else:
        for where in set.union(*found.values()):
            host, port = where.split(":")
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection((host, int(port)))


@pytest.mark.skipif(not ROOT, reason="only root can become another user")
def test_two_users(checkouts: list[Path]):
    """Each user's server has its own directory, which the other's run leaves alone."""
    entry = pwd.getpwnam("nobody")
    nobody = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    told = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "HOME": "/"}
    python = python_for(nobody, told)
    first, second = checkouts
    with ExitStack() as stack:
        chosen = "--pgherd-server=embedded"
        runs = [
            start(stack, first, "-n0", chosen),
            start(stack, first, "-n2", chosen),
            start(stack, second, "-n0", chosen, python=python, env=told, **nobody),
        ]
        found = servers(first.parent / "meeting", runs)
    assert len(set.union(*found.values())) == 3
