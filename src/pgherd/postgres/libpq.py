"""libpq, the C library under psycopg2 and psql: its parameters and its environment variables.

https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS
https://www.postgresql.org/docs/current/libpq-envars.html
"""

from __future__ import annotations

import os
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

from psycopg2.extensions import libpq_version

if TYPE_CHECKING:
    from collections.abc import Iterator

# A host that has disappeared, such as a removed container, never refuses a connection. Without
# these limits, connecting to it hangs for two minutes, and an idle connection seems alive for two
# hours. The keep-alives also stop network gateways from forgetting an idle connection.
TIMEOUTS = {
    "connect_timeout": "10",
    "keepalives_idle": "20",
    "keepalives_interval": "10",
    "keepalives_count": "4",
    "tcp_user_timeout": "60000",
}
DEFAULTS = {
    "host": "localhost",
    "port": "5432",
    "user": "postgres",
    "password": "",
    "dbname": "postgres",
}
"""The parameters that a URL has before its query, and a default for each."""

_NAMED_ALIKE = (
    "channel_binding client_encoding gssdelegation gssencmode gsslib host hostaddr krbsrvname "
    "load_balance_hosts max_protocol_version min_protocol_version options passfile password port "
    "require_auth requirepeer ssl_max_protocol_version ssl_min_protocol_version sslcert "
    "sslcertmode sslcompression sslcrl sslcrldir sslkey sslmode sslnegotiation sslrootcert sslsni "
    "target_session_attrs user"
)
VARIABLES = {
    **{name: f"PG{name.replace('_', '').upper()}" for name in _NAMED_ALIKE.split()},
    "application_name": "PGAPPNAME",
    "connect_timeout": "PGCONNECT_TIMEOUT",
    "dbname": "PGDATABASE",
}
"""The environment variable of each parameter that has one."""

# An environment variable, such as PGHOSTADDR, can prevent pgherd's connection to a server that it
# started. For each parameter with such a variable: the value that overrides the variable, and the
# version of libpq that introduced it.
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


def neutral_parameters() -> dict[str, str]:
    """Return parameters that override those environment variables that could prevent a connection.

    An empty value counts as given: `conninfo_add_defaults` in PostgreSQL's
    src/interfaces/libpq/fe-connect.c.
    """
    known = libpq_version()
    return {name: value for name, (value, since) in _NEUTRAL.items() if known >= since}


def environment_without_variables() -> dict[str, str]:
    """Return the environment without libpq's variables, which may lead to another server."""
    return {name: os.environ[name] for name in os.environ if not _is_variable(name)}


@contextmanager
def variables_removed() -> Iterator[None]:
    """Remove libpq's variables from this process while the block runs."""
    removed = {name: os.environ.pop(name) for name in list(os.environ) if _is_variable(name)}
    try:
        yield
    finally:
        os.environ.update(removed)


def _is_variable(name: str) -> bool:
    return re.match("PG(?!HERD_)", name) is not None
