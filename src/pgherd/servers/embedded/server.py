"""The embedded server: start it through a supervisor, wait until it answers, stop it."""

from __future__ import annotations

import json
import logging
import os
import secrets
import subprocess
import sys
from contextlib import closing, contextmanager
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, Any

import psycopg2

from pgherd.errors import ServerError
from pgherd.postgres import connections
from pgherd.servers import Server, readiness, tuning
from pgherd.servers.embedded import binaries, supervisor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pgherd.options import Options
    from pgherd.postgres.address import Address
    from pgherd.servers import Run
    from pgherd.servers.embedded.binaries import Binaries

log = logging.getLogger("pgherd")

_LOOPBACK = "127.0.0.1"

_STOPPED_WITHIN = 10.0
"""How long the supervisor may take to stop PostgreSQL, in seconds."""

_REASON_WITHIN = 2.0
"""How long the supervisor may take to say why PostgreSQL ended, in seconds."""

# TCP instead of a Unix socket, because every driver supports it, and because a socket's path must
# not be longer than 107 bytes. Shared memory for parallel queries is taken from the directory of
# the data: /dev/shm of a container has 64 MB only, and a killed server would leave files there.
_SETTINGS = {
    "unix_socket_directories": "",
    "dynamic_shared_memory_type": "mmap",
}
_CURES = {
    "No space left on device": "Make room there, or name another directory in TMPDIR",
    "could not look up effective user ID": "Give this user an entry in /etc/passwd",
    "Cannot allocate memory": "Run fewer workers (-n), or give this machine more memory",
}


@contextmanager
def server(options: Options, run: Run, say: Callable[[str], None]) -> Iterator[Server]:
    """Start a server that cannot outlive this process; stop it at the end."""
    found = binaries.find(options.bin)
    password = secrets.token_hex(16)
    host = run.host or _LOOPBACK
    order = {
        "bin": str(found.directory),
        "root": str(found.root),
        "parts": found.parts,
        "password": password,
        "host": host,
        "settings": _SETTINGS
        | tuning.settings(run.workers, options.settings)
        | {"listen_addresses": host},
    }
    with closing(_Supervisor(order)) as lifeline:
        address, version = _wait(lifeline, host, password, found)
        log.info("started PostgreSQL %s from %s", version, found.directory)
        yield Server(address, f"embedded {found.directory}", version)
        if not _answers(address):
            lifeline.listen(_REASON_WITHIN)
        if lifeline.failed:
            log.warning("the PostgreSQL server ended during the run: %s", lifeline.failed)
            say(f"the PostgreSQL server ended during the run: {lifeline.failed}")
    log.info("stopped PostgreSQL from %s", found.directory)


def _answers(address: Address) -> bool:
    try:
        with connections.maintenance(address):
            return True
    except psycopg2.Error:
        return False


class _Supervisor:
    """The supervisor's process, and the pipe to it, which is the server's lifeline.

    The process is in a session of its own, so that Ctrl-C in the terminal does not reach it.

    Args:
        order: the settings that the supervisor reads from the pipe as one line of JSON.
    """

    def __init__(self, order: dict[str, Any]) -> None:
        self.port: int | None = None
        self.failed: str | None = None
        self._unread = b""
        self._process = subprocess.Popen(  # noqa: S603 (this Python, and our own file)
            [sys.executable, "-I", "-S", supervisor.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
            start_new_session=True,
        )
        assert self._process.stdin  # noqa: S101 (for mypy: they were asked for)
        assert self._process.stdout  # noqa: S101
        self._lifeline, self._output = self._process.stdin, self._process.stdout
        # A process created with os.fork could outlive this one, and must not keep the pipe open.
        os.register_at_fork(after_in_child=self._lifeline.close)
        self._lifeline.write(json.dumps(order).encode() + b"\n")

    def listen(self, seconds: float) -> None:
        """Read what the supervisor reports; wait for it at most this many seconds."""
        if not wait([self._output.fileno()], seconds):
            return
        read = os.read(self._output.fileno(), 65536)
        self._unread += read
        *lines, self._unread = self._unread.split(b"\n") if read else (self._unread, b"")
        for line in lines:
            try:
                message = json.loads(line)
            except ValueError:  # not JSON: part of a traceback
                self._unread = b"\n".join([*lines, self._unread])
                break
            self.port = message.get("port", self.port)
            self.failed = message.get("failed")
        if not read:
            self.failed = f"its supervisor ended:\n{self._unread.decode(errors='replace')}"

    def close(self) -> None:
        """Cut the lifeline: the supervisor stops PostgreSQL and removes its directory."""
        self._lifeline.close()
        try:
            self._process.wait(_STOPPED_WITHIN)
        except subprocess.TimeoutExpired:
            log.warning("the supervisor %d takes long to stop PostgreSQL", self._process.pid)
        self._output.close()


def _wait(lifeline: _Supervisor, host: str, password: str, found: Binaries) -> tuple[Address, str]:
    """Wait until a query is answered; return the server's address and version."""

    def locate() -> Address | None:
        port = lifeline.port
        return readiness.throwaway_address(host, port, password) if port else None

    try:
        return readiness.wait(locate, lambda: lifeline.failed is not None, lifeline.listen)
    except readiness.NotReadyError as error:
        reason = lifeline.failed or f"it did not answer in time: {error}"
        cures = [cure for sign, cure in _CURES.items() if sign in reason]
        raise ServerError(
            f"the PostgreSQL of {found.directory} cannot be started: {reason}\n"
            f"{cures[0] if cures else 'Solve this problem'}, or use other binaries (--pgherd-bin) "
            "or another server (--pgherd-server, --pgherd-url)"
        ) from error
