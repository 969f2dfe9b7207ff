"""The messages of a run whose embedded server does not start, or ends too early."""

from __future__ import annotations

import time

import pytest

from tests.pgherd.support.installations import installation
from tests.pgherd.support.messages import TWO_TESTS, only_message

pytestmark = pytest.mark.slow


def test_message_about_initdb_contains_its_last_lines_and_a_remedy(pytester, public_directory):
    """If initdb fails, one message says why and what to do, although two workers ask for it."""
    broken = installation(public_directory / "broken", "17.1")
    pytester.makepyfile(TWO_TESTS)
    text = only_message(
        pytester.runpytest_subprocess("-n2", "--dist=each", f"--pgherd-bin={broken}")
    )
    assert text.count("initdb failed. Its last lines:") == 1
    assert "    could not write: No space left on device" in text
    assert "name another directory in TMPDIR" in text


def test_libpq_variable_that_prevents_connections_is_named(pytester, monkeypatch):
    """If no connection can succeed, the run ends without waiting, and the message says why."""
    monkeypatch.setenv("PGSERVICE", "elsewhere")
    pytester.makepyfile(TWO_TESTS)
    began = time.monotonic()
    text = only_message(pytester.runpytest_subprocess("-n0"))
    assert 'definition of service "elsewhere" not found' in text
    assert time.monotonic() - began < 30


def test_last_lines_of_a_server_that_ends_during_the_run_are_shown(pytester):
    """If PostgreSQL ends during the run, the end of the run shows the last lines of its log."""
    pytester.makepyfile(
        """
        import os, pathlib, signal

        def test_end(pg):
            connection = pg.connect()
            pid = connection.info.backend_pid
            postmaster = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]
            os.kill(int(postmaster), signal.SIGQUIT)
        """
    )
    result = pytester.runpytest_subprocess("-n0")
    result.stdout.fnmatch_lines(["pgherd: the PostgreSQL server ended during the run: *"])
    result.stdout.fnmatch_lines(["*received immediate shutdown request"])
