"""An owner of an embedded server, in a process of its own, for tests that kill it.

The tests find what belongs to an owner through its supervisor, a child process of the owner, which
holds the directories open.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg2

from tests.pgherd.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SOON = 5.0
"""How long the server may live on without its owner, in seconds.

It takes 0.03 s, but a busy machine may need longer.
"""

PROGRAM = """
import os, pathlib, sys, time
from pgherd import options
from pgherd.servers import Run, choose
chosen = options.Options(server="embedded", bin=sys.argv[1])
with choose.start(chosen, Run("0123abcd", workers=3), print) as server:
    {then}
    dsn = server.address.database("postgres").dsn
    lines = [dsn, server.version, server.description]
    pathlib.Path("server.new").write_text("\\n".join(lines))
    os.rename("server.new", "server")
    while not pathlib.Path("end").exists():
        time.sleep(0.005)
"""


def processes() -> Iterator[list[str]]:
    """Yield the id, the state and the session of every process."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, _, _, session = path.read_text().rpartition(")")[2].split()[:4]
            yield [path.parent.name, state, session]


class Owner:
    """A process that starts an embedded server.

    Args:
        process: the process, which runs `PROGRAM`.
        directory: its working directory, where it describes its server in the file `server`.
    """

    def __init__(self, process: subprocess.Popen, directory: Path) -> None:
        self.process = process
        self.directories: list[Path] = []
        self.sessions: set[str] = set()
        self._description = directory / "server"

    def wait_until_ready(self) -> Owner:
        """Wait for the server, and note its directories and processes."""
        wait_until(lambda: self._description.exists() or self.process.poll() is not None)
        assert self.process.poll() is None, self.process.communicate()[0].decode()
        self.dsn, self.version, self.description = self._description.read_text().splitlines()[-3:]
        self.look()
        return self

    def look(self) -> None:
        """Note the directories and the sessions that the supervisor has made."""
        self.directories = list({*self.directories, *self.held()})
        for pid, _, session in processes():
            with suppress(OSError):
                command = Path(f"/proc/{pid}/cmdline").read_text()
                if any(str(each) in command for each in self.directories):
                    self.sessions.add(session)

    @property
    def data(self) -> Path:
        """The cluster's directory. A copy of the binaries may have another directory."""
        (found,) = (each / "data" for each in self.directories if (each / "data").exists())
        return found

    def supervisor(self) -> int | None:
        """Return the process id of the supervisor, or None if it does not run."""
        children = Path(f"/proc/{self.process.pid}/task").glob("*/children")
        for pid in " ".join(path.read_text() for path in children).split():
            with suppress(OSError):
                if b"supervisor" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    return int(pid)
        return None

    def held(self) -> list[Path]:
        """List the directories that the supervisor holds open."""
        pid = self.supervisor()
        found = []
        for descriptor in Path(f"/proc/{pid}/fd").glob("*") if pid else ():
            with suppress(OSError):
                found.append(descriptor.readlink())
        return [path for path in found if path.name.startswith("pgherd-embedded-")]

    def is_gone(self) -> bool:
        """Whether neither a directory nor a process is left."""
        return not any(path.exists() for path in self.directories) and not self.processes()

    def processes(self) -> list[str]:
        """List the processes in the sessions that the supervisor has started."""
        return [
            pid for pid, state, session in processes() if session in self.sessions and state != "Z"
        ]

    def query(self, statement: str) -> str:
        """Return the one value that the server answers."""
        with closing(psycopg2.connect(self.dsn)) as connection, connection.cursor() as cursor:
            cursor.execute(statement)
            ((value,),) = cursor.fetchall()
            return value


@contextmanager
def starter(directory: Path) -> Iterator[Callable[..., Owner]]:
    """Yield a function that starts an owner; kill all owners at the end."""
    started = []

    def start(
        binaries: str = "", then: str = "pass", python=sys.executable, prefix=(), **how
    ) -> Owner:
        process = subprocess.Popen(
            [*prefix, python, "-c", PROGRAM.replace("{then}", then), binaries],
            cwd=directory,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            # A shell ignores SIGINT in programs that it runs in the background.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
            **how,
        )
        started.append(Owner(process, directory))
        return started[-1]

    yield start
    for each in started:
        each.look()
        with suppress(ProcessLookupError):
            os.killpg(each.process.pid, signal.SIGKILL)
        each.process.communicate()
        wait_until(each.is_gone)
