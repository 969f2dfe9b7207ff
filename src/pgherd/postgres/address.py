"""The addresses of servers and databases, and the only code that formats a URL."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

import psycopg2
from psycopg2.extensions import make_dsn, parse_dsn

from pgherd import unpatched
from pgherd.errors import UsageError
from pgherd.postgres import libpq, recovery

if TYPE_CHECKING:
    from psycopg2.extensions import connection

_UNREADABLE = (
    "the URL of the server cannot be read: {reason}. "
    "Write it as postgresql://user:password@host:port/database"
)
_LAST_PORT = 65535
_SCHEMES = ("postgresql", "postgres")
_SOCKET = ("/", "@")
"""A host that begins so is the directory of a Unix socket, or the name of an abstract socket."""


@dataclass(frozen=True)
class Endpoint:
    """The host and port at which other machines reach this one."""

    host: str
    port: int = 0
    """The TCP port; 0 means any free port."""

    def __str__(self) -> str:
        return f"{self.host}:{self.port}" if self.port else self.host

    @classmethod
    def read(cls, text: str) -> Endpoint:
        """Read `host` or `host:port`.

        Args:
            text: the value of the option `pgherd_listen`; the host is a name or an IPv4 address.

        Raises:
            UsageError: the text is neither.
        """
        found = re.fullmatch(r"(?P<host>[\w.-]+)(:(?P<port>\d{1,5}))?", text, re.ASCII)
        if found is None or int(found["port"] or 0) > _LAST_PORT:
            raise UsageError(
                f"pgherd_listen is {text!r}, which is neither a host nor host:port. "
                "Write the name or the IPv4 address of this machine"
            )
        return cls(found["host"], int(found["port"] or 0))


def is_loopback(host: str) -> bool:
    """Whether this host means the local machine, as loopback and a socket's directory do."""
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

        A socket's directory is written as a parameter, `…@/name?host=%2Fdirectory&port=5432`: the
        form that all drivers understand.
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
        """The database as a libpq connection string: `key=value …`."""
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

    def environ(self) -> dict[str, str]:
        """Return libpq's environment variables for programs such as psql: PGHOST, PGPORT and so on.

        https://www.postgresql.org/docs/current/libpq-envars.html
        """
        server = self.server
        parts = {
            "host": server.host,
            "port": str(server.port),
            "user": server.user,
            "password": server.password,
            "dbname": self.name,
        }
        parameters = dict(server.parameters) | {key: value for key, value in parts.items() if value}
        known = libpq.VARIABLES
        return {known[key]: value for key, value in parameters.items() if key in known}

    def connect(self) -> connection:
        """Open a new connection, which the caller must close.

        If the server is recovering from a crash, this tries again for up to 30 seconds.

        Raises:
            psycopg2.OperationalError: the server refuses the connection, or does not answer within
                ten seconds (or within the `connect_timeout` of its URL).
        """
        neutral = libpq.neutral_parameters() if self.server.throwaway else {}
        dsn = make_dsn(self.dsn, **(neutral | libpq.TIMEOUTS | dict(self.server.parameters)))
        for _ in unpatched.attempts(recovery.WITHIN, every=0.01):
            try:
                return psycopg2.connect(dsn)
            except psycopg2.OperationalError as error:  # noqa: PERF203 (a retry)
                if not recovery.is_starting(error):
                    raise
        return psycopg2.connect(dsn)


@dataclass(frozen=True)
class Address:
    """A server's host and port, and the role to connect as."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    maintenance: str = "postgres"
    """The database to connect to while others are created and dropped."""
    parameters: tuple[tuple[str, str], ...] = ()
    """Further libpq parameters, such as `sslmode`."""
    throwaway: bool = False
    """Whether pgherd started the server. If so, ignore libpq's environment variables, which are
    meant for another server."""

    def database(self, name: str) -> Database:
        """Return one of the server's databases; it need not exist."""
        return Database(self, name)

    @classmethod
    def from_url(cls, url: str) -> Address:
        """Read a `postgresql://` URL or a libpq connection string.

        Missing parts are read from libpq's environment variables, such as PGHOST, or have a
        default: https://www.postgresql.org/docs/current/libpq-envars.html

        Raises:
            UsageError: the text is neither, or names several hosts or a service.
        """
        scheme, separator, _ = url.partition("://")
        if separator and scheme not in _SCHEMES:
            raise UsageError(
                f"the URL of the server begins with {scheme}://, but has to begin with "
                "postgresql://, as in postgresql://user:password@host:port/database"
            )
        _check_quoting(url)
        try:
            parts: dict[str, str] = libpq.DEFAULTS | _from_environment() | parse_dsn(url)
        except psycopg2.ProgrammingError as error:
            # libpq may quote the password, so hide everything quoted but a parameter's name.
            reason = re.sub(r'(?<!parameter: )(?<!option )".+"', '"…"', str(error).strip())
            raise UsageError(_UNREADABLE.format(reason=reason)) from error
        if "," in parts["host"]:
            raise UsageError(_UNREADABLE.format(reason="it names several hosts"))
        if not parts["port"].isdecimal():
            raise UsageError(_UNREADABLE.format(reason="its port is not a number"))
        if "service" in parts:
            raise UsageError(
                f"the URL of the server names the service {parts['service']!r}, which libpq looks "
                "up. Write it as postgresql://user:password@host:port/database"
            )
        return cls(
            host=parts["host"],
            port=int(parts["port"]),
            user=parts["user"],
            password=parts["password"],
            maintenance=parts["dbname"],
            parameters=tuple((key, parts[key]) for key in parts if key not in libpq.DEFAULTS),
        )


def _check_quoting(url: str) -> None:
    """Refuse an unquoted delimiter in the user or password, where messages could show a part."""
    text = url.partition("://")[2]
    before, _, after = text.partition("@")
    # libpq takes what is before the first @ as user and password, unless it has a slash.
    if "@" in (text if "/" in before else after).partition("?")[0]:
        raise UsageError(
            "the URL of the server cannot be read: its user or password has one of the characters "
            "/ @ : ? # unquoted. Percent-encode them, as urllib.parse.quote(password, safe='') does"
        )


def _from_environment() -> dict[str, str]:
    named = ((part, os.environ.get(libpq.VARIABLES[part])) for part in libpq.DEFAULTS)
    return {part: value for part, value in named if value}


def _in_url(host: str) -> str:
    """Quote a host for a URL, and put an IPv6 address in brackets."""
    if ":" in host:
        return f"[{quote(host, safe=':')}]"
    return quote(host, safe="")
