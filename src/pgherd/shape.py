"""The shape of a database, which is all but its rows, and how a change of it is noticed.

A change of the shape is not undone: the clone is replaced. Event triggers note each change as it is
made; where only a superuser could have made them, and nobody is, the catalogs are summed up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg2 import sql

from pgherd.statements import FIRST_OF_USER, THIS_DATABASE, formatted, joined, rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg2.extensions import cursor

# What belongs to a database, but is kept outside of it. A clone is given the template's settings;
# it has none of the rest, whatever the template has, because CREATE DATABASE does not copy it:
# https://www.postgresql.org/docs/current/manage-ag-templatedbs.html
_SETTINGS = (
    "(SELECT setconfig FROM pg_db_role_setting WHERE setdatabase = {database} AND setrole = 0)"
)
_DATABASE_CHANGED = """
{settings} IS DISTINCT FROM {template_settings}::text[]
OR EXISTS (SELECT FROM pg_db_role_setting WHERE setdatabase = pgherd_database AND setrole <> 0)
OR EXISTS (SELECT FROM pg_shdescription
           WHERE objoid = pgherd_database AND classoid = 'pg_database'::regclass)
OR EXISTS (SELECT FROM pg_database WHERE oid = pgherd_database
           AND (datacl IS NOT NULL OR datconnlimit <> -1
                OR pg_get_userbyid(datdba) <> session_user))
"""

# What an event trigger is not told of: large objects, other event triggers, and which index CLUSTER
# used.
_OF_USER = f"oid >= {FIRST_OF_USER}"
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
_TEMPORARY_TABLES = f"(SELECT oid FROM pg_class WHERE {_OF_USER} AND relnamespace IN {_TEMPORARY})"  # noqa: S608
_CATALOGS = {
    **{name: counted for name, counted in _WITHOUT_EVENTS.items() if name != "pg_largeobject"},
    "pg_namespace": f"oid NOT IN {_TEMPORARY}",
    "pg_class": f"{_OF_USER} AND relnamespace NOT IN {_TEMPORARY}",
    "pg_attribute": f"attrelid >= {FIRST_OF_USER} AND attrelid NOT IN {_TEMPORARY_TABLES}",
    "pg_attrdef": f"adrelid >= {FIRST_OF_USER} AND adrelid NOT IN {_TEMPORARY_TABLES}",
    "pg_inherits": f"inhrelid NOT IN {_TEMPORARY_TABLES}",
    "pg_type": f"{_OF_USER} AND typnamespace NOT IN {_TEMPORARY}",
    "pg_constraint": f"{_OF_USER} AND connamespace NOT IN {_TEMPORARY}",
    "pg_description": f"objoid >= {FIRST_OF_USER} OR classoid = 'pg_namespace'::regclass",
    "pg_depend": f"objid >= {FIRST_OF_USER} AND objid NOT IN {_TEMPORARY_TABLES}",
    "pg_seclabel": f"objoid >= {FIRST_OF_USER}",
    "pg_enum": "true",
    "pg_ts_config_map": f"mapcfg >= {FIRST_OF_USER}",
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
_SUM = "(SELECT count(*) * 2::numeric ^ 80 + sum(xmin::text::numeric) FROM {catalog} WHERE {rows})"
_SUM_CHANGED = f"{_SUM} IS DISTINCT FROM {{sum}}"
# Quicker, where there is nothing to sum up.
_ANY_ROW = "EXISTS (SELECT FROM {catalog} WHERE {rows})"
_NOTED = "EXISTS (SELECT FROM {schema}.noted)"

# REASSIGN OWNED is no event either. It takes from a role all that it owns in the database, so that
# one object of each owner tells. What the role owns that made the cluster is not listed, and cannot
# be taken from it: shdepReassignOwned in PostgreSQL's src/backend/catalog/pg_shdepend.c.
_OWNERS = f"""
SELECT DISTINCT ON (refobjid) refobjid, classid, objid FROM pg_shdepend
WHERE dbid = {THIS_DATABASE} AND deptype = 'o' AND objid NOT IN {_TEMPORARY_TABLES}
ORDER BY refobjid, objid
"""  # noqa: S608
_DISOWNED = """
NOT EXISTS (SELECT FROM pg_shdepend WHERE dbid = pgherd_database AND deptype = 'o'
            AND refobjid = {role} AND classid = {catalog} AND objid = {id})
"""

_SHAPE = """
CREATE FUNCTION {schema}.shape() RETURNS numeric[] LANGUAGE plpgsql SET search_path = pg_catalog
AS $shape$ BEGIN RETURN ARRAY[{sums}]; END $shape$
"""
# The catalog of their pages is not everybody's to read, large objects one by one are.
_LARGE_OBJECTS = """
(SELECT sum(hashtextextended(encode(lo_get(oid), 'hex'), 0)) FROM pg_largeobject_metadata)
"""
_OTHER_SHAPE = "{schema}.shape() IS DISTINCT FROM (SELECT shape FROM {schema}.frozen)"

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
    -- That a policy is for one role less is none of its commands.
    ELSE TG_TAG = 'DROP OWNED' OR EXISTS (SELECT FROM pg_event_trigger_ddl_commands()
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


class NotedShape:
    """What a superuser's event triggers note, and sums of what they are not told of."""

    def __init__(self, run: cursor) -> None:
        self._run = run
        run.execute(formatted(_NOTE))

    def changed(self) -> sql.Composable:
        """Give the condition that is true once the shape has changed.

        It refers to the variable `pgherd_database`, the current database's identifier.
        """
        parts = [_database_changed(self._run), *self._sums(), *self._owners(), formatted(_NOTED)]
        return joined(" OR ", parts)

    def _sums(self) -> Iterator[sql.Composable]:
        for parts in _present(self._run, _WITHOUT_EVENTS):
            [(found,)] = rows(self._run, formatted(f"SELECT {_SUM}", **parts))
            if found is None:
                yield formatted(_ANY_ROW, **parts)
            else:
                yield formatted(_SUM_CHANGED, **parts, sum=sql.Literal(found))

    def _owners(self) -> Iterator[sql.Composable]:
        for found in rows(self._run, _OWNERS):
            role, catalog, oid = map(sql.Literal, found)
            yield formatted(_DISOWNED, role=role, catalog=catalog, id=oid)

    def remember(self) -> None:
        """Let the shape be as it is now."""
        self._run.execute(formatted("TRUNCATE {schema}.noted"))


class SummedShape:
    """Sums of all catalogs, for whoever may not make event triggers."""

    def __init__(self, run: cursor) -> None:
        self._run = run
        sums = [formatted(_SUM, **parts) for parts in _present(run, _CATALOGS)]
        run.execute(formatted(_SHAPE, sums=joined(", ", [*sums, sql.SQL(_LARGE_OBJECTS)])))

    def changed(self) -> sql.Composable:
        """Give the condition that is true once the shape has changed.

        It refers to the variable `pgherd_database`, the current database's identifier.
        """
        return joined(" OR ", [_database_changed(self._run), formatted(_OTHER_SHAPE)])

    def remember(self) -> None:
        """Let the shape be as it is now. Nothing may be made after this, not even by us."""
        self._run.execute(formatted("CREATE TABLE {schema}.frozen (shape numeric[])"))
        self._run.execute(formatted("INSERT INTO {schema}.frozen SELECT {schema}.shape()"))


def _database_changed(run: cursor) -> sql.Composable:
    [(settings,)] = rows(run, "SELECT " + _SETTINGS.format(database=THIS_DATABASE))
    return formatted(
        _DATABASE_CHANGED,
        settings=sql.SQL(_SETTINGS.format(database="pgherd_database")),
        template_settings=sql.Literal(settings),
    )


def _present(run: cursor, catalogs: dict[str, str]) -> Iterator[dict[str, sql.Composable]]:
    """Give each catalog that this version of the server has, and which of its rows count."""
    known = {name for (name,) in rows(run, "SELECT relname FROM pg_class WHERE relkind = 'r'")}
    for catalog, counted in catalogs.items():
        if catalog in known:
            yield {"catalog": sql.Identifier(catalog), "rows": sql.SQL(counted)}
