"""Migrations: what turns an empty database into a current one."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sysconfig
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import psycopg2

from pgherd.address import Address
from pgherd.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pgherd.address import Database


class Migrations(Protocol):
    """What a project's `pg_migrations` fixture gives; any object with these two methods will do."""

    def fingerprint(self) -> str:
        """Give a text that changes whenever `apply` would make something else."""

    def apply(self, url: str) -> None:
        """Migrate the empty database at this `postgresql://` URL. Whatever it raises is shown."""


@dataclass(frozen=True)
class NoMigrations:
    """Leave the database empty: what a project gets that overrides nothing."""

    def fingerprint(self) -> str:
        """Give the same text each time."""
        return "none"

    def apply(self, url: str) -> None:
        """Do nothing."""


@dataclass(frozen=True)
class SqlFiles:
    """Run files of SQL; `sql_files` makes one."""

    paths: tuple[Path, ...]

    def fingerprint(self) -> str:
        """Give a digest of the files' names and contents.

        Raises:
            UsageError: there is no such file, or no SQL in the directory.
        """
        return fingerprint_of(self._files())

    def apply(self, url: str) -> None:
        """Run each file in a transaction of its own."""
        server = Address.from_url(url)
        for path in self._files():
            _run(path, server.database(server.maintenance))

    def _files(self) -> list[Path]:
        return [file for path in self.paths for file in _files(path, "*.sql")]


@dataclass(frozen=True)
class Command:
    """Run another program; `command` makes one."""

    line: str
    inputs: tuple[Path, ...]
    variable: str

    def fingerprint(self) -> str:
        """Give the command line, its variable, and a digest of each of its inputs.

        Raises:
            UsageError: one of the inputs does not exist.
        """
        digests = [fingerprint_of(_files(path, "**/*"), path) for path in self.inputs]
        return "\0".join([self.line, self.variable, *digests])

    def apply(self, url: str) -> None:
        """Run the command with the database's URL in its environment."""
        done = subprocess.run(
            self.line,
            shell=True,
            check=False,
            env={**os.environ, "PATH": _path(), self.variable: url},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
        )
        if done.returncode:
            raise RuntimeError(f"{self.line!r} ended with code {done.returncode}:\n{done.stdout}")


def sql_files(*paths: str | Path) -> SqlFiles:
    """Migrate by running files of SQL, in this order; a directory stands for its `*.sql`, sorted.

    Each file is sent to the server as it is, in one transaction. What only psql understands, such
    as a dump with its `COPY … FROM stdin`, is for `command`.
    """
    return SqlFiles(tuple(Path(path) for path in paths))


def command(line: str, *, inputs: Sequence[str | Path], variable: str = "DATABASE_URL") -> Command:
    """Migrate by a shell command, such as `alembic upgrade head`.

    Programs installed beside pytest are found, though its virtual environment is not activated.

    Args:
        line: what the shell is given.
        inputs: the files and directories that decide what the command does. The template is
            built anew when one of them changes.
        variable: the environment variable that tells the command the database's URL.
    """
    return Command(line, tuple(Path(path) for path in inputs), variable)


def fingerprint_of(paths: Iterable[Path], root: Path | None = None) -> str:
    """Give a digest of the names and contents of files; names below the root are paths from it."""
    digest = hashlib.sha256()
    for path in paths:
        content = path.read_bytes()
        name = path.name if root in {None, path} else path.relative_to(root).as_posix()
        digest.update(f"{name}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def _path() -> str:
    """Give where the shell looks for programs, with where those of this Python are installed."""
    scripts = sysconfig.get_path("scripts")
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    return os.pathsep.join(folders if scripts in folders else [scripts, *folders])


def _run(path: Path, database: Database) -> None:
    """Run a file of SQL. An editor may have begun it with a byte order mark, as psql allows."""
    try:
        with closing(database.connect()) as link, link:
            link.cursor().execute(path.read_text(encoding="utf-8-sig"))
    except psycopg2.Error as error:
        # An error without a code is psycopg2's own: the file has no statement, only comments.
        if error.pgcode is not None or not isinstance(error, psycopg2.ProgrammingError):
            raise RuntimeError(f"{path}: {str(error).rstrip()}") from error


def _files(path: Path, pattern: str) -> list[Path]:
    if path.is_file():
        return [path]
    found = sorted(file for file in path.glob(pattern) if _counts(file))
    if not found:
        raise UsageError(
            f"migrations: there is no file {path.absolute()}, nor any {pattern} in it. If that "
            f'depends on where pytest is started, write: Path(__file__).parent / "{path.name}"'
        )
    return found


def _counts(file: Path) -> bool:
    """Leave out what Python writes by itself: it differs from machine to machine."""
    return file.is_file() and "__pycache__" not in file.parts
