"""The names of what a run makes on a server, and how to read them back."""

from __future__ import annotations

import hashlib
import re
import secrets

PREFIX = "pgherd_"
"""Every database that pgherd makes has a name that begins so; it drops no other."""

SCHEMA = "pgherd"
"""The schema of what pgherd adds to a template, and to nothing else."""

_RUN_BYTES = 4
_CLONE = re.compile(rf"{PREFIX}(?P<run>[0-9a-f]{{{2 * _RUN_BYTES}}})_")
_TEMPLATE = re.compile(rf"{PREFIX}template_[0-9a-f]{{16}}")
# PostgreSQL cuts longer identifiers off silently (NAMEDATALEN - 1 bytes). Ten of them are for what
# follows the name of a clone in those of its spares: `_1` and so on.
_LONGEST = 63 - 10


def new_run() -> str:
    """Make the short random id of a run."""
    return secrets.token_hex(_RUN_BYTES)


def template(*fingerprints: str) -> str:
    """Name the template that what these fingerprints stand for turns into."""
    return f"{PREFIX}template_{_digest(*fingerprints)}"


def clone(run: str, worker: str) -> str:
    """Name a worker's clone. The id of a worker may be any text (`--tx popen//id=…`).

    No name goes on after an underscore: so do the names of what else that worker makes.
    """
    name = f"{clones_of(run)}{worker}"
    if len(name.encode()) <= _LONGEST and "_" not in worker:
        return name
    return f"{clones_of(run)}{_digest(worker)}"


def clones_of(run: str) -> str:
    """Give what the names of all clones of this run begin with, and of no other."""
    return f"{PREFIX}{run}_"


def run_of(database: str) -> str | None:
    """Read the run's id out of a clone's name; None for any other database."""
    found = _CLONE.match(database)
    return found["run"] if found else None


def is_template(database: str) -> bool:
    """Say whether a database has a name like those that `template` gives."""
    return _TEMPLATE.fullmatch(database) is not None


def use_of(template: str) -> str:
    """Name the lock that a run holds for as long as it may clone the template."""
    return f"use of {template}"


def lock_key(name: str) -> int:
    """Turn a name into the key of an advisory lock: a signed 64-bit number."""
    digest = hashlib.sha256(f"{PREFIX}{name}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


def _digest(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]
