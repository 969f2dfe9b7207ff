"""The comment on a template: how big its schema is, and when a run last used it.

Each run reads it to check the server's locks, and to drop the oldest templates.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pgherd.postgres import databases
from pgherd.postgres.sqltext import FIRST_OF_USER

if TYPE_CHECKING:
    from psycopg2.extensions import connection

_TEXT = "pgherd: {relations} relations, last used {used}"
_PATTERN = re.compile(_TEXT.format(relations=r"(\d+)", used=r"(\S+)"))

# The server's clock is the same for all machines. As text, these times sort by age.
_NOW = """to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""

# The relations that a reset may lock: an upper limit.
_RELATIONS = """
SELECT count(*) FROM pg_class JOIN pg_namespace AS space ON space.oid = relnamespace
WHERE relkind IN ('r', 'p', 'm', 'i', 'I', 'S') AND nspname !~ '^pg_'
 AND pg_class.oid >= %s
"""


@dataclass(frozen=True)
class Comment:
    """What the comment on a template says."""

    relations: int
    """How many tables, indexes and sequences the template has."""
    used: str
    """When a run last used the template."""


def read(connection: connection, name: str) -> Comment | None:
    """Read the comment on a template; None if pgherd wrote none."""
    found = _PATTERN.fullmatch(databases.comment_of(connection, name))
    return Comment(int(found[1]), found[2]) if found else None


def write(connection: connection, name: str, relations: int) -> None:
    """Record that a template is used now, and how many relations it has."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {_NOW}")
        ((now,),) = cursor.fetchall()
    databases.comment(connection, name, _TEXT.format(relations=relations, used=now))


def count_relations(connection: connection) -> int:
    """Count the tables, indexes and sequences of the database of this connection."""
    with connection.cursor() as cursor:
        cursor.execute(_RELATIONS, [FIRST_OF_USER])
        ((number,),) = cursor.fetchall()
        return int(number)
