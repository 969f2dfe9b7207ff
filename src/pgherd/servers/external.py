"""The server you were given: a URL."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import psycopg2

from pgherd import admin
from pgherd.address import Address
from pgherd.errors import ServerError, UsageError
from pgherd.servers import Server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pgherd.options import Options
    from pgherd.servers import Run


@contextmanager
def server(options: Options, run: Run, say: Callable[[str], None]) -> Iterator[Server]:  # noqa: ARG001
    """Use a server by its URL, and leave it running."""
    if not options.url:
        raise UsageError(
            "pgherd_server is external, but no URL is set. "
            "Give one: --pgherd-url=postgresql://user:password@host:port/database"
        )
    address = Address.from_url(options.url)
    place = f"{address.host}:{address.port}"
    try:
        with admin.connected(address) as link:
            version = admin.version(link)
    except psycopg2.OperationalError as error:
        raise ServerError(
            f"the PostgreSQL server at {place}, which pgherd_url names, cannot be used: "
            f"{str(error).strip()}. Start it, or correct the URL"
        ) from error
    yield Server(address, "external", version)
