"""The coordinator: what the owner of a run knows, and does for all workers.

A run has one server, and only one worker builds each template. In a serial run, the only process
calls the coordinator directly; xdist's workers reach it through `transport`.
"""

from __future__ import annotations

import logging
import threading
from contextlib import ExitStack, closing
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING

import psycopg2

from pgherd import unpatched
from pgherd.errors import MigrationError, ServerError
from pgherd.postgres import capacity, connections, naming
from pgherd.run import sweep
from pgherd.run.liveness import Liveness
from pgherd.servers import Run, choose
from pgherd.template import comment

if TYPE_CHECKING:
    from collections.abc import Callable

    from pgherd.options import Options
    from pgherd.postgres.address import Address

log = logging.getLogger("pgherd")

_STARTED_WITHIN = 5.0
"""How long `close` waits for a server that is still being started, in seconds."""


class _State(Enum):
    """The progress of a template."""

    BUILDING = auto()
    READY = auto()
    FAILED = auto()


@dataclass(frozen=True)
class _Claim:
    """The state of a template, and the worker that builds it while it is BUILDING."""

    worker: str
    state: _State = _State.BUILDING


class Coordinator:
    """The shared state of a run's workers.

    Args:
        options: the options that the person who runs the tests chose.
        say: a function that shows that person one line.
        workers: how many processes run tests at once.
        host: the host at which workers on other machines reach this one; empty if there are none.
    """

    def __init__(
        self, options: Options, say: Callable[[str], None], workers: int = 1, host: str = ""
    ) -> None:
        self.run_id = naming.new_run_id()
        self.failed = False
        """Whether the server failed to start, or is too small for the run."""
        self._closed = False
        self._options = options
        self._workers = workers
        self._host = host
        self._say = say
        self._stack = ExitStack()
        self._starting = threading.Lock()
        self._address: Address | None = None
        self._liveness: Liveness | None = None
        self._unreachable = False
        self._changed = threading.Condition()
        self._claims: dict[str, _Claim] = {}

    def clone_name(self, worker: str) -> str:
        """Return the name of the worker's clone."""
        return naming.clone(self.run_id, worker)

    def server(self) -> Address:
        """Return the run's server; the first request starts it, and later ones wait for it."""
        with self._starting:
            if self.failed:
                raise ServerError(
                    "this run has no usable database server; see the first test that needed it"
                )
            if self._closed:
                raise ServerError("the run has ended, and its database server with it")
            if self._address is None:
                try:
                    self._address = self._start()
                except Exception:  # not KeyboardInterrupt: no test runs after it
                    self.failed = True
                    raise
            return self._address

    def _start(self) -> Address:
        began = unpatched.now()
        run = Run(self.run_id, self._workers, self._host)
        server = self._stack.enter_context(choose.start(self._options, run, self._say))
        with connections.translated_errors():
            liveness = Liveness(server.address, self.run_id)
            self._liveness = self._stack.enter_context(closing(liveness))
            sweep.dead_runs(server.address)
        self._say(
            f"{server.description} (PostgreSQL {server.version}) at {server.address.host}:"
            f"{server.address.port}, ready in {unpatched.now() - began:.2f} s"
        )
        return server.address

    def claim(self, template: str, worker: str) -> bool:
        """Whether this worker must build the template; wait while another worker builds it."""
        with self._changed:
            self._changed.wait_for(lambda: not self._is(template, _State.BUILDING))
            if self._is(template, _State.FAILED):
                raise MigrationError("there is no template; see the first test that needed it")
            if self._is(template, _State.READY):
                return False
            if self._liveness is not None:
                with connections.translated_errors():
                    self._liveness.hold(naming.use_of(template))
            self._claims[template] = _Claim(worker)
            return True

    def _is(self, template: str, state: _State) -> bool:
        claim = self._claims.get(template)
        return claim is not None and claim.state is state

    def settle(self, template: str, built: bool) -> None:  # noqa: FBT001
        """Report whether a claimed template was built.

        Raises:
            ServerError: the server has too few locks for so many workers and so big a schema.
        """
        shortage = self._lock_shortage(template) if built else None
        state = _State.READY if built and not shortage else _State.FAILED
        with self._changed:
            # `release` may have deleted the claim meanwhile; record the result all the same.
            self._claims[template] = _Claim("", state)
            self._changed.notify_all()
        if shortage:
            self.failed = True
            raise ServerError(f"the server has too few locks for this run: {shortage}")
        if built:
            self._tidy(sweep.templates)

    def _lock_shortage(self, template: str) -> str | None:
        """Return why the server's locks are too few for all workers; None if they suffice.

        Return None if the server cannot be queried, for example because no connection is free. The
        template is built all the same, so the waiting workers may use it.
        """
        if self._address is None:
            return None
        try:
            with connections.maintenance(self._address) as connection:
                found = comment.read(connection, template)
                table = capacity.lock_table(connection)
        except psycopg2.Error as error:
            log.warning("could not count the server's locks: %s", str(error).strip())
            return None
        return table.shortage(self._workers, found.relations) if found else None

    def release(self, worker: str) -> None:
        """Drop the databases of a worker that has ended, and let another build its template.

        `Reception` calls this when the worker's lease ends, whether it finished or crashed.
        """
        with self._changed:
            for template, claim in list(self._claims.items()):
                if claim == _Claim(worker):
                    del self._claims[template]
            self._changed.notify_all()
        with self._starting:
            self._tidy(sweep.clones, self.clone_name(worker))

    def close(self) -> None:
        """Drop the run's clones and stop its server.

        If the server is still being started (Ctrl-C during a pull), it ends with the process.
        """
        self._closed = True
        if not self._starting.acquire(timeout=_STARTED_WITHIN):
            return
        try:
            with self._stack:
                # Try once more: on a server that others use, clones would stay until the next run.
                self._unreachable = False
                self._tidy(sweep.clones, naming.clones_of(self.run_id))
                self._address = None
        finally:
            self._starting.release()

    def _tidy(self, tidy: Callable[..., None], *arguments: str) -> None:
        """Drop databases that nobody needs any more; a failure is not worth an error.

        A throwaway server's databases end with it, and on another server the next run drops them.
        If the server does not answer, do not try again for each worker: an attempt takes ten
        seconds.
        """
        if self._address is None or self._unreachable:
            return
        try:
            tidy(self._address, *arguments)
        except psycopg2.Error as error:
            self._unreachable = isinstance(error, psycopg2.OperationalError)
            log.warning("could not drop old databases: %s", str(error).strip())
