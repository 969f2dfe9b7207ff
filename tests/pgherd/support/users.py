"""What tests need that run a program as another user."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = os.geteuid() == 0
needs_root = pytest.mark.skipif(not ROOT, reason="only root can become another user")


def nobody() -> dict[str, object]:
    """Return the arguments of `subprocess.run` that run a program as the user `nobody`."""
    entry = pwd.getpwnam("nobody")
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def environment(**variables: str) -> dict[str, str]:
    """Return our environment, in which any Python finds our packages, and these variables."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **variables}


def python_for(user: dict[str, object], environ: dict[str, str]) -> str:
    """Return a Python like ours that this user can run, or skip the test.

    Our Python or our code may be in root's home, where no other user can read it.
    """
    for python in (sys.executable, f"/usr/bin/python3.{sys.version_info.minor}"):
        with suppress(OSError):
            command = [python, "-c", "import pgherd.run.coordinator"]
            finished = subprocess.run(
                command, cwd="/", env=environ, check=False, stderr=subprocess.DEVNULL, **user
            )
            if finished.returncode == 0:
                return python
    pytest.skip("no other user can run this Python")


@contextmanager
def public_directory() -> Iterator[Path]:
    """Create a directory that every user can enter and write to; remove it at the end.

    pytest's own temporary directories are private.
    """
    directory = Path(tempfile.mkdtemp(prefix="pgherd-test-", dir="/tmp"))
    directory.chmod(0o777)
    yield directory
    shutil.rmtree(directory)
