"""Where PostgreSQL comes from: one file a kind, each with a function `server` like `Start`."""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from importlib import import_module
from typing import TYPE_CHECKING, Protocol

from pgherd.address import Address
from pgherd.errors import NotHereError, ServerError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    import psycopg2

    from pgherd.options import Options

# What libpq says where a variable leads it elsewhere (PGSERVICE), and where there is no network.
_HOPELESS = ("definition of service", "service file", "Network is unreachable")


@dataclass(frozen=True)
class Run:
    """What a server has to know of the run that it is for."""

    id: str
    workers: int = 1
    """How many processes run tests at once."""
    host: str = ""
    """Where those on other machines reach this one; empty where there are none."""


@dataclass(frozen=True)
class Server:
    """A server that answers queries."""

    address: Address
    description: str
    """What it is, for the person who runs the tests: `docker postgres:17`."""
    version: str


class Start(Protocol):
    """Start a server, or take the one that is there, and stop what was started at the end."""

    def __call__(
        self, options: Options, run: Run, say: Callable[[str], None]
    ) -> AbstractContextManager[Server]:
        """Lend the server for as long as the context lasts.

        Args:
            options: what the person who runs the tests chose.
            run: what the server is for.
            say: tells that person what takes long, in one line.

        Raises:
            ServerError: there is none to be had; the message names the cure.
        """


def start(options: Options, run: Run, say: Callable[[str], None]) -> AbstractContextManager[Server]:
    """Start the kind of server that the options name.

    `auto` is the URL if one is set, else docker, else embedded where docker is not to be had.
    """
    if options.server != "auto":
        return _kind(options.server)(options, run, say)
    return _kind("external")(options, run, say) if options.url else _throwaway(options, run, say)


def throwaway(host: str, port: int, password: str) -> Address:
    """Say where a server is that was made for the run.

    A variable that asks for TLS is for some other server: ours is without, on loopback or a bridge.
    """
    parameters = (("sslmode", "disable"),) if os.environ.get("PGSSLMODE") else ()
    return Address(host, port, user="postgres", password=password, parameters=parameters)


def is_hopeless(error: psycopg2.OperationalError) -> bool:
    """Say whether no time will cure that a server of ours cannot be connected to."""
    return any(sign in str(error) for sign in _HOPELESS)


def _kind(name: str) -> Start:
    start: Start = import_module(f"{__name__}.{name}").server
    return start


@contextmanager
def _throwaway(options: Options, run: Run, say: Callable[[str], None]) -> Iterator[Server]:
    with ExitStack() as stack:
        try:
            server = stack.enter_context(_kind("docker")(options, run, say))
        except NotHereError as without_docker:
            try:
                server = stack.enter_context(_kind("embedded")(options, run, say))
            except NotHereError as error:
                raise ServerError(f"{without_docker}.\n\nAnd {error}") from error
            why = f"{server.description}, because {without_docker.short}"
            server = replace(server, description=why)
        yield server
