"""The program that holds the lifeline of an embedded server: it runs it, and ends it.

It is run by its path, `python -I -S supervisor.py`, and imports nothing but the standard library.
The owner holds the other end of its standard input: the first line is the order, and end-of-file
means that the owner has ended, however it did. What the owner is told comes on the standard output,
each time one line of JSON: `{"port": 40123}`, or `{"failed": "why"}`.
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

_OWNER = 0  # standard input
_NAME = "pgherd-embedded-"
_ROOM = 512 * 2**20
_LAST_LINES = 15
_PORTS_TRIED = 5
_ENDS_WITHIN = 6.0  # after 5 s PostgreSQL itself kills what does not follow
_READ_AND_SEARCH = 0o005
_PROC = Path("/proc/self")
# https://man7.org/linux/man-pages/man7/capabilities.7.html
_CAPABILITIES = {"CHOWN": 0, "DAC_OVERRIDE": 1, "KILL": 5, "SETGID": 6, "SETUID": 7}
_NEEDED = f"the capabilities {', '.join(_CAPABILITIES)}"
_NOT_RUN = ("*.a", "include", "doc", "man", "locale", "pgxs")
_ABANDONED_AFTER = 60.0
# https://man7.org/linux/man-pages/man2/PR_SET_PDEATHSIG.2const.html
_PR_SET_PDEATHSIG = 1


class LetGoError(Exception):
    """The owner has ended, or wants no more."""


class FailedError(Exception):
    """PostgreSQL cannot be run here."""


def _is_mapped(uid: int) -> bool:
    """Say whether there is such a user in our user namespace, which may have root alone."""
    ranges = _PROC.joinpath("uid_map").read_text().splitlines() if _PROC.exists() else ["0 0 65536"]
    firsts = [tuple(int(number) for number in each.split()) for each in ranges]
    return any(first <= uid < first + count for first, _, count in firsts)


def _may_become_another() -> bool:
    """Say whether root has what it takes to run a program as somebody else, and to clean up."""
    if not _PROC.exists():
        return True
    status = _PROC.joinpath("status").read_text()
    has = int(status.partition("CapEff:")[2].split()[0], 16)
    return all(has >> number & 1 for number in _CAPABILITIES.values())


class User:
    """Who runs PostgreSQL, which refuses root: this user, or another one if this one is root."""

    def __init__(self) -> None:
        self.other: dict[str, Any] = {}
        if os.geteuid() == 0:
            known = {entry.pw_name: entry for entry in pwd.getpwall() if _is_mapped(entry.pw_uid)}
            chosen = known.get("postgres") or known.get("nobody")
            if chosen is None or not _may_become_another():
                raise FailedError(
                    "PostgreSQL refuses to be run by root, and root may run it neither as the user "
                    f"`postgres` nor as `nobody` here. In a container, add {_NEEDED} "
                    "(cap_add), or run the tests as another user"
                )
            self.other = {"user": chosen.pw_uid, "group": chosen.pw_gid, "extra_groups": []}

    def own(self, path: Path) -> None:
        """Make a file or directory of ours theirs."""
        if self.other:
            os.chown(path, self.other["user"], self.other["group"], follow_symlinks=False)

    def reaches(self, path: Path) -> bool:
        """Say whether they may read this, and go through all directories above it."""
        return not self.other or (
            all(parent.stat().st_mode & 0o001 for parent in path.parents)
            and path.stat().st_mode & _READ_AND_SEARCH == _READ_AND_SEARCH
        )


class Child:
    """A program that is waited for together with the owner, and that does not outlive us.

    The program and all that it starts hold the writing end of a pipe: its end-of-file says that
    the last of them is gone.
    """

    def __init__(self, command: list[str], log: Path, user: User, end: signal.Signals) -> None:
        self._end = end
        self._alive, held = os.pipe()
        libc = ctypes.CDLL(None)

        def follow_us() -> None:
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
                preexec_fn=follow_us,  # noqa: PLW1509 (there are no threads here)
                **user.other,
            )
        os.close(held)

    def ended(self) -> int:
        """Wait until it has ended; give its status.

        Raises:
            LetGoError: the owner has ended before.
        """
        if _OWNER in select.select([_OWNER, self._alive], [], [])[0]:
            raise LetGoError
        return self._process.wait()

    def stop(self) -> None:
        """End it, and wait until all of it is gone.

        First the program alone, which ends what it has started: killed at once, those would leave
        the memory that they share.
        """
        if self._process.returncode is not None:
            return  # its process id may be another's by now
        for kill, each in ((os.kill, self._end), (os.killpg, signal.SIGKILL)):
            with suppress(ProcessLookupError):  # it is gone already
                kill(self._process.pid, each)
            if select.select([self._alive], [], [], _ENDS_WITHIN)[0]:
                break
        self._process.wait()


def _environment() -> dict[str, str]:
    """Keep what finds libraries; drop what would set up a server or translate its log."""
    kept = {name: os.environ[name] for name in os.environ if not name.startswith(("PG", "LC_"))}
    # Told its time zone, initdb does not read all that there are to find out which it is.
    return {**kept, "LC_ALL": "C", "TZ": "Etc/UTC"}


def directory(
    user: User, stack: ExitStack, size: int = _ROOM, *, runs_programs: bool = False
) -> Path:
    """Make a directory of ours, in memory if there is room; it is removed at the end.

    It is locked for as long as we live, so that whoever finds it unlocked may remove it.
    """
    seen = {}
    for room in _rooms():
        told = os.statvfs(room)
        seen[str(room)] = f"{told.f_bavail * told.f_frsize / 2**20:.0f} MB free"
        fit = told.f_bavail * told.f_frsize >= size and os.access(room, os.W_OK | os.X_OK)
        if runs_programs and told.f_flag & getattr(os, "ST_NOEXEC", 0):
            fit = False
        if fit and user.reaches(room):
            made = Path(tempfile.mkdtemp(prefix=_NAME, dir=room))
            stack.callback(shutil.rmtree, made, ignore_errors=True)
            lock = os.open(made, os.O_RDONLY)
            stack.callback(os.close, lock)
            fcntl.flock(lock, fcntl.LOCK_EX)
            if user.other:
                made.chmod(0o711)  # whoever runs PostgreSQL goes through it, and cannot list it
            return made
    raise FailedError(
        f"no directory is writable and has {size // 2**20} MB of room: {seen}. "
        "Make room, or name another one in TMPDIR"
    )


def _rooms() -> list[Path]:
    candidates = [Path("/dev/shm"), Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp")]  # noqa: S108
    return [room for room in dict.fromkeys(candidates) if room.is_dir()]


def sweep() -> None:
    """Remove what was left by those of us that were killed.

    A young one may belong to somebody who has not come to locking it.
    """
    for found in (found for room in _rooms() for found in room.glob(f"{_NAME}*")):
        with suppress(OSError):
            seen = found.lstat()
            if seen.st_uid == os.geteuid() and seen.st_mtime < time.time() - _ABANDONED_AFTER:
                lock = os.open(found, os.O_RDONLY | os.O_NOFOLLOW)
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(found, ignore_errors=True)
                finally:
                    os.close(lock)


def programs(order: dict[str, Any], user: User, stack: ExitStack) -> Path:
    """Give the directory of binaries that the user can run: a copy, if they are a home's."""
    given = Path(order["bin"])
    if user.reaches(given) and user.reaches(given / "postgres"):
        return given
    root = Path(order["root"])
    files = [file for part in order["parts"] for file in _files(root / part)]
    size = sum(file.lstat().st_size for file in files)
    copy = directory(user, stack, _ROOM + size, runs_programs=True)
    for file in files:
        if select.select([_OWNER], [], [], 0)[0]:
            raise LetGoError
        target = copy / file.relative_to(root)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(file, target, follow_symlinks=False)
    # What is below a directory first: nothing of ours is looked for below what another user owns.
    for path in sorted(copy.rglob("*"), reverse=True):
        user.own(path)
    return copy / given.relative_to(root)


def _files(directory: Path) -> Iterator[Path]:
    """List what has to be copied of a directory; links to directories are files here."""
    left_out = shutil.ignore_patterns(*_NOT_RUN)
    for place, directories, names in os.walk(directory):
        here = Path(place)
        links = [name for name in directories if (here / name).is_symlink()]
        directories[:] = set(directories) - left_out(place, directories)
        yield from (here / name for name in {*names, *links} - left_out(place, [*names, *links]))


def initialise(order: dict[str, Any], place: Path, bin_: Path, user: User) -> Path:
    """Make the cluster; give its directory."""
    data, password, log = place / "data", place / "password", place / "log"
    data.mkdir(mode=0o700)
    password.touch(mode=0o600)
    password.write_text(order["password"])
    user.own(data)
    user.own(password)
    command = [str(bin_ / "initdb"), "--pgdata", str(data), "--username=postgres"]
    command += ["--auth=scram-sha-256", "--pwfile", str(password), "--no-sync"]
    command += ["--encoding=UTF8", f"--locale={_locale()}"]
    # A cluster of 16 MB less to write; and with it comes max_wal_size=64MB, which fits in memory.
    command += ["--wal-segsize=1"]
    child = Child(command, log, user, signal.SIGKILL)
    try:
        if child.ended() != 0:
            raise FailedError(f"initdb failed. Its last lines:\n{_last(log)}")
    finally:
        child.stop()
    password.unlink()
    # initdb admits loopback only; whom else there is, the address decides that it listens on.
    # Nothing of ours is written below what another user owns, who could lead us away by a link.
    rules = place / "rules"
    rules.write_text("host all all all scram-sha-256\n")
    user.own(rules)
    return data


def _locale() -> str:
    """Choose what the official image has, so that texts sort alike; where there is none, C."""
    for name in ("en_US.UTF-8", "C.UTF-8"):
        with suppress(locale.Error):
            locale.setlocale(locale.LC_ALL, name)
            return name
    return "C"


def serve(order: dict[str, Any], data: Path, bin_: Path, user: User) -> None:
    """Run the server until the owner lets go.

    Nobody can reserve a port for another program, so one that was free a moment ago may be taken.

    Raises:
        FailedError: it ended by itself.
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
            _tell(port=port)
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


def _tell(**word: object) -> None:
    with suppress(BrokenPipeError):
        os.write(1, json.dumps(word).encode() + b"\n")


def main() -> None:
    """Do what the order says, until the owner has ended."""
    os.umask(0o077)  # the log has what the tests' statements have
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    order = json.loads(os.fdopen(_OWNER, "rb", buffering=0, closefd=False).readline() or "{}")
    with ExitStack() as stack, suppress(LetGoError):
        try:
            if order:
                user = User()
                sweep()
                bin_ = programs(order, user, stack)
                place = directory(user, stack)
                serve(order, initialise(order, place, bin_, user), bin_, user)
        except (OSError, FailedError) as error:
            _tell(failed=str(error))
            os.read(_OWNER, 1)


if __name__ == "__main__":
    main()
