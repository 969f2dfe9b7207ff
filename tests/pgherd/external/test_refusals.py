"""Servers that pgherd refuses: the message names the reason and what to do."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pgherd.options import Options
from pgherd.postgres import connections
from pgherd.servers import Run, external
from tests.pgherd.support import clusters
from tests.pgherd.support.external import option, refusal, url_of
from tests.pgherd.support.runs import clones, databases
from tests.pgherd.support.suites import HELPERS, SCHEMA_CHANGE, TESTS, conftest

pytestmark = pytest.mark.slow

OLD = external.Facts("12.22", 12, "me", may_create=True, standby=False, read_only=False)


def test_a_role_without_createdb_is_refused(make_role):
    """The message names the role, and the statement that lets it create databases."""
    address = make_role("")
    assert refusal(address) == (
        f"the role {address.user} may not create databases. "
        f"Have an administrator run: ALTER ROLE {address.user} CREATEDB"
    )


def test_postgresql_12_is_refused():
    """The message names the server's version and the oldest version that pgherd supports."""
    assert external.refusal(OLD) == (
        "it is PostgreSQL 12.22, and pgherd needs 13 or later. "
        "Upgrade it, or use the URL of another server"
    )
    assert external.refusal(replace(OLD, version="13.0", major=13)) is None


def test_the_version_is_read_from_the_server(pg_server, connection, monkeypatch):
    """The version comes from the server: if 99 were the oldest, pgherd would refuse this one."""
    monkeypatch.setattr(external, "_OLDEST", 99)
    reason = f"it is PostgreSQL {connections.server_version(connection)}"
    assert refusal(pg_server, match="and pgherd needs 99 or later").startswith(reason)


def test_a_role_with_read_only_transactions_is_refused(make_role, connection):
    """The message proposes an addition to the URL, and with it pgherd accepts the server."""
    address = make_role("CREATEDB")
    connection.cursor().execute(f"ALTER ROLE {address.user} SET default_transaction_read_only = on")
    reason = refusal(address)
    assert f"the transactions of the role {address.user} are read-only by default" in reason
    addition = reason.rpartition("add to the URL: ")[2]
    with external.server(Options(url=url_of(address) + addition), Run("x"), print) as server:
        assert server.description == "external"


def test_a_standby_is_refused(small_server):
    """The message asks for the URL of the primary."""
    (small_server.copy / "standby.signal").touch()
    with clusters.running(small_server.copy) as standby:
        assert refusal(standby) == (
            "it is a standby, on which nothing can be created. Use the URL of its primary"
        )


@pytest.mark.parametrize("mode", ["transaction", "statement"])
def test_a_pooler_that_divides_sessions_is_refused(pg_server, mode):
    """The message names the URLs that pgherd accepts instead."""
    with clusters.directory() as place, clusters.pooled(pg_server, place, mode) as pool:
        assert refusal(pool) == (
            "a pooler in transaction mode (or statement mode) is between pgherd and the server, so "
            "a session may change its backend. Use the URL of the server itself, or of a pool in "
            "session mode"
        )


def test_a_pooler_in_session_mode_is_accepted(pg_server, suite):
    """A run through the pooler passes, replaces a clone, and leaves none."""
    suite.makepyfile(HELPERS + SCHEMA_CHANGE + TESTS)
    with clusters.directory() as place, clusters.pooled(pg_server, place, "session") as pool:
        suite.runpytest_subprocess("-n2", option(pool)).assert_outcomes(passed=4)
    assert clones(suite)
    assert not clones(suite) & databases(pg_server)


def test_too_few_connections_for_the_workers_are_refused(small_server, suite):
    """One message names the number of workers that fits; no test runs, and the exit code is 4."""
    result = suite.runpytest_subprocess("-n8", option(small_server.address))
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert (
        result.stdout.str().partition("short test summary")[0].count("which pgherd_url names") == 1
    )
    text = " ".join(result.stdout.str().split())
    assert "it has 7 connections left, and this run needs 34: 4 for each worker (8)" in text
    assert "Run with -n 1, or raise max_connections from 10 to 37" in text
    assert not clones(suite)


def test_the_proposed_number_of_workers_fits(small_server, suite):
    """The run that the message above proposes passes on the same server."""
    suite.makepyfile(HELPERS + SCHEMA_CHANGE + TESTS)
    result = suite.runpytest_subprocess("-n1", option(small_server.address))
    result.assert_outcomes(passed=4)


def test_the_connection_limit_of_a_role_counts(make_role):
    """If the role may open fewer connections than the server has, the message names its limit."""
    address = make_role("CREATEDB CONNECTION LIMIT 9")
    assert f"raise the CONNECTION LIMIT of the role {address.user} from 9 to 10" in refusal(
        address, 2
    )


MANY_TABLES = """
        connection = psycopg2.connect(url)
        connection.cursor().execute("; ".join(f"CREATE TABLE t{n} ()" for n in range(700)))
        connection.commit()
        connection.close()
"""


def test_a_server_with_too_few_locks_for_the_schema_is_refused(small_server, suite):
    """Ten connections times 64 locks are not enough for 700 tables, so no test runs."""
    suite.makeconftest(conftest(f"many tables of {suite.path}", MANY_TABLES))
    result = suite.runpytest_subprocess("-n0", option(small_server.address))
    text = " ".join(result.stdout.str().split())
    assert "the server has too few locks for this run: it has room for 640 locks" in text
    assert "Raise max_locks_per_transaction from 64 to 7" in text
    assert result.ret == pytest.ExitCode.USAGE_ERROR
