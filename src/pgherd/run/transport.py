"""How workers reach the coordinator: the owner's reception, and a worker's connection to it.

A worker's open connection is its lease. When a worker crashes, the kernel closes the connection,
and the owner releases the worker: it drops the worker's clone and spares, and lets another worker
build the template that this one was building.
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
import sys
import threading
from contextlib import suppress
from multiprocessing import AuthenticationError
from multiprocessing.connection import (
    Client,
    Connection,
    Listener,
    answer_challenge,
    deliver_challenge,
)
from typing import TYPE_CHECKING, Any

from pgherd import unpatched
from pgherd.errors import PgherdError, ServerError, UsageError
from pgherd.postgres.address import is_loopback

if TYPE_CHECKING:
    from pgherd.postgres.address import Address, Endpoint
    from pgherd.run.coordinator import Coordinator

log = logging.getLogger("pgherd")

_LEASES_END_WITHIN = 5.0
"""How long `Reception.close` waits for the workers' connections to end, in seconds."""

_ACCEPT_AGAIN_AFTER = 0.1
"""How long to wait after a connection could not be accepted, in seconds."""

_KEEP_ALIVE = {"TCP_KEEPIDLE": 20, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 4}
"""TCP keep-alive: the first probe after 20 idle seconds, then one every 10 seconds. After four
unanswered probes, the kernel ends the connection."""


class Reception:
    """The listener through which the workers call the coordinator.

    Args:
        coordinator: what the workers call.
        endpoint: the host and port for workers on other machines; None for workers on this one.

    Raises:
        UsageError: this machine cannot listen at the endpoint.
    """

    def __init__(self, coordinator: Coordinator, endpoint: Endpoint | None = None) -> None:
        self._coordinator = coordinator
        self._endpoint = endpoint
        self._key = secrets.token_bytes(32)
        self._listener = _listen_at(endpoint) if endpoint else _listen_locally(coordinator.run_id)
        self._leases: list[threading.Thread] = []
        self._closing = False
        threading.Thread(target=self._accept, name="pgherd-reception", daemon=True).start()

    @property
    def invitation(self) -> dict[str, Any]:
        """The address and the key with which a worker connects: plain values, for execnet."""
        bound: Any = self._listener.address
        # An abstract socket's address comes back as bytes. A TCP port may be known only now.
        address = (self._endpoint.host, bound[1]) if self._endpoint else os.fsdecode(bound)
        return {"address": address, "key": self._key.hex()}

    def _accept(self) -> None:
        while not self._closing:
            with suppress(OSError):  # a client that hangs up at once must not end the reception
                connection = self._listener.accept()
                threading.Thread(target=self._serve, args=[connection], daemon=True).start()
                continue
            unpatched.sleep(_ACCEPT_AGAIN_AFTER)  # the process may have no file descriptor left

    def _serve(self, connection: Connection[Any, Any]) -> None:
        worker = ""
        with suppress(EOFError, OSError, AuthenticationError), connection:
            # Authenticate in this thread: a silent client must not block other workers. After that,
            # recv() unpickles, which can run any code. Only workers have the key, and pgherd trusts
            # them. Nothing is encrypted, so use `listen` on a trusted network only.
            _keep_alive(connection)
            deliver_challenge(connection, self._key)
            answer_challenge(connection, self._key)
            worker = connection.recv()
            self._leases.append(threading.current_thread())
            while True:
                method, arguments = connection.recv()
                connection.send(self._call(method, arguments))
        try:
            if worker:
                self._coordinator.release(worker)
        except Exception:
            log.exception("the clone of %s could not be dropped", worker)

    def _call(self, method: str, arguments: tuple[Any, ...]) -> tuple[bool, Any]:
        try:
            return True, getattr(self._coordinator, method)(*arguments)
        except PgherdError as error:
            return False, error
        except Exception as error:
            log.exception("the owner failed")
            return False, ServerError(
                f"the owner of the run failed: {error!r}. This is a bug in pgherd"
            )

    def close(self) -> None:
        """Stop listening, and wait up to five seconds until every lease has ended."""
        if self._closing:
            return
        self._closing = True
        # Connect once: closing a listening socket does not wake the thread that waits on it.
        with suppress(OSError):
            Client(self._listener.address).close()
        until = unpatched.now() + _LEASES_END_WITHIN
        for lease in self._leases:
            lease.join(max(0.0, until - unpatched.now()))
        self._listener.close()


def _listen_locally(run_id: str) -> Listener:
    return Listener(f"\0pgherd-{run_id}" if sys.platform == "linux" else None, backlog=128)


def _listen_at(endpoint: Endpoint) -> Listener:
    try:
        ip = socket.gethostbyname(endpoint.host)
        if ip == "0.0.0.0" or (is_loopback(ip) and not is_loopback(endpoint.host)):  # noqa: S104
            raise UsageError(
                f"pgherd_listen names {endpoint.host}, which is {ip} on this machine. No other "
                "machine can reach that address (see /etc/hosts). Set pgherd_listen to an address "
                "of this machine that other machines can reach"
            )
        return Listener((endpoint.host, endpoint.port), backlog=128)
    except OSError as error:
        raise UsageError(
            f"this machine cannot listen at {endpoint}, which pgherd_listen names: "
            f"{error.strerror}. Use an address of this machine; leave the port out, or choose a "
            "free one"
        ) from error


def _connect(address: Any, key: bytes) -> Connection[Any, Any]:
    """Connect as multiprocessing's `Client` does, with a socket that tests cannot replace."""
    if sys.platform == "win32":  # where a string is the name of a pipe
        return Client(address, authkey=key)
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    with unpatched.opened_socket(family) as line:
        line.connect(address)
        connection: Connection[Any, Any] = Connection(line.detach())
    answer_challenge(connection, key)
    deliver_challenge(connection, key)
    return connection


def _keep_alive(connection: Connection[Any, Any]) -> None:
    """If the connection is TCP, let the kernel check that the other machine is still there."""
    with unpatched.opened_socket(fileno=os.dup(connection.fileno())) as line:
        if line.family != socket.AF_UNIX:
            line.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for name, value in _KEEP_ALIVE.items():
                if option := getattr(socket, name, None):  # some systems lack some of them
                    line.setsockopt(socket.IPPROTO_TCP, option, value)


class RemoteCoordinator:
    """A worker's connection to the coordinator; the first call opens it.

    Args:
        invitation: the `Reception.invitation` that the owner sent.
        worker: the worker's id.
    """

    def __init__(self, invitation: dict[str, Any], worker: str) -> None:
        self._invitation = invitation
        self._worker = worker
        self._connection: Connection[Any, Any] | None = None

    def clone_name(self, worker: str) -> str:
        """Return the name of the worker's clone."""
        return str(self._call("clone_name", worker))

    def server(self) -> Address:
        """Return the run's server; the first request starts it, and later ones wait for it."""
        address: Address = self._call("server")
        return address

    def claim(self, template: str, worker: str) -> bool:
        """Whether this worker must build the template; wait while another worker builds it."""
        return bool(self._call("claim", template, worker))

    def settle(self, template: str, built: bool) -> None:  # noqa: FBT001
        """Report whether a claimed template was built."""
        self._call("settle", template, built)

    def _call(self, method: str, *arguments: object) -> Any:
        try:
            if self._connection is None:
                key = bytes.fromhex(self._invitation["key"])
                self._connection = _connect(self._invitation["address"], key)
                # A process created with os.fork could outlive this one, and must not keep the
                # lease.
                os.register_at_fork(after_in_child=self.close)
                _keep_alive(self._connection)
                self._connection.send(self._worker)
            self._connection.send((method, arguments))
            succeeded, value = self._connection.recv()
        except (EOFError, OSError) as error:
            raise ServerError(self._no_answer()) from error
        if not succeeded:
            raise value
        return value

    def _no_answer(self) -> str:
        address = self._invitation["address"]
        if self._connection is not None or isinstance(address, str):
            return "the owner of this run (pytest's main process) does not answer: it has ended"
        host, port = address
        return (
            f"the owner of this run does not answer at {host}:{port}: it has ended, or the worker "
            f"{self._worker} cannot reach it there. Set pgherd_listen to an address that all "
            "workers reach; if there are firewalls, add a port that they let through: host:port"
        )

    def close(self) -> None:
        """Close the connection; then the owner drops this worker's clone."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
