"""Wait until a server that pgherd started answers a query."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import psycopg2

from pgherd import unpatched
from pgherd.postgres import connections
from pgherd.postgres.address import Address
from pgherd.servers import tuning

if TYPE_CHECKING:
    from collections.abc import Callable

READY_WITHIN = 60.0
"""How long a server may take until it answers, in seconds."""

_ASK_EVERY = 0.01
"""How long to wait between two connection attempts, in seconds."""

# libpq's messages if PGSERVICE is set, or if there is no network: another attempt cannot help.
_HOPELESS = ("definition of service", "service file", "Network is unreachable")


class NotReadyError(Exception):
    """The server did not answer; the cause, if any, is the last connection's error."""


def throwaway_address(host: str, port: int, password: str) -> Address:
    """Return the address of a server that pgherd started.

    A server that pgherd starts has no TLS. If PGSSLMODE is set, it is meant for another server.
    """
    parameters = (("sslmode", "disable"),) if os.environ.get("PGSSLMODE") else ()
    return Address(
        host, port, user="postgres", password=password, parameters=parameters, throwaway=True
    )


def wait(
    locate: Callable[[], Address | None],
    has_ended: Callable[[], bool],
    pause: Callable[[float], object] = unpatched.sleep,
) -> tuple[Address, str]:
    """Wait until a query is answered; return the server's address and version.

    An accepted connection proves nothing: docker-proxy accepts before PostgreSQL listens.

    Args:
        locate: returns the server's address; None while it is not known.
        has_ended: whether the server has ended.
        pause: waits this many seconds before the next attempt; it may return earlier.

    Raises:
        NotReadyError: the server has ended, or did not answer in time, or cannot be reached.
    """
    until = unpatched.now() + READY_WITHIN
    problem: Exception | None = None
    while unpatched.now() < until and not has_ended():
        if address := locate():
            try:
                with connections.maintenance(address) as connection:
                    tuning.hash_once(connection, address.password)
                    return address, connections.server_version(connection)
            except psycopg2.OperationalError as error:
                problem = error
                if any(text in str(error) for text in _HOPELESS):
                    break
        pause(_ASK_EVERY)
    raise NotReadyError(str(problem or "").strip()) from problem
