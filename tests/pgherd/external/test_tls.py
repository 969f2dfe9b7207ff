"""A server that accepts only TLS: every connection of pgherd uses the URL's TLS parameters."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.pgherd.support import clusters
from tests.pgherd.support.external import option, refusal
from tests.pgherd.support.suites import HELPERS, SCHEMA_CHANGE, TESTS

pytestmark = pytest.mark.slow

TLS_TEST = """
import psycopg2

ENCRYPTED = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"

@pytest.mark.parametrize("form", ["url", "dsn"])
def test_tls(pg, form):
    connection = psycopg2.connect(getattr(pg, form))
    cursor = connection.cursor()
    cursor.execute(ENCRYPTED)
    assert cursor.fetchall() == [(True,)]
    assert connection.info.dsn_parameters["sslmode"] == "verify-full"
    connection.close()
"""


def verified(server) -> tuple[tuple[str, str], ...]:
    """Return the parameters with which libpq verifies the server's certificate and host name."""
    return (("sslmode", "verify-full"), ("sslrootcert", str(server.certificate)))


def test_every_connection_verifies_the_certificate(small_server, suite):
    """A run passes on a server that accepts only TLS, and `pg` has the same parameters."""
    address = replace(small_server.address, parameters=verified(small_server))
    suite.makepyfile(HELPERS + SCHEMA_CHANGE + TESTS + TLS_TEST)
    suite.runpytest_subprocess("-n0", option(address)).assert_outcomes(passed=6)


def test_a_certificate_for_another_host_name_is_refused(small_server):
    """The certificate is for localhost, so a connection to the IP address fails."""
    other = replace(small_server.address, host=clusters.HOST, parameters=verified(small_server))
    assert "certificate" in refusal(other, match="cannot be used")


def test_a_connection_without_tls_is_refused(small_server):
    """The server refuses a connection without TLS. The first test of this file needs that."""
    plain = replace(small_server.address, parameters=(("sslmode", "disable"),))
    refusal(plain, match="no encryption")
