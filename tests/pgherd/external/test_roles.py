"""Roles on an external server: the rights that a role needs, and that roles share no template."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pgherd.postgres import connections, naming
from tests.pgherd.support.external import option
from tests.pgherd.support.runs import clones, owners
from tests.pgherd.support.suites import HELPERS, SCHEMA_CHANGE, TESTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pgherd import Address

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _with_schema_change(suite):
    """Add a test to the suite after which pgherd replaces the clone."""
    suite.makepyfile(HELPERS + SCHEMA_CHANGE + TESTS)


@pytest.mark.parametrize("how", ["-n2", "-n0"])
def test_createdb_is_enough(make_role, pg_server, suite, how):
    """The role runs the suite; afterwards, it owns one more database, the template."""
    before = set(owners(pg_server))
    address = make_role("CREATEDB")
    suite.runpytest_subprocess(how, option(address)).assert_outcomes(passed=4)
    left = {name for name, owner in owners(pg_server).items() if owner == address.user}
    assert [naming.is_template(name) for name in left - before] == [True]
    assert not clones(suite) & left


def test_two_roles_share_no_template(make_role, pg_server, suite):
    """In a clone of another role's template, the other role would own the tables."""
    for address in (pg_server, make_role("CREATEDB")):
        suite.runpytest_subprocess("-n0", option(address)).assert_outcomes(passed=4)


MONITOR = """
import sys, time
import psycopg2

first, seen, held = psycopg2.connect(sys.argv[1]), set(), []
first.autocommit = True
cursor = first.cursor()
NAMES = "SELECT datname, oid FROM pg_database WHERE datallowconn AND datname ~ '^pgherd_'"
while True:
    cursor.execute(NAMES)
    for name, oid in set(cursor.fetchall()) - seen:
        try:
            held.append(psycopg2.connect(sys.argv[1], dbname=name))
            seen.add((name, oid))
        except psycopg2.OperationalError:
            pass
    print(len(held), flush=True)
    time.sleep(0.005)
"""


@contextmanager
def monitored(server: Address) -> Iterator[None]:
    """Run a program that connects to each new database of pgherd and keeps the connection."""
    dsn = server.database(server.maintenance).dsn
    with subprocess.Popen([sys.executable, "-c", MONITOR, dsn], stdout=subprocess.PIPE) as monitor:
        assert monitor.stdout.readline() == b"0\n"
        try:
            yield
        finally:
            monitor.kill()
            *_, last = monitor.communicate()[0].splitlines()
    assert int(last) > 0, "the monitor connected to no database"


def test_connections_of_a_monitoring_program_are_ended(own_server, suite):
    """Although it connects to each database, pgherd clones templates and replaces clones."""
    with monitored(own_server):
        result = suite.runpytest_subprocess("-n1", option(own_server))
    result.assert_outcomes(passed=4)


def test_connections_of_another_role_need_pg_signal_backend(own_server, suite):
    """The message names the missing right, and with this right the same run passes."""
    with connections.maintenance(own_server) as connection:
        connection.cursor().execute(
            'CREATE ROLE "may create" LOGIN CREATEDB; CREATE ROLE other LOGIN'
        )
    url = option(replace(own_server, user="may create"))
    with monitored(replace(own_server, user="other")):
        text = " ".join(suite.runpytest_subprocess("-n1", url).stdout.str().split())
        grant = 'GRANT pg_signal_backend TO "may create"'
        assert "another role is connected to the database pgherd_template_" in text
        assert f"have an administrator run: {grant}" in text
        with connections.maintenance(own_server) as connection:
            connection.cursor().execute(grant)
        suite.runpytest_subprocess("-n1", url).assert_outcomes(passed=4)
