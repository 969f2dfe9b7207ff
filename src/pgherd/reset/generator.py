"""The generator: write the reset function, `pgherd.reset()`, into the template.

The function is static SQL for the tables and sequences of this template, so that the server caches
its plans. It lives in the schema `pgherd`, with all that it needs, and every clone has it.
"""

from __future__ import annotations

import hashlib
import logging
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import psycopg2
from psycopg2 import sql

from pgherd.postgres import sqltext
from pgherd.postgres.naming import SCHEMA
from pgherd.postgres.sqltext import FIRST_OF_USER, formatted, joined, rows
from pgherd.reset import schema_guard
from pgherd.reset.schema_guard import CatalogSumGuard, EventTriggerGuard

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg2.extensions import connection, cursor

    from pgherd.postgres.address import Database

log = logging.getLogger("pgherd")

# How many tables or sequences one condition checks. Bigger groups mean fewer conditions, but more
# tables to check again one by one if one of the group has changed.
_GROUP_SIZE = 32

# A seeded table is one that has rows in the template. If it has more rows than this, the reset
# does not restore it. To detect changes, it reads the visibility map, or all rows if the server
# lacks the extension pg_visibility.
_MANY_ROWS = 1000

# If a table's file has more bytes than this after its rows were deleted, the caller vacuums it.
_BLOATED = 4 * 8192

# Other clients of this database, and those that block the reset. An aborted transaction has no
# xact_start, so check the state too:
# https://www.postgresql.org/docs/current/monitoring-stats.html
# The lock table is read only if there are other clients: reading it takes four times as long as all
# other checks together.
_OTHER_CLIENTS = """
EXISTS (SELECT FROM pg_stat_get_activity(NULL) AS client
        WHERE datid = pgherd_database AND pid <> pg_backend_pid()
          AND backend_type = 'client backend')
"""
_BLOCKED = """
EXISTS (SELECT FROM pg_stat_get_activity(NULL) AS client
        WHERE datid = pgherd_database AND pid <> pg_backend_pid()
          AND backend_type = 'client backend'
          AND (client.xact_start IS NOT NULL OR client.state LIKE 'idle in transaction%'
               -- With track_activities = off, only the lock shows the transaction.
               OR client.state = 'disabled' AND client.pid IN (
                 SELECT pid FROM pg_lock_status() WHERE locktype = 'virtualxid')))
OR EXISTS (SELECT FROM pg_lock_status()
           WHERE locktype = 'advisory' AND database = pgherd_database AND pid <> pg_backend_pid())
"""
_PREPARED_TRANSACTION = (
    "EXISTS (SELECT FROM pg_prepared_xact() AS prepared WHERE dbid = pgherd_database)"
)

# The function's own variables have names that no column has. A column may have the name of an OUT
# parameter (`state`, `bloated`), or of PL/pgSQL's variable FOUND. With `use_column`, such a name
# means the column:
# https://www.postgresql.org/docs/current/plpgsql-implementation.html#PLPGSQL-VAR-SUBST
_FUNCTION = """
CREATE FUNCTION {schema}.reset(OUT state text, OUT bloated text[]) LANGUAGE plpgsql
SET search_path = pg_catalog AS $reset$
#variable_conflict use_column
DECLARE
  pgherd_database oid := (SELECT oid FROM pg_database WHERE datname = current_database());
  pgherd_in_place boolean := current_setting('session_replication_role') = 'replica';
  pgherd_since xid;
BEGIN
  state := 'busy';
  IF {prepared_transaction} THEN RETURN; END IF;
  IF {other_clients} THEN
    IF {blocked} THEN RETURN; END IF;
  END IF;
  state := 'changed';
  IF {changed} THEN RETURN; END IF;
  {body}
  state := 'pristine';
END
$reset$
"""

_IF_ANY = """
IF {conditions} THEN
  IF NOT pgherd_in_place THEN RETURN; END IF;
  {actions}
END IF;
"""

_HAS_ROWS = "EXISTS (SELECT FROM ONLY {table})"
_CLEAR = f"""
IF {_HAS_ROWS} THEN
  DELETE FROM ONLY {{table}};
  IF pg_relation_size({{id}}) > {_BLOATED} THEN bloated := bloated || {{name}}::text; END IF;
END IF;
"""

# A sequence is a relation of one row, so checking it takes as long as checking a table.
_MOVED = """
EXISTS (SELECT FROM {sequence} WHERE last_value <> {last} OR is_called <> {called})
"""
_REWIND = f"""
IF {_MOVED} THEN
  PERFORM setval({{id}}::regclass, {{last}}, {{called}});
END IF;
"""
_ALL = """
ROWS FROM (unnest({ids}::oid[]), unnest({lasts}::bigint[]), unnest({calleds}::boolean[]))
  AS sequence (id, last, called)
"""
# One query that checks many sequences is faster, and needs no plan for each. Before PostgreSQL 18,
# pg_sequence_last_value returns null for a sequence that was set and not called since, so it is
# used only for sequences that had been called:
# https://www.postgresql.org/docs/17/view-pg-sequences.html
_WHICH_MOVED = f"""
FROM {_ALL} WHERE pg_sequence_last_value(sequence.id::regclass) IS DISTINCT FROM sequence.last
"""
_WHICH_MOVED_SINCE_18 = f"""
FROM {_ALL}, pg_get_sequence_data(sequence.id::regclass) AS now
WHERE (now.last_value, now.is_called) IS DISTINCT FROM (sequence.last, sequence.called)
"""
_SEQUENCE_DATA_SINCE = 180000
_REWIND_ALL = """
IF EXISTS (SELECT {which}) THEN
  IF NOT pgherd_in_place THEN RETURN; END IF;
  PERFORM setval(sequence.id::regclass, sequence.last, sequence.called) {which};
END IF;
"""

_STATE = "SELECT last_value, is_called FROM {sequence}"
# A connection that stays open goes on using the values that it cached before the reset. So if a
# sequence with CACHE has moved, the clone is replaced.
_CACHED = "SELECT seqcache > 1 FROM pg_sequence WHERE seqrelid = %s"
_RETURN_IF_MOVED = f"IF {_MOVED} THEN RETURN; END IF;"

# `seed.since` is the transaction that copied the seeded rows. They are unchanged if their number is
# the same and no xmin is newer: an update writes a new row version, with the xmin of its
# transaction. A restore writes new rows, so it sets `since` to its own transaction.
_RESTORE = f"""
SELECT seed.since INTO STRICT pgherd_since FROM {{schema}}.seed WHERE seed.id = {{id}};
IF (SELECT count(*) FILTER (WHERE age(t.xmin) >= age(pgherd_since)) <> {{rows}}
           OR count(*) <> {{rows}} FROM ONLY {{table}} AS t) THEN
  IF NOT pgherd_in_place THEN RETURN; END IF;
  DELETE FROM ONLY {{table}};
  INSERT INTO {{table}} {{target}} SELECT {{columns}} FROM {{copy}};
  UPDATE {{schema}}.seed SET since = pg_current_xact_id()::xid WHERE seed.id = {{id}};
  IF pg_relation_size({{id}}) > {{size}} + {_BLOATED} THEN
    bloated := bloated || {{name}}::text;
  END IF;
END IF;
"""

# For a table that the reset does not restore, it reads the visibility map. VACUUM marked every page
# all-visible in the template, and INSERT, UPDATE and DELETE clear the mark of their page:
# https://www.postgresql.org/docs/current/storage-vm.html
# A VACUUM in the clone would set the marks again, so it counts as a change. COPY FREEZE after
# TRUNCATE fills the table with marked pages, but TRUNCATE gives the table a new file, so the file's
# number is compared, too. A crash empties an unlogged table, so its size is compared.
_MANY_CHANGED = """
pg_relation_filenode({id}) <> {file}
OR pg_relation_size({id}) <> {size}
OR (SELECT all_visible FROM {schema}.pg_visibility_map_summary({id})) * {block}
   <> pg_relation_size({id})
OR pg_stat_get_vacuum_count({id}) + pg_stat_get_autovacuum_count({id}) > 0
OR pg_stat_get_db_stat_reset_time(pgherd_database) IS NOT NULL
"""
# The rows are counted without the extension pg_visibility, before PostgreSQL 15, whose statistics
# arrive late, and from 19 on, where a query may set the marks as well.
_MAP_RELIABLE = range(150000, 190000)
_MANY_COUNTED = """
(SELECT count(*) FILTER (WHERE age(t.xmin) >= age(seed.since)) <> {rows} OR count(*) <> {rows}
 FROM ONLY {table} AS t, {schema}.seed WHERE seed.id = {id})
"""

_FACTS = """
SELECT count(*), pg_relation_size({id}), current_setting('block_size')::int,
  pg_relation_filenode({id})
FROM ONLY {table}
"""

# A trigger or rule that also fires in the replica role would fire while a table is restored.
_FIRES_ALWAYS = """
SELECT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = %s AND tgenabled IN ('A', 'R'))
    OR EXISTS (SELECT FROM pg_rewrite WHERE ev_class = %s AND ev_enabled IN ('A', 'R'))
"""

_RELATIONS = """
SELECT c.oid, n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = %s AND c.relpersistence <> 't' AND c.oid >= %s AND n.nspname <> %s
ORDER BY c.oid
"""
# The tables that the reset perhaps does not restore: those whose file is big enough for many rows,
# and those with a trigger or rule that would fire.
_NOT_RESTORED = f"""
SELECT c.oid, n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND c.oid >= %s AND n.nspname <> %s
  AND (pg_relation_size(c.oid) > {_MANY_ROWS} * 24
    OR EXISTS (SELECT FROM pg_trigger WHERE tgrelid = c.oid AND tgenabled IN ('A', 'R'))
    OR EXISTS (SELECT FROM pg_rewrite WHERE ev_class = c.oid AND ev_enabled IN ('A', 'R')))
"""
# The project's event triggers must not see pgherd's objects: one could refuse them, or log them.
_WITHOUT_EVENT_TRIGGERS = """
SELECT set_config(CASE WHEN current_setting('event_triggers', true) IS NULL
  THEN 'session_replication_role' ELSE 'event_triggers' END,
  CASE WHEN current_setting('event_triggers', true) IS NULL THEN 'replica' ELSE 'off' END, false)
"""
_NOT_ALL_VISIBLE = "SELECT FROM pg_class WHERE oid = %s AND relallvisible < relpages"
# Generated columns are left out: PostgreSQL computes them, and refuses other values.
_COLUMNS = """
SELECT attname FROM pg_attribute
WHERE attrelid = %s AND attnum > 0 AND NOT attisdropped AND attgenerated = '' ORDER BY attnum
"""


def fingerprint() -> str:
    """Return a digest of the source files that define what `install` writes."""
    digest = hashlib.sha256()
    for source in (__file__, schema_guard.__file__, sqltext.__file__):
        digest.update(Path(source).read_bytes())
    return digest.hexdigest()


def install(database: Database) -> None:
    """Write the function for a database as it is now.

    Args:
        database: the migrated database that becomes the template.
    """
    with closing(database.connect()) as connection:
        _begin(connection)
        with connection, connection.cursor() as cursor:
            superuser = connection.get_parameter_status("is_superuser") == "on"
            generator = _Generator(cursor, has_visibility=superuser and _add_visibility(cursor))
            body = joined("", generator.body())
            guard = (EventTriggerGuard if superuser else CatalogSumGuard)(cursor)
            conditions = {
                "other_clients": sql.SQL(_OTHER_CLIENTS),
                "blocked": sql.SQL(_BLOCKED),
                "prepared_transaction": sql.SQL(_PREPARED_TRANSACTION),
                "changed": guard.changed(),
            }
            cursor.execute(formatted(_FUNCTION, **conditions, body=body))
            guard.remember()


def _vacuum(cursor: cursor, table: sql.Composable, mode: str = "") -> None:
    """Vacuum a table, if that is possible; else every change of it means a new clone.

    VACUUM FULL builds indexes again, with a search path that a function of an index may not expect.
    """
    try:
        cursor.execute(sql.SQL(f"VACUUM {mode}{{}}").format(table))
    except psycopg2.Error:
        log.debug("VACUUM failed", exc_info=True)


class _Sequence(NamedTuple):
    """A sequence as it is in the template."""

    name: sql.Composable
    id: int
    last: int
    called: bool
    cached: bool

    @property
    def parts(self) -> dict[str, sql.Composable]:
        """The values to fill into a statement about it."""
        values = {"id": self.id, "last": self.last, "called": self.called}
        return {"sequence": self.name, **{key: sql.Literal(each) for key, each in values.items()}}


class _Generator:
    """The writer of the statements that reset the tables and sequences of a database."""

    def __init__(self, cursor: cursor, *, has_visibility: bool) -> None:
        self._cursor = cursor
        self._has_visibility = has_visibility

    def body(self) -> Iterator[sql.Composable]:
        """Yield what clears empty tables, rewinds sequences and restores seeded tables."""
        empty: list[_Table] = []
        seeded: list[_Table] = []
        for oid, *names in rows(self._cursor, _RELATIONS, "r", FIRST_OF_USER, SCHEMA):
            table = _Table(self._cursor, oid, names)
            (seeded if table.rows else empty).append(table)
        yield from self._grouped(_HAS_ROWS, [(t.parts, self._clear(t)) for t in empty])
        yield from self._rewind(list(self._sequences()))
        yield from (self._restore(table) for table in seeded)

    def _grouped(
        self, condition: str, relations: list[tuple[dict[str, sql.Composable], str]]
    ) -> Iterator[sql.Composable]:
        for start in range(0, len(relations), _GROUP_SIZE):
            group = relations[start : start + _GROUP_SIZE]
            yield formatted(
                _IF_ANY,
                conditions=joined(" OR ", (formatted(condition, **parts) for parts, _ in group)),
                actions=joined("", (formatted(action, **parts) for parts, action in group)),
            )

    def _clear(self, table: _Table) -> str:
        return f"IF {_HAS_ROWS} THEN RETURN; END IF;" if table.fires_always else _CLEAR

    def _rewind(self, sequences: list[_Sequence]) -> Iterator[sql.Composable]:
        has_data = self._cursor.connection.server_version >= _SEQUENCE_DATA_SINCE
        at_once = [each for each in sequences if not each.cached and (each.called or has_data)]
        if at_once:
            columns = {
                "ids": [each.id for each in at_once],
                "lasts": [each.last for each in at_once],
                "calleds": [each.called for each in at_once],
            }
            arrays = {name: sql.Literal(values) for name, values in columns.items()}
            which = formatted(_WHICH_MOVED_SINCE_18 if has_data else _WHICH_MOVED, **arrays)
            yield formatted(_REWIND_ALL, which=which)
        singly = [each for each in sequences if each not in at_once]
        yield from self._grouped(
            _MOVED, [(s.parts, _RETURN_IF_MOVED if s.cached else _REWIND) for s in singly]
        )

    def _sequences(self) -> Iterator[_Sequence]:
        for oid, *names in rows(self._cursor, _RELATIONS, "S", FIRST_OF_USER, SCHEMA):
            name = sql.Identifier(*names)
            [(last, called)] = rows(self._cursor, formatted(_STATE, sequence=name))
            [(cached,)] = rows(self._cursor, _CACHED, oid)
            yield _Sequence(name, oid, last, called, cached)

    def _restore(self, table: _Table) -> sql.Composable:
        self._cursor.execute(
            f"INSERT INTO {SCHEMA}.seed VALUES (%s, pg_current_xact_id()::xid)", [table.oid]
        )
        if table.rows > _MANY_ROWS or table.fires_always:
            condition = _MANY_CHANGED if self._has_visibility else _MANY_COUNTED
            return formatted(f"IF {condition} THEN RETURN; END IF;", **table.parts)
        copy = sql.Identifier(SCHEMA, f"seed_{table.oid}")
        self._cursor.execute(
            sql.SQL("CREATE TABLE {} AS SELECT * FROM ONLY {}").format(copy, table.parts["table"])
        )
        names = [sql.Identifier(name) for (name,) in rows(self._cursor, _COLUMNS, table.oid)]
        columns = joined(", ", names)
        # A table may have only generated columns, or none at all; then there is no list of columns.
        target = sql.SQL("({}) OVERRIDING SYSTEM VALUE" if names else "").format(columns)
        return formatted(_RESTORE, copy=copy, target=target, columns=columns, **table.parts)


class _Table:
    """A table as it is in the template."""

    def __init__(self, cursor: cursor, oid: int, names: list[str]) -> None:
        self.oid = oid
        table = sql.Identifier(*names)
        ((self.rows, size, block, file),) = rows(
            cursor, formatted(_FACTS, id=sql.Literal(oid), table=table)
        )
        ((self.fires_always,),) = rows(cursor, _FIRES_ALWAYS, oid, oid)
        values = {"id": oid, "rows": self.rows, "size": size, "block": block, "file": file}
        self.parts: dict[str, sql.Composable] = {
            "table": table,
            "name": sql.Literal(table.as_string(cursor)),
            **{key: sql.Literal(value) for key, value in values.items()},
        }


def _add_visibility(cursor: cursor) -> bool:
    """Add the extension pg_visibility to the schema `pgherd`; return whether it was added.

    If the project has already added the extension, a second copy is impossible.
    """
    if cursor.connection.server_version not in _MAP_RELIABLE:
        return False
    name = "pg_visibility"
    available = rows(cursor, "SELECT FROM pg_available_extensions WHERE name = %s", name)
    if not available or rows(cursor, "SELECT FROM pg_extension WHERE extname = %s", name):
        return False
    cursor.execute(f"CREATE EXTENSION {name} SCHEMA {SCHEMA}")
    return True


def _begin(connection: connection) -> None:
    """Create the schema `pgherd`, and mark the pages of some tables all-visible.

    VACUUM cannot run in a transaction block. It marks a page only after the commit of its rows is
    flushed. `synchronous_commit = on` makes CREATE SCHEMA flush its own commit and all earlier
    ones.

    From PostgreSQL 16 on, COPY and CREATE TABLE AS leave empty pages at the end of a table, which
    VACUUM never marks. VACUUM FULL writes the table again without them.
    """
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("SET synchronous_commit = on")
        if connection.get_parameter_status("is_superuser") == "on":
            cursor.execute(_WITHOUT_EVENT_TRIGGERS)
        cursor.execute(f"CREATE SCHEMA {SCHEMA}")
        cursor.execute(f"CREATE TABLE {SCHEMA}.seed (id oid, since xid)")
        for oid, *names in rows(cursor, _NOT_RESTORED, FIRST_OF_USER, SCHEMA):
            table = sql.Identifier(*names)
            _vacuum(cursor, table)
            if rows(cursor, _NOT_ALL_VISIBLE, oid):
                _vacuum(cursor, table, "FULL ")
                _vacuum(cursor, table)
    connection.autocommit = False
