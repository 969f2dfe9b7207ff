"""The supervisor: a program that runs the embedded server and ends it when the owner ends.

The owner runs it by path, `python -I -S supervisor.py`, so it imports only the standard library.
Its standard input is the server's lifeline: a pipe from the owner. The first line is the order, as
JSON; end-of-file means that the owner has ended, even by `kill -9`. On its standard output, the
supervisor reports to the owner in lines of JSON: `{"port": 40123}`, or `{"failed": "why"}`.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import locale
import os
import pwd
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_OWNER = 0
"""The file descriptor of the pipe from the owner: standard input."""

_NAME = "pgherd-embedded-"
_ROOM = 512 * 2**20
"""The free space that a directory must have for a cluster, in bytes."""

_LAST_LINES = 15
_PORTS_TRIED = 5
_ENDS_WITHIN = 6.0
"""How long a program may take to end, in seconds. PostgreSQL waits 5 s for its children, then kills
them."""

_READ_AND_SEARCH = 0o005
_PROC = Path("/proc/self")
# https://man7.org/linux/man-pages/man7/capabilities.7.html
_CAPABILITIES = {"CHOWN": 0, "DAC_OVERRIDE": 1, "KILL": 5, "SETGID": 6, "SETUID": 7}
_NEEDED_CAPABILITIES = f"the capabilities {', '.join(_CAPABILITIES)}"
_NOT_COPIED = ("*.a", "include", "doc", "man", "locale", "pgxs")
_ABANDONED_AFTER = 60.0
"""How old an unlocked directory must be before it is removed, in seconds."""

# https://man7.org/linux/man-pages/man2/PR_SET_PDEATHSIG.2const.html
_PR_SET_PDEATHSIG = 1


class OwnerEndedError(Exception):
    """The owner has ended, or has closed the lifeline."""


class FailedError(Exception):
    """PostgreSQL cannot run on this machine."""


def _is_mapped(uid: int) -> bool:
    """Whether this user exists in our user namespace, which may contain root only."""
    ranges = _PROC.joinpath("uid_map").read_text().splitlines() if _PROC.exists() else ["0 0 65536"]
    numbers = [tuple(int(number) for number in each.split()) for each in ranges]
    return any(first <= uid < first + count for first, _, count in numbers)


def _may_become_another() -> bool:
    """Whether root has the capabilities to run a program as another user, and to clean up."""
    if not _PROC.exists():
        return True
    status = _PROC.joinpath("status").read_text()
    effective = int(status.partition("CapEff:")[2].split()[0], 16)
    return all(effective >> number & 1 for number in _CAPABILITIES.values())


class User:
    """The user who runs PostgreSQL: the current one, or `postgres` or `nobody` if that is root."""

    def __init__(self) -> None:
        self.other: dict[str, Any] = {}
        if os.geteuid() == 0:
            known = {entry.pw_name: entry for entry in pwd.getpwall() if _is_mapped(entry.pw_uid)}
            chosen = known.get("postgres") or known.get("nobody")
            if chosen is None or not _may_become_another():
                raise FailedError(
                    "PostgreSQL refuses to be run by root, and root may run it neither as the user "
                    f"`postgres` nor as `nobody` here. In a container, add {_NEEDED_CAPABILITIES} "
                    "(cap_add), or run the tests as another user"
                )
            self.other = {"user": chosen.pw_uid, "group": chosen.pw_gid, "extra_groups": []}

    def own(self, path: Path) -> None:
        """Make this user the owner of a file or directory."""
        if self.other:
            os.chown(path, self.other["user"], self.other["group"], follow_symlinks=False)

    def reaches(self, path: Path) -> bool:
        """Whether this user may read a path, and go through all directories above it."""
        return not self.other or (
            all(parent.stat().st_mode & 0o001 for parent in path.parents)
            and path.stat().st_mode & _READ_AND_SEARCH == _READ_AND_SEARCH
        )


class Child:
    """A program that does not outlive the supervisor.

    The program and all that it starts hold the writing end of a pipe. When the pipe reaches
    end-of-file, the last of them has ended.

    Args:
        command: the program and its arguments.
        log: the file for its output.
        user: the user who runs it.
        end: the signal that ends it.
    """

    def __init__(self, command: list[str], log: Path, user: User, end: signal.Signals) -> None:
        self._end = end
        self._alive, held = os.pipe()
        libc = ctypes.CDLL(None)

        def end_with_supervisor() -> None:
            if sys.platform == "linux":
                libc.prctl(_PR_SET_PDEATHSIG, end)

        with log.open("ab") as file:
            self._process = subprocess.Popen(  # noqa: S603 (the binaries that the owner found)
                command,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                cwd=log.parent,
                env=_environment(),
                start_new_session=True,
                pass_fds=[held],
                preexec_fn=end_with_supervisor,  # noqa: PLW1509 (there are no threads here)
                **user.other,
            )
        os.close(held)

    def ended(self) -> int:
        """Wait until the program and all that it started have ended; return its status.

        Raises:
            OwnerEndedError: the owner ended first.
        """
        if _OWNER in select.select([_OWNER, self._alive], [], [])[0]:
            raise OwnerEndedError
        return self._process.wait()

    def stop(self) -> None:
        """End the program and all that it started, and wait until they are gone.

        The signal goes only to the program first, which ends its children. SIGKILL to all of them
        would leave their shared memory behind.
        """
        if self._process.returncode is not None:
            return  # by now, another process may have its process id
        for kill, each in ((os.kill, self._end), (os.killpg, signal.SIGKILL)):
            with suppress(ProcessLookupError):  # it has ended already
                kill(self._process.pid, each)
            if select.select([self._alive], [], [], _ENDS_WITHIN)[0]:
                break
        self._process.wait()


def _environment() -> dict[str, str]:
    """Return the environment without what configures a server or translates its log."""
    kept = {name: os.environ[name] for name in os.environ if not name.startswith(("PG", "LC_"))}
    # With TZ, initdb need not read all time zones to find out which one this machine uses.
    return {**kept, "LC_ALL": "C", "TZ": "Etc/UTC"}


def directory(
    user: User, stack: ExitStack, size: int = _ROOM, *, runs_programs: bool = False
) -> Path:
    """Make a directory, in memory if there is room; `stack` removes it at the end.

    The supervisor locks the directory while it runs; `sweep` removes unlocked ones.

    Args:
        user: the user who must reach it.
        stack: what removes it.
        size: the free space that it needs, in bytes.
        runs_programs: whether programs must be able to run from it.
    """
    free = {}
    for room in _rooms():
        status = os.statvfs(room)
        available = status.f_bavail * status.f_frsize
        free[str(room)] = f"{available / 2**20:.0f} MB free"
        fit = available >= size and os.access(room, os.W_OK | os.X_OK)
        if runs_programs and status.f_flag & getattr(os, "ST_NOEXEC", 0):
            fit = False
        if fit and user.reaches(room):
            made = Path(tempfile.mkdtemp(prefix=_NAME, dir=room))
            stack.callback(shutil.rmtree, made, ignore_errors=True)
            lock = os.open(made, os.O_RDONLY)
            stack.callback(os.close, lock)
            fcntl.flock(lock, fcntl.LOCK_EX)
            if user.other:
                made.chmod(0o711)  # the other user may go through it, but not list it
            return made
    seen = ", ".join(f"{room} ({text})" for room, text in free.items())
    raise FailedError(
        f"no directory is writable, can be used by the user who runs PostgreSQL and has "
        f"{size // 2**20} MB of room: {seen}. Make room, or set TMPDIR to another directory"
    )


def _rooms() -> list[Path]:
    candidates = [Path("/dev/shm"), Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp")]  # noqa: S108
    return [room for room in dict.fromkeys(candidates) if room.is_dir()]


def sweep() -> None:
    """Remove the directories that killed supervisors left behind.

    A young directory is left alone: its supervisor may not have locked it yet.
    """
    for found in (found for room in _rooms() for found in room.glob(f"{_NAME}*")):
        with suppress(OSError):
            status = found.lstat()
            if status.st_uid == os.geteuid() and status.st_mtime < time.time() - _ABANDONED_AFTER:
                lock = os.open(found, os.O_RDONLY | os.O_NOFOLLOW)
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(found, ignore_errors=True)
                finally:
                    os.close(lock)


def programs(order: dict[str, Any], user: User, stack: ExitStack) -> Path:
    """Return a directory of binaries that the user can run; copy the given one if necessary."""
    given = Path(order["bin"])
    if user.reaches(given) and user.reaches(given / "postgres"):
        return given
    root = Path(order["root"])
    files = [file for part in order["parts"] for file in _files(root / part)]
    size = sum(file.lstat().st_size for file in files)
    copy = directory(user, stack, _ROOM + size, runs_programs=True)
    for file in files:
        if select.select([_OWNER], [], [], 0)[0]:
            raise OwnerEndedError
        target = copy / file.relative_to(root)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(file, target, follow_symlinks=False)
    # The content of a directory first: root must not look for files below a directory that another
    # user owns.
    for path in sorted(copy.rglob("*"), reverse=True):
        user.own(path)
    return copy / given.relative_to(root)


def _files(directory: Path) -> Iterator[Path]:
    """Yield the files of a directory to copy; links to directories count as files."""
    left_out = shutil.ignore_patterns(*_NOT_COPIED)
    for place, directories, names in os.walk(directory):
        here = Path(place)
        links = [name for name in directories if (here / name).is_symlink()]
        directories[:] = set(directories) - left_out(place, directories)
        yield from (here / name for name in {*names, *links} - left_out(place, [*names, *links]))


def initialise(order: dict[str, Any], place: Path, bin_: Path, user: User) -> Path:
    """Create the cluster; return its directory."""
    data, password, log = place / "data", place / "password", place / "log"
    data.mkdir(mode=0o700)
    password.touch(mode=0o600)
    password.write_text(order["password"])
    user.own(data)
    user.own(password)
    command = [str(bin_ / "initdb"), "--pgdata", str(data), "--username=postgres"]
    command += ["--auth=scram-sha-256", "--pwfile", str(password), "--no-sync"]
    command += ["--encoding=UTF8", f"--locale={_locale()}"]
    # This writes 16 MB less, and makes max_wal_size 64 MB, which fits in memory.
    command += ["--wal-segsize=1"]
    child = Child(command, log, user, signal.SIGKILL)
    try:
        if child.ended() != 0:
            raise FailedError(f"initdb failed. Its last lines:\n{_last(log)}")
    finally:
        child.stop()
    password.unlink()
    # initdb's rules allow connections from loopback only. Allow all: the server listens at one
    # address. The file is not in `data`, because the other user could have put a link there.
    rules = place / "rules"
    rules.write_text("host all all all scram-sha-256\n")
    user.own(rules)
    return data


def _locale() -> str:
    """Return the locale of the official image, so that texts sort alike; C if it is missing."""
    for name in ("en_US.UTF-8", "C.UTF-8"):
        with suppress(locale.Error):
            locale.setlocale(locale.LC_ALL, name)
            return name
    return "C"


def serve(order: dict[str, Any], data: Path, bin_: Path, user: User) -> None:
    """Run the server until the owner ends.

    The free port may be taken before PostgreSQL listens there; then try the next.

    Raises:
        FailedError: the server ended by itself.
    """
    log = data.parent / "log"
    settings = [f"-c{name}={value}" for name, value in order["settings"].items()]
    settings += [f"-chba_file={data.parent / 'rules'}"]
    for _ in range(_PORTS_TRIED):
        port = _free_port(order["host"])
        beginning = log.stat().st_size
        command = [str(bin_ / "postgres"), "-D", str(data), f"-cport={port}", *settings]
        child = Child(command, log, user, signal.SIGQUIT)
        try:
            _report(port=port)
            child.ended()
        finally:
            child.stop()
        if b"Address already in use" not in log.read_bytes()[beginning:]:
            break
    raise FailedError(f"PostgreSQL ended. Its last lines:\n{_last(log)}")


def _free_port(host: str) -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def _last(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()[-_LAST_LINES:]
    return "\n".join(f"    {line}" for line in lines) or "    (nothing)"


def _report(**message: object) -> None:
    with suppress(BrokenPipeError):
        os.write(1, json.dumps(message).encode() + b"\n")


def main() -> None:
    """Carry out the order until the owner has ended."""
    os.umask(0o077)  # the log contains the tests' statements
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    order = json.loads(os.fdopen(_OWNER, "rb", buffering=0, closefd=False).readline() or "{}")
    with ExitStack() as stack, suppress(OwnerEndedError):
        try:
            if order:
                user = User()
                sweep()
                bin_ = programs(order, user, stack)
                place = directory(user, stack)
                serve(order, initialise(order, place, bin_, user), bin_, user)
        except (OSError, FailedError) as error:
            _report(failed=str(error))
            os.read(_OWNER, 1)


if __name__ == "__main__":
    main()
