"""Where a server and a database are: values, and the only place that formats a URL."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

import psycopg2
from psycopg2.extensions import make_dsn, parse_dsn

from pgherd.errors import UsageError

if TYPE_CHECKING:
    from psycopg2.extensions import connection

# A place where nobody answers any more, such as where a container was, refuses no connection: the
# kernel would try for two minutes to make one, and believe for two hours in one that is idle. And
# what forgets idle connections, as gateways of networks do, is reminded of ours.
_PATIENCE = {
    "connect_timeout": "10",
    "keepalives_idle": "20",
    "keepalives_interval": "10",
    "keepalives_count": "4",
    "tcp_user_timeout": "60000",
}
# libpq's names for what a URL says outside its query part:
# https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS
_DEFAULTS = {
    "host": "localhost",
    "port": "5432",
    "user": "postgres",
    "password": "",
    "dbname": "postgres",
}
_VARIABLES = {
    "host": "PGHOST",
    "port": "PGPORT",
    "user": "PGUSER",
    "password": "PGPASSWORD",
    "dbname": "PGDATABASE",
}
_LAST_PORT = 65535
_SCHEMES = ("postgresql", "postgres")
_SOCKET = ("/", "@")
"""How the host begins that is the directory of a Unix socket, or the name of an abstract one."""


@dataclass(frozen=True)
class Endpoint:
    """Where this machine is reached by others."""

    host: str
    port: int = 0
    """The TCP port; 0 is any that is free."""

    def __str__(self) -> str:
        return f"{self.host}:{self.port}" if self.port else self.host

    @classmethod
    def read(cls, text: str) -> Endpoint:
        """Read `host` or `host:port`.

        Args:
            text: the value of the option `pgherd_listen`; the host is a name or an IPv4 address.

        Raises:
            UsageError: it is neither.
        """
        told = re.fullmatch(r"(?P<host>[\w.-]+)(:(?P<port>\d{1,5}))?", text, re.ASCII)
        if told is None or int(told["port"] or 0) > _LAST_PORT:
            raise UsageError(
                f"pgherd_listen is {text!r}, which is neither a host nor host:port. "
                "Write the name or the IPv4 address of this machine"
            )
        return cls(told["host"], int(told["port"] or 0))


def is_loopback(host: str) -> bool:
    """Say whether each machine means itself by this host; so it is with a socket's directory."""
    return host in {"localhost", "::1"} or host.startswith(("127.", *_SOCKET))


@dataclass(frozen=True)
class Database:
    """One database of a server."""

    server: Address
    name: str

    @property
    def host(self) -> str:
        """The server's host name, IP address or socket directory."""
        return self.server.host

    @property
    def port(self) -> int:
        """The server's TCP port."""
        return self.server.port

    @property
    def url(self) -> str:
        """The database as `postgresql://user:password@host:port/name`.

        The directory of a socket is a parameter, `…@/name?host=/directory&port=5432`: that is what
        drivers agree on.
        """
        server = self.server
        user = quote(server.user, safe="")
        password = f":{quote(server.password, safe='')}" if server.password else ""
        place, parameters = f"{_in_url(server.host)}:{server.port}", server.parameters
        if server.host.startswith(_SOCKET):
            place = ""
            parameters = (("host", server.host), ("port", str(server.port)), *parameters)
        query = f"?{urlencode(parameters, quote_via=quote)}" if parameters else ""
        return f"postgresql://{user}{password}@{place}/{quote(self.name)}{query}"

    @property
    def dsn(self) -> str:
        """The database as libpq's `key=value` string."""
        server = self.server
        password = {"password": server.password} if server.password else {}
        return make_dsn(
            host=server.host,
            port=server.port,
            user=server.user,
            dbname=self.name,
            **password,
            **dict(server.parameters),
        )

    def connect(self) -> connection:
        """Open a new connection; closing it is the caller's part.

        Raises:
            psycopg2.OperationalError: the server refuses, or does not answer for ten seconds. The
                URL's parameter `connect_timeout` may say otherwise.
        """
        return psycopg2.connect(make_dsn(self.dsn, **_PATIENCE | dict(self.server.parameters)))


@dataclass(frozen=True)
class Address:
    """Where a server is reached, and as whom."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    maintenance: str = "postgres"
    """The database to be connected to while others are made and dropped."""
    parameters: tuple[tuple[str, str], ...] = ()
    """Further libpq parameters, such as `sslmode`."""

    def database(self, name: str) -> Database:
        """Name one of the server's databases."""
        return Database(self, name)

    @classmethod
    def from_url(cls, url: str) -> Address:
        """Read a `postgresql://` URL or a libpq connection string.

        What it leaves out is what libpq's variables say, PGHOST and its like, else a default:
        https://www.postgresql.org/docs/current/libpq-envars.html

        Raises:
            UsageError: it is neither, or names more than one server, or a file that does.
        """
        scheme, separator, _ = url.partition("://")
        if separator and scheme not in _SCHEMES:
            raise UsageError(
                f"the URL of the server begins with {scheme}://, but has to begin with "
                "postgresql://, as in postgresql://user:password@host:port/database"
            )
        try:
            told: dict[str, str] = _DEFAULTS | _from_environment() | parse_dsn(url)
            # Of several hosts, the ports are a list too.
            port = int(told["port"])
        except (psycopg2.ProgrammingError, ValueError) as error:
            # What libpq quotes may be the password, unless it is the name of a parameter.
            reason = re.sub(r'(?<!parameter: )(?<!option )".+"', '"…"', str(error).strip())
            raise UsageError(
                f"the URL of the server cannot be read: {reason}. "
                "Write it as postgresql://user:password@host:port/database"
            ) from error
        if "service" in told:
            raise UsageError(
                f"the URL of the server names the service {told['service']!r}, which libpq looks "
                "up. Write it as postgresql://user:password@host:port/database"
            )
        return cls(
            host=told["host"],
            port=port,
            user=told["user"],
            password=told["password"],
            maintenance=told["dbname"],
            parameters=tuple((key, told[key]) for key in told if key not in _DEFAULTS),
        )


def _from_environment() -> dict[str, str]:
    named = ((part, os.environ.get(variable)) for part, variable in _VARIABLES.items())
    return {part: value for part, value in named if value}


def _in_url(host: str) -> str:
    """Quote a host. An IPv6 address stands in brackets."""
    if ":" in host:
        return f"[{quote(host, safe=':')}]"
    return quote(host, safe="")
