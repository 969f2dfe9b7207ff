"""Migrations: what turns an empty database into the template."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sysconfig
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import psycopg2

from pgherd.errors import UsageError
from pgherd.postgres import libpq
from pgherd.postgres.address import Address

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pgherd.postgres.address import Database


class Migrations(Protocol):
    """What a project's fixture `pg_migrations` returns: any object with these two methods."""

    def fingerprint(self) -> str:
        """Return a text that changes whenever the result of `apply` would change."""

    def apply(self, url: str) -> None:
        """Migrate the empty database at this `postgresql://` URL. pgherd shows what it raises."""


@dataclass(frozen=True)
class NoMigrations:
    """Leave the database empty: the default of `pg_migrations`."""

    def fingerprint(self) -> str:
        """Return a constant."""
        return "none"

    def apply(self, url: str) -> None:
        """Do nothing."""


@dataclass(frozen=True)
class SqlFiles:
    """Migrations by SQL files; see `sql_files`."""

    paths: tuple[Path, ...]

    def fingerprint(self) -> str:
        """Return a digest of the files' names and contents.

        Raises:
            UsageError: a file does not exist, or a directory has no SQL file.
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
    """Migrations by another program; see `command`."""

    line: str
    inputs: tuple[Path, ...]
    variable: str

    def fingerprint(self) -> str:
        """Return the command line, its variable, and a digest of each input.

        Raises:
            UsageError: an input does not exist.
        """
        digests = [fingerprint_of(_files(path, "**/*"), path) for path in self.inputs]
        return "\0".join([self.line, self.variable, *digests])

    def apply(self, url: str) -> None:
        """Run the command with the database's URL, and libpq's variables, in its environment."""
        server = Address.from_url(url)
        database = server.database(server.maintenance)
        environment = libpq.environment_without_variables() | database.environ()
        finished = subprocess.run(
            self.line,
            shell=True,
            check=False,
            env={**environment, "PATH": _path(), self.variable: url},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
        )
        if finished.returncode:
            raise RuntimeError(
                f"{self.line!r} ended with code {finished.returncode}:\n{finished.stdout}"
            )


def sql_files(*paths: str | Path) -> SqlFiles:
    """Migrate by running SQL files.

    Each file runs unchanged, in its own transaction. For a file that needs psql, such
    as a dump with `COPY … FROM stdin`, use `command`.

    Args:
        *paths: files, and directories whose `*.sql` files are run in the order of their names.
    """
    return SqlFiles(tuple(Path(path) for path in paths))


def command(line: str, *, inputs: Sequence[str | Path], variable: str = "DATABASE_URL") -> Command:
    """Migrate by a shell command, such as `alembic upgrade head`.

    The command finds the database in the environment: its URL in the variable that `variable`
    names, and its parts in libpq's variables PGHOST, PGPORT, PGUSER, PGPASSWORD and PGDATABASE. So
    psql and pg_restore need no argument, and the password does not show in a list of processes.
    Programs of pytest's virtual environment are found even if it is not activated.

    Args:
        line: the command line for the shell.
        inputs: the files and directories that the result depends on. When one of them changes,
            pgherd builds the template again.
        variable: the environment variable in which the command finds the database's URL.
    """
    return Command(line, tuple(Path(path) for path in inputs), variable)


def fingerprint_of(paths: Iterable[Path], root: Path | None = None) -> str:
    """Return a digest of files: their contents, and their names or, with a root, paths below it."""
    digest = hashlib.sha256()
    for path in paths:
        content = path.read_bytes()
        name = path.name if root in {None, path} else path.relative_to(root).as_posix()
        digest.update(f"{name}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


# What psql understands and the server does not: commands with a backslash, and data in the file.
_NEEDS_PSQL = re.compile(r"^(\\\w|COPY\s.*\sFROM\s+stdin)", re.MULTILINE | re.IGNORECASE)
_PSQL_HINT = (
    "\nThis file needs psql, as dumps of pg_dump do. Use pgherd.command instead: "
    "command('psql -v ON_ERROR_STOP=1 -f dump.sql', inputs=['dump.sql'])"
)


def _path() -> str:
    """Return PATH with the directory of the programs that are installed with this Python."""
    scripts = sysconfig.get_path("scripts")
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    return os.pathsep.join(folders if scripts in folders else [scripts, *folders])


def _run(path: Path, database: Database) -> None:
    """Run an SQL file; ignore the byte order mark with which some editors begin a file."""
    try:
        with closing(database.connect()) as connection, connection:
            connection.cursor().execute(path.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError as error:
        raise RuntimeError(f"{path} is not encoded in UTF-8: {error}. Convert the file") from error
    except psycopg2.Error as error:
        # An error without a code comes from psycopg2: the file has comments but no statement.
        if error.pgcode is not None or not isinstance(error, psycopg2.ProgrammingError):
            hint = _PSQL_HINT if _NEEDS_PSQL.search(path.read_text(encoding="utf-8-sig")) else ""
            raise RuntimeError(f"{path}: {str(error).rstrip()}{hint}") from error


def _files(path: Path, pattern: str) -> list[Path]:
    if path.is_file():
        return [path]
    found = sorted(file for file in path.glob(pattern) if _counts(file))
    if not found:
        raise UsageError(
            f"migrations: {path.absolute()} is neither a file nor a directory with {pattern}. "
            + (
                "Name the directory instead of a pattern"
                if "*" in path.name
                else "If this depends on where pytest is started, write in conftest.py: "
                f'Path(__file__).parent / "{path.name}"'
            )
        )
    return found


def _counts(file: Path) -> bool:
    """Whether the file counts: not `__pycache__`, which differs between machines."""
    return file.is_file() and "__pycache__" not in file.parts
