"""The addresses of servers and databases, and the only code that formats a URL."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

import psycopg2
from psycopg2.extensions import libpq_version, make_dsn, parse_dsn

from pgherd import unpatched
from pgherd.errors import UsageError
from pgherd.postgres import recovery

if TYPE_CHECKING:
    from psycopg2.extensions import connection

# A host that has disappeared, such as a removed container, never refuses a connection. Without
# these limits, connecting to it hangs for two minutes, and an idle connection seems alive for two
# hours.
# The keep-alives also stop network gateways from forgetting an idle connection.
_TIMEOUTS = {
    "connect_timeout": "10",
    "keepalives_idle": "20",
    "keepalives_interval": "10",
    "keepalives_count": "4",
    "tcp_user_timeout": "60000",
}
# libpq's names for the parts of a URL before its query:
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
# Other parameters have no variable:
# https://www.postgresql.org/docs/current/libpq-envars.html
_NAMED_ALIKE = (
    "channel_binding client_encoding gssdelegation gssencmode gsslib hostaddr krbsrvname "
    "load_balance_hosts max_protocol_version min_protocol_version options passfile require_auth "
    "requirepeer ssl_max_protocol_version ssl_min_protocol_version sslcert sslcertmode "
    "sslcompression sslcrl sslcrldir sslkey sslmode sslnegotiation sslrootcert sslsni "
    "target_session_attrs"
)
_FURTHER_VARIABLES = {
    **{name: f"PG{name.replace('_', '').upper()}" for name in _NAMED_ALIKE.split()},
    "application_name": "PGAPPNAME",
    "connect_timeout": "PGCONNECT_TIMEOUT",
}
# Each parameter that an environment variable could set, a value as if it were not set, and the
# version of libpq that introduced the parameter.
_NEUTRAL = {
    "hostaddr": ("", 0),
    "options": ("", 0),
    "sslmode": ("disable", 0),
    "target_session_attrs": ("any", 100000),
    "gssencmode": ("disable", 120000),
    "channel_binding": ("disable", 130000),
    "require_auth": ("none,password,md5,scram-sha-256", 160000),
    "load_balance_hosts": ("disable", 160000),
}
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

        A socket's directory is written as a parameter, `…@/name?host=/directory&port=5432`: the
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
        variables = {_VARIABLES[part]: value for part, value in parts.items() if value}
        known = {key: value for key, value in server.parameters if key in _FURTHER_VARIABLES}
        return variables | {_FURTHER_VARIABLES[key]: value for key, value in known.items()}

    def connect(self) -> connection:
        """Open a new connection, which the caller must close.

        A server that recovers from the crash of a process is given 30 seconds.

        Raises:
            psycopg2.OperationalError: the server refuses the connection, or does not answer within
                ten seconds (or within the `connect_timeout` of its URL).
        """
        neutral = _neutral() if self.server.throwaway else {}
        dsn = make_dsn(self.dsn, **(neutral | _TIMEOUTS | dict(self.server.parameters)))
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
    """Whether pgherd started the server: libpq's environment variables mean another one."""

    def database(self, name: str) -> Database:
        """Return one of the server's databases; it need not exist."""
        return Database(self, name)

    @classmethod
    def from_url(cls, url: str) -> Address:
        """Read a `postgresql://` URL or a libpq connection string.

        Missing parts are read from libpq's environment variables, such as PGHOST, or have a
        default: https://www.postgresql.org/docs/current/libpq-envars.html

        Raises:
            UsageError: the text is neither, or names more than one server, or a service file.
        """
        scheme, separator, _ = url.partition("://")
        if separator and scheme not in _SCHEMES:
            raise UsageError(
                f"the URL of the server begins with {scheme}://, but has to begin with "
                "postgresql://, as in postgresql://user:password@host:port/database"
            )
        try:
            parts: dict[str, str] = _DEFAULTS | _from_environment() | parse_dsn(url)
            # With several hosts, `port` is a list, which is no number.
            port = int(parts["port"])
        except (psycopg2.ProgrammingError, ValueError) as error:
            # libpq may quote the password, so hide everything quoted but a parameter's name.
            reason = re.sub(r'(?<!parameter: )(?<!option )".+"', '"…"', str(error).strip())
            raise UsageError(
                f"the URL of the server cannot be read: {reason}. "
                "Write it as postgresql://user:password@host:port/database"
            ) from error
        if "service" in parts:
            raise UsageError(
                f"the URL of the server names the service {parts['service']!r}, which libpq looks "
                "up. Write it as postgresql://user:password@host:port/database"
            )
        return cls(
            host=parts["host"],
            port=port,
            user=parts["user"],
            password=parts["password"],
            maintenance=parts["dbname"],
            parameters=tuple((key, parts[key]) for key in parts if key not in _DEFAULTS),
        )


def _neutral() -> dict[str, str]:
    """Return the parameters that keep libpq from using its environment variables.

    An empty value counts as given: `conninfo_add_defaults` in PostgreSQL's
    src/interfaces/libpq/fe-connect.c.
    """
    known = libpq_version()
    return {name: value for name, (value, since) in _NEUTRAL.items() if known >= since}


def _from_environment() -> dict[str, str]:
    named = ((part, os.environ.get(variable)) for part, variable in _VARIABLES.items())
    return {part: value for part, value in named if value}


def _in_url(host: str) -> str:
    """Quote a host for a URL, and put an IPv6 address in brackets."""
    if ":" in host:
        return f"[{quote(host, safe=':')}]"
    return quote(host, safe="")
