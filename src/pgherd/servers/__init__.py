"""The contract of a server.

Each kind is a module or package of this folder with a function `server`, whose signature is
`Start`. To add a kind, also add its name to the option `server` in options.py; `choose` imports it
by that name. If `auto` should try the kind, change `choose` as well. A server that pgherd starts
needs a lifeline, which ends it when the owner is killed; it gets its settings from `tuning`, and
`readiness` waits for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from pgherd.options import Options
    from pgherd.postgres.address import Address


@dataclass(frozen=True)
class Run:
    """What a server needs to know of its run."""

    id: str
    workers: int = 1
    """How many processes run tests at once."""
    host: str = ""
    """The host at which workers on other machines reach this one; empty if there are none."""


@dataclass(frozen=True)
class Server:
    """A server that answers queries."""

    address: Address
    description: str
    """Its kind, for the person who runs the tests: `docker postgres:17`."""
    version: str


class Start(Protocol):
    """Start a server, or use an existing one; at the end, stop what was started."""

    def __call__(
        self, options: Options, run: Run, say: Callable[[str], None]
    ) -> AbstractContextManager[Server]:
        """Lend the server while the block runs.

        Args:
            options: the options that the person who runs the tests chose.
            run: the run that needs the server.
            say: a function that prints a line in the terminal; call it before slow steps.

        Raises:
            NotHereError: this machine cannot have this kind of server; another kind may work.
            ServerError: there is no server; the message says what to do.
            UsageError: the options for this kind of server are wrong.
        """
