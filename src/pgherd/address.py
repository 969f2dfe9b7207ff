"""Where a server and a database are: values, and the only place that formats a URL."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

import psycopg2
from psycopg2.extensions import make_dsn, parse_dsn

from pgherd.errors import UsageError

if TYPE_CHECKING:
    from psycopg2.extensions import connection

_PATIENCE = "10"
# libpq's names for what a URL says outside its query part:
# https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS
_OWN_PLACE = ("host", "port", "user", "password", "dbname")
_LAST_PORT = 65535


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
    return host in {"localhost", "::1"} or host.startswith(("127.", "/", "@"))


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
        """The database as `postgresql://user:password@host:port/name`."""
        server = self.server
        user = quote(server.user, safe="")
        password = f":{quote(server.password, safe='')}" if server.password else ""
        query = f"?{urlencode(server.parameters, quote_via=quote)}" if server.parameters else ""
        host = f"{_in_url(server.host)}:{server.port}"
        return f"postgresql://{user}{password}@{host}/{quote(self.name)}{query}"

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
            psycopg2.OperationalError: the server refuses, or does not answer for ten seconds,
                unless the parameter `connect_timeout` says otherwise.
        """
        # Where a container was, nobody refuses a connection, and the kernel tries for two minutes.
        patience = dict(self.server.parameters).get("connect_timeout", _PATIENCE)
        return psycopg2.connect(make_dsn(self.dsn, connect_timeout=patience))


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

        Raises:
            UsageError: it is neither, or names more than one server.
        """
        try:
            told: dict[str, str] = parse_dsn(url)
            # Of several hosts, the ports are a list too.
            port = int(told.get("port", "5432"))
        except (psycopg2.ProgrammingError, ValueError) as error:
            # What libpq quotes may be the password, unless it is the name of a parameter.
            reason = re.sub(r'(?<!parameter: )(?<!option )".+"', '"…"', str(error).strip())
            raise UsageError(
                f"the URL of the server cannot be read: {reason}. "
                "Write it as postgresql://user:password@host:port/database"
            ) from error
        return cls(
            host=told.get("host", "localhost"),
            port=port,
            user=told.get("user", "postgres"),
            password=told.get("password", ""),
            maintenance=told.get("dbname", "postgres"),
            parameters=tuple((key, told[key]) for key in told if key not in _OWN_PLACE),
        )


def _in_url(host: str) -> str:
    """Quote a host. An IPv6 address stands in brackets; a socket's path may have colons too."""
    if ":" in host and not host.startswith(("/", "@")):
        return f"[{quote(host, safe=':')}]"
    return quote(host, safe="")
