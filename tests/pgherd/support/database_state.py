"""The state of a database: its rows, its sequences and its entries in the server's catalogs."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import psycopg2
from psycopg2 import sql

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg2.extensions import cursor

    from pgherd import Database

# Every catalog of a database, except for statistics and for pg_init_privs, which repeats other
# catalogs. The first column of a catalog is the object's identifier, or belongs to it.
_CATALOGS = """
SELECT c.relname, a.attname FROM pg_class c JOIN pg_attribute a ON attrelid = c.oid AND attnum = 1
WHERE c.relnamespace = 'pg_catalog'::regnamespace AND c.relkind = 'r' AND NOT c.relisshared
AND c.relname NOT IN ('pg_statistic', 'pg_statistic_ext_data', 'pg_init_privs')
"""
# The rows to compare in these catalogs. In all others, those are the rows of the user's objects.
_ROWS = {
    "pg_namespace": "nspname !~ '^pg_(toast_)?temp_'",
    "pg_largeobject": "true",
    "pg_description": "objoid >= 16384 OR classoid = 'pg_namespace'::regclass",
    "pg_depend": "objid >= 16384",
    "pg_attribute": "attrelid >= 16384 AND attnum > 0",
}
_USER_OBJECTS = "{}::oid >= 16384"
# A row of pg_class without the columns that VACUUM, ANALYZE and the like may change.
_CLASS = """
(to_jsonb(t) - '{relpages,reltuples,relallvisible,relallfrozen,relfilenode,relfrozenxid,relminmxid,
relhasrules,relhastriggers,relhassubclass}'::text[])::text
"""
_RELATIONS = """
SELECT nspname, relname, relkind::text FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
WHERE c.oid >= 16384 AND relkind IN ('r', 'm', 'S') AND nspname <> 'pgherd'
AND relpersistence <> 't' AND relispopulated
"""
_SETTINGS = """
SELECT 'setting', to_jsonb(setconfig)::text FROM pg_db_role_setting
JOIN pg_database d ON d.oid = setdatabase WHERE datname = current_database()
"""


def read_state(database: Database) -> list[tuple[str, str]]:
    """Return the state of a database as sorted lines: where each was read, and what it contains.

    Args:
        database: the database, as a superuser, because others may not read every catalog.
    """
    with closing(psycopg2.connect(database.dsn)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute("SET jit = off")
        queries = [*_catalog_queries(cursor), *_relation_queries(cursor), sql.SQL(_SETTINGS)]
        cursor.execute(sql.SQL(" UNION ALL ").join(queries))
        return sorted(cursor.fetchall())


def _catalog_queries(cursor: cursor) -> Iterator[sql.Composable]:
    cursor.execute(_CATALOGS)
    for catalog, key in cursor.fetchall():
        yield sql.SQL("SELECT {}, {} FROM {} t WHERE {}").format(
            sql.Literal(catalog),
            sql.SQL(_CLASS if catalog == "pg_class" else "t::text"),
            sql.Identifier(catalog),
            sql.SQL(_ROWS.get(catalog, _USER_OBJECTS)).format(sql.Identifier(key)),
        )


def _relation_queries(cursor: cursor) -> Iterator[sql.Composable]:
    cursor.execute(_RELATIONS)
    for schema, name, kind in cursor.fetchall():
        columns = "jsonb_build_array(last_value, is_called)" if kind == "S" else "t"
        yield sql.SQL("SELECT {}, {}::text FROM ONLY {} t").format(
            sql.Literal(f"{schema}.{name}"), sql.SQL(columns), sql.Identifier(schema, name)
        )
