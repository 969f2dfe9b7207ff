"""Generate into the template the function that undoes what a test did to a clone.

It is written for the schema that it finds, as static SQL, so that the server keeps its plans. It
lives in a schema of its own, with all that it needs, and every clone has it.
"""

from __future__ import annotations

import hashlib
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from psycopg2 import sql

from pgherd import shape, statements
from pgherd.naming import SCHEMA
from pgherd.shape import NotedShape, SummedShape
from pgherd.statements import FIRST_OF_USER, formatted, joined, rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from psycopg2.extensions import connection, cursor

    from pgherd.address import Database

# How many relations are asked at once whether one of them changed: the fewer questions, the faster,
# and the more relations, the more are asked again when one did.
_ASKED_AT_ONCE = 32

# A seeded table with more rows than this is not read to find out whether it changed, nor restored.
_MANY_ROWS = 1000

# A table whose file has more bytes than this after it was cleared is handed out for a VACUUM.
_BLOATED = 4 * 8192

# Whoever else is in the middle of something, in this database. A failed transaction has no start,
# only its state: https://www.postgresql.org/docs/current/monitoring-stats.html
# The table of locks is looked at only where there is somebody to hold one: it takes four times as
# long as all else that is asked.
_OTHERS = """
EXISTS (SELECT FROM pg_stat_get_activity(NULL) AS client
        WHERE datid = pgherd_database AND pid <> pg_backend_pid()
          AND backend_type = 'client backend')
"""
_BUSY = """
EXISTS (SELECT FROM pg_stat_get_activity(NULL) AS client
        WHERE datid = pgherd_database AND pid <> pg_backend_pid()
          AND backend_type = 'client backend'
          AND (client.xact_start IS NOT NULL OR client.state LIKE 'idle in transaction%'))
OR EXISTS (SELECT FROM pg_lock_status()
           WHERE locktype = 'advisory' AND database = pgherd_database AND pid <> pg_backend_pid())
"""
_PREPARED = "EXISTS (SELECT FROM pg_prepared_xact() AS prepared WHERE dbid = pgherd_database)"

# The names of this function's own variables are ones that no column has. Those of its results, and
# FOUND, a column may have, and then it is the column that is meant:
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
  IF {prepared} THEN RETURN; END IF;
  IF {others} THEN
    IF {busy} THEN RETURN; END IF;
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

# A sequence is a relation of one row, which takes as long to ask as a table. A function that is
# given many of them is quicker, and needs no plan for each.
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
# Before version 18, the function is silent of one that was not called since it was set, so it is
# asked only of those that had been:
# https://www.postgresql.org/docs/17/view-pg-sequences.html
_WHICH_MOVED = f"""
FROM {_ALL} WHERE pg_sequence_last_value(sequence.id::regclass) IS DISTINCT FROM sequence.last
"""
_WHICH_MOVED_SINCE_18 = f"""
FROM {_ALL}, pg_get_sequence_data(sequence.id::regclass) AS now
WHERE (now.last_value, now.is_called) IS DISTINCT FROM (sequence.last, sequence.called)
"""
_TELLS_ALL_SINCE = 180000
_REWIND_ALL = """
IF EXISTS (SELECT {which}) THEN
  IF NOT pgherd_in_place THEN RETURN; END IF;
  PERFORM setval(sequence.id::regclass, sequence.last, sequence.called) {which};
END IF;
"""

_STATE = "SELECT last_value, is_called FROM {sequence}"
# A connection that stays open goes on with the values that it has taken in advance.
_CACHED = "SELECT seqcache > 1 FROM pg_sequence WHERE seqrelid = %s"
_RETURN_IF_MOVED = f"IF {_MOVED} THEN RETURN; END IF;"

# The seeded rows are as they were while each has an xmin that is not younger than the copy's, and
# none is missing: an update writes a new row version, with the xmin of whoever wrote it. After
# they have been restored, "as they were" starts from the transaction that did so.
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

# Of many rows only the visibility map is read: every page was marked all-visible when the template
# was vacuumed, and whoever inserts, updates or deletes on a page clears its mark:
# https://www.postgresql.org/docs/current/storage-vm.html
# A VACUUM would set it again, so one that happened in the clone counts as a change. TRUNCATE leaves
# no page without a mark, and COPY FREEZE after it marks its own: but the table has another file.
_MANY_CHANGED = """
pg_relation_filenode({id}) <> {file}
OR (SELECT all_visible FROM {schema}.pg_visibility_map_summary({id})) * {block}
   <> pg_relation_size({id})
OR pg_stat_get_vacuum_count({id}) + pg_stat_get_autovacuum_count({id}) > 0
"""
# Where the extension is not to be had, they are counted.
_MANY_COUNTED = """
(SELECT count(*) FILTER (WHERE age(t.xmin) >= age(seed.since)) <> {rows} OR count(*) <> {rows}
 FROM ONLY {table} AS t, {schema}.seed WHERE seed.id = {id})
"""

_FACTS = """
SELECT count(*), pg_relation_size({id}), current_setting('block_size')::int,
  pg_relation_filenode({id})
FROM ONLY {table}
"""

# A trigger or rule that also fires for replicas would have its say when a table is undone.
_FIRES_ALWAYS = """
SELECT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = %s AND tgenabled IN ('A', 'R'))
    OR EXISTS (SELECT FROM pg_rewrite WHERE ev_class = %s AND ev_enabled IN ('A', 'R'))
"""

_RELATIONS = """
SELECT c.oid, n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = %s AND c.relpersistence <> 't' AND c.oid >= %s AND n.nspname <> %s
ORDER BY c.oid
"""
# Generated columns are left out: PostgreSQL fills them in, and refuses anything else.
_COLUMNS = """
SELECT attname FROM pg_attribute
WHERE attrelid = %s AND attnum > 0 AND NOT attisdropped AND attgenerated = '' ORDER BY attnum
"""


def fingerprint() -> str:
    """Give a text that changes whenever `install` would make something else."""
    digest = hashlib.sha256()
    for source in (__file__, shape.__file__, statements.__file__):
        digest.update(Path(source).read_bytes())
    return digest.hexdigest()


def install(database: Database) -> None:
    """Generate the function for a database as it is now."""
    with closing(database.connect()) as link:
        with link, link.cursor() as run:
            # Commits that are not flushed yet keep VACUUM from marking their rows' pages
            # all-visible; this one's flush takes those before it along.
            run.execute("SET synchronous_commit = on")
            superuser = link.get_parameter_status("is_superuser") == "on"
            run.execute(f"CREATE SCHEMA {SCHEMA}; CREATE TABLE {SCHEMA}.seed (id oid, since xid)")
            generator = _Generator(run, map_readable=superuser and _visibility(run))
            body = joined("", generator.body())
            now = (NotedShape if superuser else SummedShape)(run)
            conditions = {"others": _OTHERS, "busy": _BUSY, "prepared": _PREPARED}
            asked = {name: sql.SQL(condition) for name, condition in conditions.items()}
            run.execute(formatted(_FUNCTION, **asked, changed=now.changed(), body=body))
            now.remember()
        _vacuum(link, generator.large)


class _Sequence(NamedTuple):
    """A sequence as it is in the template."""

    name: sql.Composable
    id: int
    last: int
    called: bool
    cached: bool

    @property
    def parts(self) -> dict[str, sql.Composable]:
        """What is written into statements about it."""
        values = {"id": self.id, "last": self.last, "called": self.called}
        return {"sequence": self.name, **{key: sql.Literal(each) for key, each in values.items()}}


class _Generator:
    """The statements that undo one schema, and what was learned while they were written."""

    def __init__(self, run: cursor, *, map_readable: bool) -> None:
        self._run = run
        self._map_readable = map_readable
        self.large: list[sql.Composable] = []

    def body(self) -> Iterator[sql.Composable]:
        """Undo each table and sequence."""
        empty: list[_Table] = []
        seeded: list[_Table] = []
        for oid, *names in rows(self._run, _RELATIONS, "r", FIRST_OF_USER, SCHEMA):
            table = _Table(self._run, oid, names)
            (seeded if table.rows else empty).append(table)
        yield from self._asked_in_groups(_HAS_ROWS, [(t.parts, self._clear(t)) for t in empty])
        yield from self._rewind(list(self._sequences()))
        yield from (self._restore(table) for table in seeded)

    def _asked_in_groups(
        self, question: str, relations: list[tuple[dict[str, sql.Composable], str]]
    ) -> Iterator[sql.Composable]:
        for start in range(0, len(relations), _ASKED_AT_ONCE):
            group = relations[start : start + _ASKED_AT_ONCE]
            yield formatted(
                _IF_ANY,
                conditions=joined(" OR ", (formatted(question, **parts) for parts, _ in group)),
                actions=joined("", (formatted(action, **parts) for parts, action in group)),
            )

    def _clear(self, table: _Table) -> str:
        return f"IF {_HAS_ROWS} THEN RETURN; END IF;" if table.fires_always else _CLEAR

    def _rewind(self, sequences: list[_Sequence]) -> Iterator[sql.Composable]:
        tells_all = self._run.connection.server_version >= _TELLS_ALL_SINCE
        told = [each for each in sequences if not each.cached and (each.called or tells_all)]
        if told:
            columns = {
                "ids": [each.id for each in told],
                "lasts": [each.last for each in told],
                "calleds": [each.called for each in told],
            }
            arrays = {name: sql.Literal(values) for name, values in columns.items()}
            which = formatted(_WHICH_MOVED_SINCE_18 if tells_all else _WHICH_MOVED, **arrays)
            yield formatted(_REWIND_ALL, which=which)
        asked = [each for each in sequences if each not in told]
        yield from self._asked_in_groups(
            _MOVED, [(s.parts, _RETURN_IF_MOVED if s.cached else _REWIND) for s in asked]
        )

    def _sequences(self) -> Iterator[_Sequence]:
        for oid, *names in rows(self._run, _RELATIONS, "S", FIRST_OF_USER, SCHEMA):
            name = sql.Identifier(*names)
            [(last, called)] = rows(self._run, formatted(_STATE, sequence=name))
            [(cached,)] = rows(self._run, _CACHED, oid)
            yield _Sequence(name, oid, last, called, cached)

    def _restore(self, table: _Table) -> sql.Composable:
        self._run.execute(
            f"INSERT INTO {SCHEMA}.seed VALUES (%s, pg_current_xact_id()::xid)", [table.oid]
        )
        if table.rows > _MANY_ROWS or table.fires_always:
            self.large.append(table.parts["table"])
            condition = _MANY_CHANGED if self._map_readable else _MANY_COUNTED
            return formatted(f"IF {condition} THEN RETURN; END IF;", **table.parts)
        copy = sql.Identifier(SCHEMA, f"seed_{table.oid}")
        self._run.execute(
            sql.SQL("CREATE TABLE {} AS SELECT * FROM ONLY {}").format(copy, table.parts["table"])
        )
        names = [sql.Identifier(name) for (name,) in rows(self._run, _COLUMNS, table.oid)]
        columns = joined(", ", names)
        # A table may have no column, or none but generated ones: then there is no list of them.
        target = sql.SQL("({}) OVERRIDING SYSTEM VALUE" if names else "").format(columns)
        return formatted(_RESTORE, copy=copy, target=target, columns=columns, **table.parts)


class _Table:
    """A table as it is in the template."""

    def __init__(self, run: cursor, oid: int, names: list[str]) -> None:
        self.oid = oid
        table = sql.Identifier(*names)
        ((self.rows, size, block, file),) = rows(
            run, formatted(_FACTS, id=sql.Literal(oid), table=table)
        )
        ((self.fires_always,),) = rows(run, _FIRES_ALWAYS, oid, oid)
        values = {"id": oid, "rows": self.rows, "size": size, "block": block, "file": file}
        self.parts: dict[str, sql.Composable] = {
            "table": table,
            "name": sql.Literal(table.as_string(run)),
            **{key: sql.Literal(value) for key, value in values.items()},
        }


def _visibility(run: cursor) -> bool:
    """Have the functions that read the visibility map, if the server has the extension."""
    name = "pg_visibility"
    known = rows(run, "SELECT FROM pg_available_extensions WHERE name = %s", name)
    mine = known and not rows(run, "SELECT FROM pg_extension WHERE extname = %s", name)
    if mine:
        run.execute(f"CREATE EXTENSION {name} SCHEMA {SCHEMA}")
    return bool(mine)


def _vacuum(link: connection, tables: Iterable[sql.Composable]) -> None:
    """Mark the pages of large tables all-visible; VACUUM cannot run in a transaction block."""
    link.autocommit = True
    with link.cursor() as run:
        for table in tables:
            run.execute(sql.SQL("VACUUM {}").format(table))
