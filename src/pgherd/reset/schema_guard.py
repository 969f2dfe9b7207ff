"""The schema guard: detect that a test changed the schema, which the reset cannot undo.

If the schema has changed, pgherd replaces the clone. Here, "schema" means everything except rows
and sequences. It includes large objects, and the server's settings for the database. There are two
guards. A superuser's guard has event triggers that log each change. An ordinary role may not create
event triggers, so its guard compares sums over the catalogs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg2 import sql

from pgherd.postgres.sqltext import FIRST_OF_USER, THIS_DATABASE, formatted, joined, rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg2.extensions import cursor

DDL_LOG = "ddl_log"
"""The table in the schema `pgherd` that has a row for each change of the schema."""

# What belongs to a database, but is kept outside of it. pgherd gives a clone the settings of the
# template. A new clone has none of the rest, because CREATE DATABASE does not copy it:
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

# The catalogs that can change without firing an event trigger, each with the rows to look at. They
# hold large objects, event triggers, and the mark of the index that CLUSTER used. A superuser can
# also write to catalogs directly: mark an index invalid, or change an enum's values.
_OF_USER = f"oid >= {FIRST_OF_USER}"
_WITHOUT_EVENTS = {
    "pg_largeobject_metadata": "true",
    "pg_largeobject": "true",
    "pg_event_trigger": "true",
    "pg_index": "indisclustered OR NOT indisvalid",
    "pg_enum": "true",
}

# The catalogs of a schema, each with the rows to look at. A row that was written again has another
# xmin, so every change alters the number of rows or the sum of their xmins. Temporary tables are
# left out: they end with their connection.
_TEMPORARY = "(SELECT oid FROM pg_namespace WHERE nspname ~ '^pg_(toast_)?temp_[0-9]+$')"
_TEMPORARY_TABLES = f"(SELECT oid FROM pg_class WHERE {_OF_USER} AND relnamespace IN {_TEMPORARY})"
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
# If the template has no such row, this is faster.
_ANY_ROW = "EXISTS (SELECT FROM {catalog} WHERE {rows})"
_DDL_LOGGED = f"EXISTS (SELECT FROM {{schema}}.{DDL_LOG})"

# REASSIGN OWNED fires no event trigger either. It takes everything in the database from a role, so
# it is enough to watch one object of each owner. The role that created the cluster has no entries,
# and nothing can be taken from it: shdepReassignOwned in PostgreSQL's
# src/backend/catalog/pg_shdepend.c.
_OWNERS = f"""
SELECT DISTINCT ON (refobjid) refobjid, classid, objid FROM pg_shdepend
WHERE dbid = {THIS_DATABASE} AND deptype = 'o' AND objid NOT IN {_TEMPORARY_TABLES}
ORDER BY refobjid, objid
"""
_OWNER_CHANGED = """
NOT EXISTS (SELECT FROM pg_shdepend WHERE dbid = pgherd_database AND deptype = 'o'
            AND refobjid = {role} AND classid = {catalog} AND objid = {id})
"""

_CATALOG_SUMS = """
CREATE FUNCTION {schema}.catalog_sums() RETURNS numeric[] LANGUAGE plpgsql
SET search_path = pg_catalog AS $sums$ BEGIN RETURN ARRAY[{sums}]; END $sums$
"""
# An ordinary role may not read pg_largeobject, but it may read its own large objects one by one.
_LARGE_OBJECTS = """
(SELECT sum(hashtextextended(encode(lo_get(oid), 'hex'), 0)) FROM pg_largeobject_metadata)
"""
_SUMS_CHANGED = "{schema}.catalog_sums() IS DISTINCT FROM (SELECT sums FROM {schema}.template_sums)"

# Each change of the schema is logged in its own transaction, so that a rollback undoes the entry
# too. ENABLE ALWAYS makes the triggers fire whatever session_replication_role is.
_EVENT_TRIGGERS = f"""
CREATE TABLE {{schema}}.{DDL_LOG} (tag text);
CREATE FUNCTION {{schema}}.log_ddl() RETURNS event_trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog AS $log_ddl$
DECLARE
  lasting boolean := CASE TG_EVENT
    WHEN 'sql_drop' THEN
      EXISTS (SELECT FROM pg_event_trigger_dropped_objects() WHERE NOT is_temporary)
    -- DROP OWNED also removes a role from policies, which pg_event_trigger_ddl_commands omits.
    ELSE TG_TAG = 'DROP OWNED' OR EXISTS (SELECT FROM pg_event_trigger_ddl_commands()
                 WHERE schema_name IS DISTINCT FROM 'pg_temp')
    END;
BEGIN
  IF lasting THEN
    INSERT INTO {{schema}}.{DDL_LOG} VALUES (TG_TAG);
  END IF;
END
$log_ddl$;
CREATE EVENT TRIGGER pgherd_ddl ON ddl_command_end EXECUTE FUNCTION {{schema}}.log_ddl();
ALTER EVENT TRIGGER pgherd_ddl ENABLE ALWAYS;
CREATE EVENT TRIGGER pgherd_drop ON sql_drop EXECUTE FUNCTION {{schema}}.log_ddl();
ALTER EVENT TRIGGER pgherd_drop ENABLE ALWAYS;
"""


class EventTriggerGuard:
    """A superuser's guard: event triggers, and sums over the catalogs that they do not cover.

    Args:
        cursor: one to the database that becomes the template; the guard creates its objects there.
    """

    def __init__(self, cursor: cursor) -> None:
        self._cursor = cursor
        cursor.execute(formatted(_EVENT_TRIGGERS))

    def changed(self) -> sql.Composable:
        """Return the SQL condition that is true if the schema has changed.

        It uses the PL/pgSQL variable `pgherd_database`, the OID of the current database.
        """
        outside = _database_changed(self._cursor)
        parts = [outside, *self._sums(), *self._owners(), formatted(_DDL_LOGGED)]
        return joined(" OR ", parts)

    def _sums(self) -> Iterator[sql.Composable]:
        for parts in _existing(self._cursor, _WITHOUT_EVENTS):
            [(found,)] = rows(self._cursor, formatted(f"SELECT {_SUM}", **parts))
            if found is None:
                yield formatted(_ANY_ROW, **parts)
            else:
                yield formatted(_SUM_CHANGED, **parts, sum=sql.Literal(found))

    def _owners(self) -> Iterator[sql.Composable]:
        for found in rows(self._cursor, _OWNERS):
            role, catalog, oid = map(sql.Literal, found)
            yield formatted(_OWNER_CHANGED, role=role, catalog=catalog, id=oid)

    def remember(self) -> None:
        """Accept the schema as it is now: empty the log of what pgherd itself has created."""
        self._cursor.execute(formatted(f"TRUNCATE {{schema}}.{DDL_LOG}"))


class CatalogSumGuard:
    """An ordinary role's guard: sums over all catalogs of the schema.

    Args:
        cursor: one to the database that becomes the template; the guard creates its objects there.
    """

    def __init__(self, cursor: cursor) -> None:
        self._cursor = cursor
        sums = [formatted(_SUM, **parts) for parts in _existing(cursor, _CATALOGS)]
        all_sums = joined(", ", [*sums, sql.SQL(_LARGE_OBJECTS)])
        cursor.execute(formatted(_CATALOG_SUMS, sums=all_sums))

    def changed(self) -> sql.Composable:
        """Return the SQL condition that is true if the schema has changed.

        It uses the PL/pgSQL variable `pgherd_database`, the OID of the current database.
        """
        return joined(" OR ", [_database_changed(self._cursor), formatted(_SUMS_CHANGED)])

    def remember(self) -> None:
        """Accept the schema as it is now. Nothing may be created after this, not even by pgherd."""
        self._cursor.execute(formatted("CREATE TABLE {schema}.template_sums (sums numeric[])"))
        self._cursor.execute(
            formatted("INSERT INTO {schema}.template_sums SELECT {schema}.catalog_sums()")
        )


def _database_changed(cursor: cursor) -> sql.Composable:
    [(settings,)] = rows(cursor, "SELECT " + _SETTINGS.format(database=THIS_DATABASE))
    return formatted(
        _DATABASE_CHANGED,
        settings=sql.SQL(_SETTINGS.format(database="pgherd_database")),
        template_settings=sql.Literal(settings),
    )


def _existing(cursor: cursor, catalogs: dict[str, str]) -> Iterator[dict[str, sql.Composable]]:
    """Yield each catalog that this version of PostgreSQL has, and the condition for its rows."""
    known = {name for (name,) in rows(cursor, "SELECT relname FROM pg_class WHERE relkind = 'r'")}
    for catalog, counted in catalogs.items():
        if catalog in known:
            yield {"catalog": sql.Identifier(catalog), "rows": sql.SQL(counted)}
