"""The note on a template, which the server's list of databases shows, and later runs read.

It is a comment on the database, which only its owner may write, and which a clone does not have.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from psycopg2 import sql

from pgherd.statements import FIRST_OF_USER

if TYPE_CHECKING:
    from psycopg2.extensions import connection

_TEXT = "pgherd: {relations} relations, last used {used}"
_WRITTEN = re.compile(_TEXT.format(relations=r"(\d+)", used=r"(\S+)"))

# By the server's clock, which is one for all machines; as text it sorts as time does.
_NOW = """to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""

# What takes a lock of its own when all of a schema is looked at.
_RELATIONS = """
SELECT count(*) FROM pg_class JOIN pg_namespace AS space ON space.oid = relnamespace
WHERE relkind IN ('r', 'p', 'm', 'i', 'I', 'S') AND nspname !~ '^pg_'
 AND pg_class.oid >= %s
"""


class Note(NamedTuple):
    """What is noted on a template."""

    relations: int
    """How many tables, indexes and sequences it has."""
    used: str
    """When a run last asked for it."""


def read(link: connection, name: str) -> Note | None:
    """Read the note on a template; None where there is none of ours."""
    with link.cursor() as cursor:
        cursor.execute(
            "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = %s",
            [name],
        )
        text = "".join(row[0] or "" for row in cursor.fetchall())
    found = _WRITTEN.fullmatch(text)
    return Note(int(found[1]), found[2]) if found else None


def write(link: connection, name: str, relations: int) -> None:
    """Note that a template is used now, and how many relations it has."""
    with link.cursor() as cursor:
        cursor.execute(f"SELECT {_NOW}")
        ((now,),) = cursor.fetchall()
        text = _TEXT.format(relations=relations, used=now)
        cursor.execute(
            sql.SQL("COMMENT ON DATABASE {} IS {}").format(sql.Identifier(name), sql.Literal(text))
        )


def relations(inside: connection) -> int:
    """Count the tables, indexes and sequences of the database that a connection leads to."""
    with inside.cursor() as cursor:
        cursor.execute(_RELATIONS, [FIRST_OF_USER])
        ((number,),) = cursor.fetchall()
        return int(number)
