"""How owner and workers meet: the owner's coordinator, and a worker's line to it.

A worker's open connection is its lease: when it breaks, the owner drops that worker's clone, so a
crashed worker leaves nothing. In a serial run the same object is called directly.
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
import sys
import threading
import time
from contextlib import ExitStack, closing, suppress
from multiprocessing import AuthenticationError
from multiprocessing.connection import (
    Client,
    Connection,
    Listener,
    answer_challenge,
    deliver_challenge,
)
from typing import TYPE_CHECKING, Any, Protocol

import psycopg2

from pgherd import admin, naming, note, servers, sweep
from pgherd.address import is_loopback
from pgherd.errors import MigrationError, PgherdError, ServerError, UsageError
from pgherd.presence import Presence

if TYPE_CHECKING:
    from collections.abc import Callable

    from pgherd.address import Address, Endpoint
    from pgherd.options import Options

log = logging.getLogger("pgherd")

_READY = "(ready)"
_FAILED = "(failed)"
_LAST_WORDS_WITHIN = 5.0
_AGAIN_AFTER = 0.1
# A machine that is lost says no goodbye; in seconds, and in questions that are not answered.
_KEPT_ALIVE = {"TCP_KEEPIDLE": 20, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 4}


class Coordination(Protocol):
    """What a process that runs tests may ask of the run's owner."""

    def clone_name(self, worker: str) -> str:
        """Give the name of the worker's clone."""

    def server(self) -> Address:
        """Give the run's server; the first to ask has it started, the others wait.

        Raises:
            ServerError: it cannot be started.
        """

    def claim(self, template: str, worker: str) -> bool:
        """Say whether this worker has to build the template; wait while another does.

        Raises:
            MigrationError: it could not be built.
        """

    def settle(self, template: str, built: bool) -> None:  # noqa: FBT001
        """Tell how the building of a claimed template ended."""


class Coordinator:
    """The owner's side: one server for the run, one builder for a template.

    Args:
        options: what the person who runs the tests chose.
        say: tells that person something in one line.
        workers: how many processes run tests at once.
        host: where those on other machines reach this one; empty where there are none.
    """

    def __init__(
        self, options: Options, say: Callable[[str], None], workers: int = 1, host: str = ""
    ) -> None:
        self.run = naming.new_run()
        self.failed = False
        self._closed = False
        self._options = options
        self._workers = workers
        self._host = host
        self._say = say
        self._stack = ExitStack()
        self._starting = threading.Lock()
        self._address: Address | None = None
        self._presence: Presence | None = None
        self._gone = False
        self._settled = threading.Condition()
        self._templates: dict[str, str] = {}

    def clone_name(self, worker: str) -> str:
        """Give the name of the worker's clone."""
        return naming.clone(self.run, worker)

    def server(self) -> Address:
        """Give the run's server; the first to ask has it started, the others wait."""
        with self._starting:
            if self.failed:
                raise ServerError("no database server; the test that asked first is told why")
            if self._closed:
                raise ServerError("the run has ended, and its database server with it")
            if self._address is None:
                try:
                    self._address = self._start()
                except Exception:  # and not Ctrl-C, after which nobody asks again
                    self.failed = True
                    raise
            return self._address

    def _start(self) -> Address:
        began = time.monotonic()
        run = servers.Run(self.run, self._workers, self._host)
        server = self._stack.enter_context(servers.start(self._options, run, self._say))
        presence = Presence(server.address, self.run)
        self._presence = self._stack.enter_context(closing(presence))
        sweep.dead_runs(server.address)
        self._say(
            f"{server.description} (PostgreSQL {server.version}) at {server.address.host}:"
            f"{server.address.port}, ready in {time.monotonic() - began:.2f} s"
        )
        return server.address

    def claim(self, template: str, worker: str) -> bool:
        """Say whether this worker has to build the template; wait while another does."""
        with self._settled:
            self._settled.wait_for(lambda: self._templates.get(template) in {None, _READY, _FAILED})
            state = self._templates.setdefault(template, worker)
            if state == _FAILED:
                raise MigrationError("there is no template; the test that asked first is told why")
            if self._presence is not None and state == worker:
                self._presence.hold(naming.use_of(template))
            return state != _READY

    def settle(self, template: str, built: bool) -> None:  # noqa: FBT001
        """Tell how the building of a claimed template ended.

        Raises:
            ServerError: the server has not enough locks for so many workers and a schema so big.
        """
        shortage = self._shortage(template) if built else None
        with self._settled:
            self._templates[template] = _READY if built and not shortage else _FAILED
            self._settled.notify_all()
        if shortage:
            self.failed = True
            raise ServerError(f"the server has not enough locks for this run: {shortage}")
        if built:
            self._tidy(sweep.templates)

    def _shortage(self, template: str) -> str | None:
        """Say why the server's locks will not do for all workers. That it is full now is no reason.

        Whoever waits for the template is told in any case how it ended.
        """
        if self._address is None:
            return None
        try:
            with admin.connected(self._address) as link:
                noted = note.read(link, template)
                table = admin.lock_table(link)
        except psycopg2.Error as error:
            log.warning("could not count the server's locks: %s", str(error).strip())
            return None
        return table.shortage(self._workers, noted.relations) if noted else None

    def release(self, worker: str) -> None:
        """Drop the clone of a worker that is gone, and let another build what it was building."""
        with self._settled:
            self._templates = {
                template: state for template, state in self._templates.items() if state != worker
            }
            self._settled.notify_all()
        with self._starting:
            self._tidy(sweep.clones, self.clone_name(worker))

    def close(self) -> None:
        """Drop the run's clones and stop its server.

        One that is being started still, as after Ctrl-C in a long pull, ends with this process.
        """
        self._closed = True
        if not self._starting.acquire(timeout=_LAST_WORDS_WITHIN):
            return
        try:
            with self._stack:
                # What is left on one that others use would be there until the next of them.
                self._gone = False
                self._tidy(sweep.clones, naming.clones_of(self.run))
                self._address = None
        finally:
            self._starting.release()

    def _tidy(self, tidy: Callable[..., None], *what: str) -> None:
        """Drop what nobody needs any more, if the server does its part.

        Not worth an error: a throwaway server takes its databases along, and on another the next
        run finds that this one's lock is free. One that does not answer is not asked again for each
        worker: it takes ten seconds each time.
        """
        if self._address is None or self._gone:
            return
        try:
            tidy(self._address, *what)
        except psycopg2.Error as error:
            self._gone = isinstance(error, psycopg2.OperationalError)
            log.warning("could not drop what is needed no more: %s", str(error).strip())


class Reception:
    """Where workers reach the coordinator: a socket, and a thread for each of them.

    For workers on this machine its address is, on Linux, in the abstract namespace, so no file is
    left behind, however the owner dies, and no path is too long; elsewhere multiprocessing chooses.
    Whoever connects has to know the key, which travels to the workers through xdist.

    Args:
        coordinator: who answers.
        endpoint: where workers on other machines reach this one; None for those of this machine.

    Raises:
        UsageError: this machine cannot listen there.
    """

    def __init__(self, coordinator: Coordinator, endpoint: Endpoint | None = None) -> None:
        self._coordinator = coordinator
        self._endpoint = endpoint
        self._key = secrets.token_bytes(32)
        self._listener = _listen(endpoint) if endpoint else _listen_here(coordinator.run)
        self._leases: list[threading.Thread] = []
        self._closing = False
        threading.Thread(target=self._receive, name="pgherd-reception", daemon=True).start()

    @property
    def invitation(self) -> dict[str, Any]:
        """What a worker has to be told so that it can connect: plain values, for execnet."""
        bound: Any = self._listener.address
        # An abstract address comes back as bytes; of a host and a port, the port may be new.
        address = (self._endpoint.host, bound[1]) if self._endpoint else os.fsdecode(bound)
        return {"address": address, "key": self._key.hex()}

    def _receive(self) -> None:
        while not self._closing:
            with suppress(OSError):  # one that hung up at once must not end the reception
                connection = self._listener.accept()
                threading.Thread(target=self._serve, args=[connection], daemon=True).start()
                continue
            time.sleep(_AGAIN_AFTER)  # there may be no more files to be opened for now

    def _serve(self, connection: Connection[Any, Any]) -> None:
        worker = ""
        with suppress(EOFError, OSError, AuthenticationError), connection:
            # Here, and not by the listener: one that does not answer keeps nobody waiting.
            # What comes afterwards is unpickled, so who sends it can have us run anything. Up to
            # here it is bytes, and beyond only workers get: they had the key from us, and they are
            # machines of ours, to which we gave our code to run and the server's password. Nothing
            # is encrypted, hence the advice in the options to listen where you trust the network.
            _keep_alive(connection)
            deliver_challenge(connection, self._key)
            answer_challenge(connection, self._key)
            worker = connection.recv()
            self._leases.append(threading.current_thread())
            while True:
                method, arguments = connection.recv()
                connection.send(self._answer(method, arguments))
        try:
            if worker:
                self._coordinator.release(worker)
        except Exception:
            log.exception("the clone of %s could not be dropped", worker)

    def _answer(self, method: str, arguments: tuple[Any, ...]) -> tuple[bool, Any]:
        try:
            return True, getattr(self._coordinator, method)(*arguments)
        except PgherdError as error:
            return False, error
        except Exception as error:
            log.exception("the owner failed")
            return False, ServerError(f"the owner of the run failed: {error!r}")

    def close(self) -> None:
        """Stop receiving, and wait a moment until every lease has ended."""
        if self._closing:
            return
        self._closing = True
        # To close a listening socket does not wake up the thread that waits on it.
        with suppress(OSError):
            Client(self._listener.address).close()
        until = time.monotonic() + _LAST_WORDS_WITHIN
        for lease in self._leases:
            lease.join(max(0.0, until - time.monotonic()))
        self._listener.close()


def _listen_here(run: str) -> Listener:
    return Listener(f"\0pgherd-{run}" if sys.platform == "linux" else None, backlog=128)


def _keep_alive(connection: Connection[Any, Any]) -> None:
    """Have the kernel ask whether the other machine is still there, if it is another."""
    with socket.socket(fileno=os.dup(connection.fileno())) as line:
        if line.family != socket.AF_UNIX:
            line.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for name, value in _KEPT_ALIVE.items():
                if option := getattr(socket, name, None):  # not every system has each
                    line.setsockopt(socket.IPPROTO_TCP, option, value)


def _listen(endpoint: Endpoint) -> Listener:
    try:
        place = socket.gethostbyname(endpoint.host)
        if place == "0.0.0.0" or (is_loopback(place) and not is_loopback(endpoint.host)):  # noqa: S104
            raise UsageError(
                f"pgherd_listen names {endpoint.host}, which is {place} on this machine, where no "
                "other reaches it (see /etc/hosts). Name the address that the others know it by"
            )
        return Listener((endpoint.host, endpoint.port), backlog=128)
    except OSError as error:
        raise UsageError(
            f"this machine cannot listen at {endpoint}, which pgherd_listen names: "
            f"{error.strerror}. Name an address of this machine, and a port that is free, or none"
        ) from error


class RemoteCoordinator:
    """A worker's line to the coordinator; it connects when it is first used."""

    def __init__(self, invitation: dict[str, Any], worker: str) -> None:
        self._invitation = invitation
        self._worker = worker
        self._connection: Connection[Any, Any] | None = None

    def clone_name(self, worker: str) -> str:
        """Give the name of the worker's clone."""
        return str(self._ask("clone_name", worker))

    def server(self) -> Address:
        """Give the run's server; the first to ask has it started, the others wait."""
        address: Address = self._ask("server")
        return address

    def claim(self, template: str, worker: str) -> bool:
        """Say whether this worker has to build the template; wait while another does."""
        return bool(self._ask("claim", template, worker))

    def settle(self, template: str, built: bool) -> None:  # noqa: FBT001
        """Tell how the building of a claimed template ended."""
        self._ask("settle", template, built)

    def _ask(self, method: str, *arguments: object) -> Any:
        try:
            if self._connection is None:
                key = bytes.fromhex(self._invitation["key"])
                self._connection = Client(self._invitation["address"], authkey=key)
                _keep_alive(self._connection)
                self._connection.send(self._worker)
            self._connection.send((method, arguments))
            answered, value = self._connection.recv()
        except (EOFError, OSError) as error:
            raise ServerError(self._no_answer()) from error
        if not answered:
            raise value
        return value

    def _no_answer(self) -> str:
        address = self._invitation["address"]
        if self._connection is not None or isinstance(address, str):
            return "the owner of this run does not answer: it has ended"
        host, port = address
        return (
            f"the owner of this run does not answer at {host}:{port}: it has ended, or the worker "
            f"{self._worker} cannot reach it there. Set pgherd_listen to where all workers do, "
            "with a port that firewalls let through if there are any: host:port"
        )

    def close(self) -> None:
        """End the lease: the owner drops this worker's clone."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
