"""What the tests of the server kind `external` share: its refusals, and a small server."""

from __future__ import annotations

import shutil
import subprocess
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import pytest

from pgherd.errors import ServerError
from pgherd.options import Options
from pgherd.postgres import connections, naming
from pgherd.servers import Run, external
from tests.pgherd.support import clusters

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pgherd import Address


def url_of(server: Address) -> str:
    """Return a server's URL, as a user writes it."""
    return server.database(server.maintenance).url


def option(server: Address) -> str:
    """Return the command line's option that selects this server."""
    return f"--pgherd-url={url_of(server)}"


def refusal(server: Address, workers: int = 1, match: str | None = None) -> str:
    """Return the reason for which pgherd refuses a server; check the rest of the message."""
    options = Options(url=url_of(server))
    lent = external.server(options, Run(naming.new_run_id(), workers), print)
    with pytest.raises(ServerError, match=match) as error, lent:
        pass
    message = str(error.value)
    place = f"the PostgreSQL server at {server.host}:{server.port}, which pgherd_url names, "
    assert message.startswith(f"{place}cannot be used: ")
    return message.partition("cannot be used: ")[2]


class SmallServer(NamedTuple):
    """A server that has room for ten connections and accepts only TLS."""

    address: Address
    data: Path
    copy: Path
    """A copy of the data directory, from before the first start."""
    certificate: Path


@contextmanager
def small_server() -> Iterator[SmallServer]:
    """Run a server that has room for ten connections and accepts only TLS."""
    with clusters.directory() as place:
        data = clusters.initialise(place)
        copy = _copied(data, place / "copy")
        certificate, key = _certificate(place)
        with clusters.running(
            data, max_connections=10, ssl="on", ssl_cert_file=certificate, ssl_key_file=key
        ) as address:
            (data / "pg_hba.conf").write_text("hostssl all all all trust\n")
            with connections.maintenance(address) as connection:
                connection.cursor().execute("SELECT pg_reload_conf()")
            yield SmallServer(replace(address, host="localhost"), data, copy, certificate)


def _copied(data: Path, place: Path) -> Path:
    shutil.copytree(data, place / "data")
    for path in (place, *place.rglob("*")):
        clusters.give(path)
        if path.is_dir():
            path.chmod(0o700)
    return place / "data"


def _certificate(place: Path) -> tuple[Path, Path]:
    """Create a certificate for the host name localhost, and its key."""
    certificate, key = place / "certificate", place / "key"
    request = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost"
    request += " -addext subjectAltName=DNS:localhost"
    subprocess.run(
        [*request.split(), "-keyout", key, "-out", certificate],
        check=True,
        capture_output=True,
    )
    key.chmod(0o600)
    clusters.give(key, certificate)
    return certificate, key
