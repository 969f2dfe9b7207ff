"""Generate into the template the function that undoes what a test did to a clone.

It is written for the schema that it finds, as static SQL, so that the server keeps its plans. It
lives in a schema of its own, with all that it needs, and every clone has it.
"""

from __future__ import annotations

import hashlib
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psycopg2 import sql

from pgherd.naming import SCHEMA

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from psycopg2.extensions import connection, cursor

    from pgherd.address import Database

# The first object identifier that is not of the server's own making:
# FirstNormalObjectId in PostgreSQL's src/include/access/transam.h.
_FIRST_OF_USER = 16384

# How many relations are asked at once whether one of them changed: the fewer questions, the faster,
# and the more relations, the more are asked again when one did.
_ASKED_AT_ONCE = 32

# A seeded table with more rows than this is not read to find out whether it changed, nor restored.
_MANY_ROWS = 1000

# A table whose file has more bytes than this after it was cleared is handed out for a VACUUM.
_BLOATED = 4 * 8192

_DATABASE = "(SELECT oid FROM pg_database WHERE datname = current_database())"

# Whoever else is in the middle of something, in this database. A failed transaction has no start,
# only its state: https://www.postgresql.org/docs/current/monitoring-stats.html
_BUSY = f"""
EXISTS (SELECT FROM pg_stat_get_activity(NULL) AS client
        WHERE datid = {_DATABASE} AND pid <> pg_backend_pid() AND backend_type = 'client backend'
          AND (client.xact_start IS NOT NULL OR client.state LIKE 'idle in transaction%'))
OR EXISTS (SELECT FROM pg_lock_status()
           WHERE locktype = 'advisory' AND database = {_DATABASE} AND pid <> pg_backend_pid())
OR EXISTS (SELECT FROM pg_prepared_xact() AS prepared WHERE dbid = {_DATABASE})
"""

# The names of this function's variables are ones that no column has.
_FUNCTION = """
CREATE FUNCTION {schema}.reset(OUT state text, OUT bloated text[]) LANGUAGE plpgsql
SET search_path = pg_catalog AS $reset$
DECLARE
  pgherd_in_place boolean := current_setting('session_replication_role') = 'replica';
  pgherd_since xid;
BEGIN
  IF {busy} THEN
    state := 'busy';
    RETURN;
  END IF;
  state := 'changed';
  IF {changed} THEN
    RETURN;
  END IF;
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

_MOVED = """
EXISTS (SELECT FROM {sequence} WHERE last_value <> {last} OR is_called <> {called})
"""
_REWIND = f"""
IF {_MOVED} THEN
  PERFORM setval({{id}}::regclass, {{last}}, {{called}});
END IF;
"""

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

# What belongs to a database, but is kept outside of it. CREATE DATABASE copies none of it, whatever
# the template has, so that a new clone has none:
# https://www.postgresql.org/docs/current/manage-ag-templatedbs.html
_DATABASE_CHANGED = f"""
EXISTS (SELECT FROM pg_db_role_setting WHERE setdatabase = {_DATABASE})
OR EXISTS (SELECT FROM pg_shdescription
           WHERE objoid = {_DATABASE} AND classoid = 'pg_database'::regclass)
OR EXISTS (SELECT FROM pg_database WHERE datname = current_database()
           AND (datacl IS NOT NULL OR datconnlimit <> -1
                OR pg_get_userbyid(datdba) <> session_user))
"""

# What an event trigger is not told of: large objects, other event triggers, and which index CLUSTER
# used.
_OF_USER = f"oid >= {_FIRST_OF_USER}"
_WITHOUT_EVENTS = {
    "pg_largeobject_metadata": "true",
    "pg_largeobject": "true",
    "pg_event_trigger": "true",
    "pg_index": "indisclustered",
}

# Only a superuser may make event triggers. For others, all that a schema is made of: a catalog, and
# which of its rows count. A row that was written anew has another xmin, so that their number and
# the sum of them tell every change. Temporary tables are no change: they end with their connection.
_TEMPORARY = "(SELECT oid FROM pg_namespace WHERE nspname ~ '^pg_(toast_)?temp_[0-9]+$')"
_TEMPORARY_TABLES = f"(SELECT oid FROM pg_class WHERE {_OF_USER} AND relnamespace IN {_TEMPORARY})"
_CATALOGS = {
    **{name: counted for name, counted in _WITHOUT_EVENTS.items() if name != "pg_largeobject"},
    "pg_namespace": f"oid NOT IN {_TEMPORARY}",
    "pg_class": f"{_OF_USER} AND relnamespace NOT IN {_TEMPORARY}",
    "pg_attribute": f"attrelid >= {_FIRST_OF_USER} AND attrelid NOT IN {_TEMPORARY_TABLES}",
    "pg_attrdef": f"adrelid >= {_FIRST_OF_USER} AND adrelid NOT IN {_TEMPORARY_TABLES}",
    "pg_inherits": f"inhrelid NOT IN {_TEMPORARY_TABLES}",
    "pg_type": f"{_OF_USER} AND typnamespace NOT IN {_TEMPORARY}",
    "pg_constraint": f"{_OF_USER} AND connamespace NOT IN {_TEMPORARY}",
    "pg_description": f"objoid >= {_FIRST_OF_USER} OR classoid = 'pg_namespace'::regclass",
    "pg_depend": f"objid >= {_FIRST_OF_USER} AND objid NOT IN {_TEMPORARY_TABLES}",
    "pg_seclabel": f"objoid >= {_FIRST_OF_USER}",
    "pg_enum": "true",
    "pg_ts_config_map": f"mapcfg >= {_FIRST_OF_USER}",
    "pg_publication_rel": "true",
    "pg_publication_namespace": "true",
} | dict.fromkeys(
    (
        *("pg_proc", "pg_trigger", "pg_rewrite", "pg_policy", "pg_language", "pg_extension"),
        *("pg_operator", "pg_opclass", "pg_opfamily", "pg_am", "pg_cast", "pg_conversion"),
        *("pg_transform", "pg_collation", "pg_statistic_ext", "pg_default_acl", "pg_publication"),
        *("pg_ts_config", "pg_ts_dict", "pg_ts_parser", "pg_ts_template"),
        *("pg_foreign_data_wrapper", "pg_foreign_server"),
    ),
    _OF_USER,
)
_SHAPE = """
CREATE FUNCTION {schema}.shape() RETURNS numeric[] LANGUAGE plpgsql SET search_path = pg_catalog
AS $shape$ BEGIN RETURN ARRAY[{sums}]; END $shape$
"""
# The catalog of their pages is not everybody's to read, large objects one by one are.
_LARGE_OBJECTS = """
(SELECT sum(hashtextextended(encode(lo_get(oid), 'hex'), 0)) FROM pg_largeobject_metadata)
"""
_SUM = "(SELECT count(*) * 2::numeric ^ 80 + sum(xmin::text::numeric) FROM {} WHERE {})"
_OTHER_SHAPE = f"""
{_DATABASE_CHANGED} OR {{schema}}.shape() IS DISTINCT FROM (SELECT shape FROM {{schema}}.frozen)
"""
_NOTED = " OR EXISTS (SELECT FROM {schema}.noted)"

# Each change of the schema is noted, in the transaction that makes it, so that a rollback takes the
# note back. `ALWAYS`: also where session_replication_role is set.
_NOTE = """
CREATE TABLE {schema}.noted (tag text);
CREATE FUNCTION {schema}.note() RETURNS event_trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog AS $note$
DECLARE
  lasting boolean := CASE TG_EVENT
    WHEN 'sql_drop' THEN
      EXISTS (SELECT FROM pg_event_trigger_dropped_objects() WHERE NOT is_temporary)
    ELSE EXISTS (SELECT FROM pg_event_trigger_ddl_commands()
                 WHERE schema_name IS DISTINCT FROM 'pg_temp')
    END;
BEGIN
  IF lasting THEN
    INSERT INTO {schema}.noted VALUES (TG_TAG);
  END IF;
END
$note$;
CREATE EVENT TRIGGER pgherd_ddl ON ddl_command_end EXECUTE FUNCTION {schema}.note();
ALTER EVENT TRIGGER pgherd_ddl ENABLE ALWAYS;
CREATE EVENT TRIGGER pgherd_drop ON sql_drop EXECUTE FUNCTION {schema}.note();
ALTER EVENT TRIGGER pgherd_drop ENABLE ALWAYS;
"""


def fingerprint() -> str:
    """Give a text that changes whenever `install` would make something else."""
    return hashlib.sha256(Path(__file__).read_bytes()).hexdigest()


def install(database: Database) -> None:
    """Generate the function for a database as it is now.

    Its last act is to remember the shape of the whole, its own tables included.
    """
    with closing(database.connect()) as link:
        with link, link.cursor() as run:
            # Commits that are not flushed yet keep VACUUM from marking their rows' pages
            # all-visible; this one's flush takes those before it along.
            run.execute("SET synchronous_commit = on")
            superuser = link.get_parameter_status("is_superuser") == "on"
            run.execute(f"CREATE SCHEMA {SCHEMA}; CREATE TABLE {SCHEMA}.seed (id oid, since xid)")
            generator = _Generator(run, map_readable=superuser and _visibility(run))
            body = sql.SQL("").join(generator.body())
            if superuser:
                run.execute(_formatted(_NOTE))
            sums = [*_sums(run, _WITHOUT_EVENTS if superuser else _CATALOGS)]
            if not superuser:
                sums.append(sql.SQL(_LARGE_OBJECTS))
            run.execute(_formatted(_SHAPE, sums=_joined(", ", sums)))
            changed = _formatted(_OTHER_SHAPE + (_NOTED if superuser else ""))
            busy = sql.SQL(_BUSY)
            run.execute(_formatted(_FUNCTION, busy=busy, changed=changed, body=body))
            run.execute(f"CREATE TABLE {SCHEMA}.frozen (shape numeric[])")
            run.execute(f"INSERT INTO {SCHEMA}.frozen SELECT {SCHEMA}.shape()")
            if superuser:
                run.execute(f"TRUNCATE {SCHEMA}.noted")
        _vacuum(link, generator.large)


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
        for oid, *names in _rows(self._run, _RELATIONS, "r", _FIRST_OF_USER, SCHEMA):
            table = _Table(self._run, oid, names)
            (seeded if table.rows else empty).append(table)
        yield from self._asked_in_groups(_HAS_ROWS, [(t.parts, self._clear(t)) for t in empty])
        yield from self._asked_in_groups(_MOVED, list(self._sequences()))
        yield from (self._restore(table) for table in seeded)

    def _asked_in_groups(
        self, question: str, relations: list[tuple[dict[str, sql.Composable], str]]
    ) -> Iterator[sql.Composable]:
        for start in range(0, len(relations), _ASKED_AT_ONCE):
            group = relations[start : start + _ASKED_AT_ONCE]
            yield _formatted(
                _IF_ANY,
                conditions=_joined(" OR ", (_formatted(question, **parts) for parts, _ in group)),
                actions=_joined("", (_formatted(action, **parts) for parts, action in group)),
            )

    def _clear(self, table: _Table) -> str:
        return f"IF {_HAS_ROWS} THEN RETURN; END IF;" if table.fires_always else _CLEAR

    def _sequences(self) -> Iterator[tuple[dict[str, sql.Composable], str]]:
        for oid, *names in _rows(self._run, _RELATIONS, "S", _FIRST_OF_USER, SCHEMA):
            sequence = sql.Identifier(*names)
            self._run.execute(sql.SQL("SELECT last_value, is_called FROM {}").format(sequence))
            ((last, called),) = self._run.fetchall()
            ((cached,),) = _rows(self._run, _CACHED, oid)
            values = {"id": oid, "last": last, "called": called}
            literals = {key: sql.Literal(value) for key, value in values.items()}
            yield {"sequence": sequence, **literals}, _RETURN_IF_MOVED if cached else _REWIND

    def _restore(self, table: _Table) -> sql.Composable:
        self._run.execute(
            f"INSERT INTO {SCHEMA}.seed VALUES (%s, pg_current_xact_id()::xid)", [table.oid]
        )
        if table.rows > _MANY_ROWS or table.fires_always:
            self.large.append(table.parts["table"])
            condition = _MANY_CHANGED if self._map_readable else _MANY_COUNTED
            return _formatted(f"IF {condition} THEN RETURN; END IF;", **table.parts)
        copy = sql.Identifier(SCHEMA, f"seed_{table.oid}")
        self._run.execute(
            sql.SQL("CREATE TABLE {} AS SELECT * FROM ONLY {}").format(copy, table.parts["table"])
        )
        names = [sql.Identifier(name) for (name,) in _rows(self._run, _COLUMNS, table.oid)]
        columns = _joined(", ", names)
        # A table may have no column, or none but generated ones: then there is no list of them.
        target = sql.SQL("({}) OVERRIDING SYSTEM VALUE" if names else "").format(columns)
        return _formatted(_RESTORE, copy=copy, target=target, columns=columns, **table.parts)


class _Table:
    """A table as it is in the template."""

    def __init__(self, run: cursor, oid: int, names: list[str]) -> None:
        self.oid = oid
        table = sql.Identifier(*names)
        ((self.rows, size, block, file),) = _rows(
            run, _formatted(_FACTS, id=sql.Literal(oid), table=table)
        )
        ((self.fires_always,),) = _rows(run, _FIRES_ALWAYS, oid, oid)
        values = {"id": oid, "rows": self.rows, "size": size, "block": block, "file": file}
        self.parts: dict[str, sql.Composable] = {
            "table": table,
            "name": sql.Literal(table.as_string(run)),
            **{key: sql.Literal(value) for key, value in values.items()},
        }


def _visibility(run: cursor) -> bool:
    """Have the functions that read the visibility map, if the server has the extension."""
    name = "pg_visibility"
    known = _rows(run, "SELECT FROM pg_available_extensions WHERE name = %s", name)
    mine = known and not _rows(run, "SELECT FROM pg_extension WHERE extname = %s", name)
    if mine:
        run.execute(f"CREATE EXTENSION {name} SCHEMA {SCHEMA}")
    return bool(mine)


def _vacuum(link: connection, tables: Iterable[sql.Composable]) -> None:
    """Mark the pages of large tables all-visible; VACUUM cannot run in a transaction block."""
    link.autocommit = True
    with link.cursor() as run:
        for table in tables:
            run.execute(sql.SQL("VACUUM {}").format(table))


def _sums(run: cursor, catalogs: dict[str, str]) -> Iterator[sql.Composable]:
    """Sum up each catalog that this version of the server has."""
    known = {name for (name,) in _rows(run, "SELECT relname FROM pg_class WHERE relkind = 'r'")}
    for catalog, counted in catalogs.items():
        if catalog in known:
            yield sql.SQL(_SUM).format(sql.Identifier(catalog), sql.SQL(counted))


def _formatted(statement: str, **parts: sql.Composable) -> sql.Composable:
    return sql.SQL(statement).format(schema=sql.Identifier(SCHEMA), **parts)


def _joined(separator: str, parts: Iterable[sql.Composable]) -> sql.Composable:
    return sql.SQL(separator).join(list(parts))


def _rows(run: cursor, query: str | sql.Composable, *values: object) -> list[tuple[Any, ...]]:
    run.execute(query, values or None)
    return run.fetchall()
