"""The embedded server: its settings, its port, and the variables it ignores."""

from __future__ import annotations

import os
import socket
from contextlib import ExitStack

import psycopg2
import pytest

from pgherd.servers.embedded import binaries, supervisor

pytestmark = pytest.mark.slow


def test_server_has_the_settings_of_a_throwaway_server(start_owner):
    """The server is sized for its workers, listens on loopback only, and wants the password."""
    owner = start_owner().wait_until_ready()
    assert owner.description.startswith("embedded /")
    assert int(owner.query("SHOW max_connections")) == 190
    assert owner.query("SHOW listen_addresses") == "127.0.0.1"
    assert owner.query("SHOW unix_socket_directories") == ""
    assert owner.query("SHOW fsync") == "off"
    assert owner.query("SHOW TimeZone") == "Etc/UTC"
    assert owner.query("SELECT pg_encoding_to_char(encoding) FROM pg_database LIMIT 1") == "UTF8"
    assert owner.query("SELECT rolsuper FROM pg_roles WHERE rolname = current_user") is True
    with pytest.raises(psycopg2.OperationalError, match="password"):
        psycopg2.connect(owner.dsn, password="guessed")


def test_supervisor_tries_another_port_if_one_is_taken(public_directory, monkeypatch):
    """If another program listens on the port, the supervisor starts PostgreSQL on the next one."""
    user, (reading, writing) = supervisor.User(), os.pipe()
    monkeypatch.setattr(supervisor, "_OWNER", reading)
    found = binaries.find("")
    order = {"host": "127.0.0.1", "password": "x", "settings": {"unix_socket_directories": ""}}
    order |= {"bin": str(found.directory), "root": str(found.root), "parts": found.parts}
    public_directory.chmod(0o755)
    with ExitStack() as stack, socket.create_server(("127.0.0.1", 0)) as taken:
        programs = supervisor.programs(order, user, stack)
        data = supervisor.initialise(order, public_directory, programs, user)
        ports = [taken.getsockname()[1], supervisor._free_port(order["host"])]  # noqa: SLF001
        monkeypatch.setattr(supervisor, "_free_port", lambda _: ports.pop(0))
        expected = ports[-1]

        def end_owner(**message):
            if message == {"port": expected}:
                os.close(writing)

        monkeypatch.setattr(supervisor, "_report", end_owner)
        with pytest.raises(supervisor.OwnerEndedError):
            supervisor.serve(order, data, programs, user)
    assert ports == []


def test_libpq_variables_for_another_server_are_ignored(pytester, monkeypatch):
    """If PGSSLMODE requires TLS, the tests can still connect to the server, which has none."""
    monkeypatch.setenv("PGSSLMODE", "require")
    pytester.makepyfile(
        """
        import psycopg2

        def test_url(pg):
            psycopg2.connect(pg.url).close()
            psycopg2.connect(pg.dsn).close()
        """
    )
    pytester.runpytest_subprocess("-n0").assert_outcomes(passed=1)
