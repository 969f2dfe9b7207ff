"""A throwaway PostgreSQL from binaries on this machine, run by a supervisor."""

from __future__ import annotations

import json
import logging
import os
import secrets
import subprocess
import sys
import time
from contextlib import closing, contextmanager
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, Any

import psycopg2

from pgherd import admin, binaries, settings, supervisor
from pgherd.errors import ServerError
from pgherd.servers import Server, is_hopeless, throwaway

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pgherd.address import Address
    from pgherd.binaries import Binaries
    from pgherd.options import Options
    from pgherd.servers import Run

log = logging.getLogger("pgherd")

_LOOPBACK = "127.0.0.1"
_READY_WITHIN = 60.0
_ENDS_WITHIN = 10.0
_LAST_WORDS_WITHIN = 2.0
_ASK_EVERY = 0.01
# TCP, because every driver speaks it, and because the path of a Unix socket may be too long: 107
# bytes. Shared memory for parallel queries is taken where the data are, in memory if there is room:
# a container's /dev/shm has 64 MB, and what a killed server leaves there would stay.
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
        "settings": settings.sized(run.workers) | _SETTINGS | {"listen_addresses": host},
    }
    with closing(_Supervisor(order)) as lifeline:
        address, version = _wait(lifeline, host, password, found)
        log.info("started PostgreSQL %s from %s", version, found.directory)
        yield Server(address, f"embedded {found.directory}", version)
        if not _answers(address):
            lifeline.listen(_LAST_WORDS_WITHIN)
        if lifeline.failed:
            log.warning("the server had ended before the run: %s", lifeline.failed)
            say(f"the server had ended before the run: {lifeline.failed}")
    log.info("stopped PostgreSQL from %s", found.directory)


def _answers(address: Address) -> bool:
    try:
        with admin.connected(address):
            return True
    except psycopg2.Error:
        return False


class _Supervisor:
    """The program `supervisor`, and the pipe that ties it to this process.

    It is in a session of its own: what the terminal sends to us, such as Ctrl-C, is not for it.
    """

    def __init__(self, order: dict[str, Any]) -> None:
        self.port: int | None = None
        self.failed: str | None = None
        self._told = b""
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
        self._lifeline, self._words = self._process.stdin, self._process.stdout
        # A program that is started does not get our end of the pipe, but a copy of us would: a
        # child by os.fork could outlive us, and the lifeline would not be cut.
        os.register_at_fork(after_in_child=self._lifeline.close)
        self._lifeline.write(json.dumps(order).encode() + b"\n")

    def listen(self, seconds: float) -> None:
        """Wait for a word of the supervisor, not longer than this."""
        if not wait([self._words.fileno()], seconds):
            return
        told = os.read(self._words.fileno(), 65536)
        self._told += told
        *lines, self._told = self._told.split(b"\n") if told else (self._told, b"")
        for line in lines:
            try:
                word = json.loads(line)
            except ValueError:  # a traceback: more of it may come
                self._told = b"\n".join([*lines, self._told])
                break
            self.port = word.get("port", self.port)
            self.failed = word.get("failed")
        if not told:
            self.failed = f"its supervisor ended:\n{self._told.decode(errors='replace')}"

    def close(self) -> None:
        """Let go: PostgreSQL is stopped and its directory removed."""
        self._lifeline.close()
        try:
            self._process.wait(_ENDS_WITHIN)
        except subprocess.TimeoutExpired:
            log.warning("the supervisor %d takes long to stop PostgreSQL", self._process.pid)
        self._words.close()


def _wait(lifeline: _Supervisor, host: str, password: str, found: Binaries) -> tuple[Address, str]:
    """Ask until a query is answered; give the server's address and version."""
    until = time.monotonic() + _READY_WITHIN
    problem: Exception | None = None
    while time.monotonic() < until and lifeline.failed is None:
        lifeline.listen(_ASK_EVERY)
        if lifeline.port:
            address = throwaway(host, lifeline.port, password)
            try:
                with admin.connected(address) as link:
                    settings.hash_once(link, password)
                    return address, admin.version(link)
            except psycopg2.OperationalError as error:
                problem = error
                if is_hopeless(error):
                    break
    what = lifeline.failed or f"it could not be connected to in time: {str(problem).strip()}"
    cures = [cure for sign, cure in _CURES.items() if sign in what]
    raise ServerError(
        f"the PostgreSQL of {found.directory} cannot be started: {what}\n"
        f"{cures[0] if cures else 'Correct that'}, or use other binaries (--pgherd-bin) "
        "or another server (--pgherd-server, --pgherd-url)"
    ) from problem
