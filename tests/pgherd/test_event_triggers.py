"""Event triggers of the project: they do not see the objects that pgherd creates."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.slow

CONFTEST = """
import pytest
from pgherd import sql_files

@pytest.fixture(scope="session")
def pg_migrations():
    return sql_files("schema.sql")
"""
SCHEMA = """
CREATE TABLE ddl (tag text);
CREATE FUNCTION record() RETURNS event_trigger LANGUAGE plpgsql AS
  'BEGIN INSERT INTO public.ddl VALUES (tg_tag); END';
CREATE FUNCTION guard() RETURNS event_trigger LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT FROM pg_class c WHERE relkind = 'r' AND oid >= 16384
             AND relname NOT IN ('ddl') AND relnamespace <> 'pg_toast'::regnamespace
             AND NOT EXISTS (SELECT FROM pg_index WHERE indrelid = c.oid AND indisprimary))
  THEN RAISE 'a table has no primary key'; END IF;
END $$;
CREATE EVENT TRIGGER record ON ddl_command_end EXECUTE FUNCTION record();
CREATE EVENT TRIGGER guard ON ddl_command_end WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION guard();
CREATE TABLE thing (id int PRIMARY KEY);
INSERT INTO thing VALUES (1);
"""
TESTS = """
import pytest

@pytest.mark.parametrize("number", range(2))
def test_log(pg, number):
    connection = pg.connect()
    cursor = connection.cursor()
    cursor.execute("SELECT tag FROM ddl")
    assert cursor.fetchall() == [("CREATE TABLE",)]
    cursor.execute("INSERT INTO thing VALUES (2)")
    connection.commit()
    connection.close()
"""


@pytest.mark.parametrize("kind", ["docker", "embedded"])
def test_a_guard_and_a_log_see_nothing_of_pgherd(pytester, kind: str):
    """A trigger that refuses tables without a key does not stop the run, and a log stays short."""
    pytester.makeconftest(CONFTEST)
    (pytester.path / "schema.sql").write_text(SCHEMA)
    pytester.makepyfile(TESTS)
    pytester.runpytest_subprocess("-n0", f"--pgherd-server={kind}").assert_outcomes(passed=2)
