"""The names of what a run creates on a server, and how to read them back."""

from __future__ import annotations

import hashlib
import re
import secrets

PREFIX = "pgherd_"
"""The name of every database that pgherd creates begins with this; it drops no other."""

SCHEMA = "pgherd"
"""The schema of the objects that pgherd adds to a template."""

_RUN_ID_BYTES = 4
_CLONE = re.compile(rf"{PREFIX}(?P<run>[0-9a-f]{{{2 * _RUN_ID_BYTES}}})_")
_TEMPLATE = re.compile(rf"{PREFIX}template_[0-9a-f]{{16}}")
# PostgreSQL silently cuts an identifier after 63 bytes (NAMEDATALEN - 1). Ten of them are left for
# the suffix of a spare: `_1` and so on.
_LONGEST = 63 - 10


def new_run_id() -> str:
    """Return a short random id for a run."""
    return secrets.token_hex(_RUN_ID_BYTES)


def template(*fingerprints: str) -> str:
    """Return the name of the template that these fingerprints describe."""
    return f"{PREFIX}template_{_digest(*fingerprints)}"


def clone(run_id: str, worker: str) -> str:
    """Return the name of a worker's clone. A worker's id may be any text (`--tx popen//id=…`).

    After the run's id, the name has no underscore, but the names of the worker's spares have one:
    `…_gw1_1`, `…_gw1_2`.
    """
    name = f"{clones_of(run_id)}{worker}"
    if len(name.encode()) <= _LONGEST and "_" not in worker:
        return name
    return f"{clones_of(run_id)}{_digest(worker)}"


def clones_of(run_id: str) -> str:
    """Return the prefix of the names of all clones of this run."""
    return f"{PREFIX}{run_id}_"


def run_of(database: str) -> str | None:
    """Return the run's id from a clone's name; None for any other database."""
    found = _CLONE.match(database)
    return found["run"] if found else None


def is_template(database: str) -> bool:
    """Whether a database has the name of a template."""
    return _TEMPLATE.fullmatch(database) is not None


def use_of(template: str) -> str:
    """Return the name of the lock that a run holds while it may clone the template."""
    return f"use of {template}"


def lock_key(name: str) -> int:
    """Turn a lock's name into the key of an advisory lock: a signed 64-bit number."""
    digest = hashlib.sha256(f"{PREFIX}{name}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


def _digest(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]
