"""libpq's environment variables, set for another server: a server of pgherd's own ignores them."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.slow

VARIABLES = {
    "PGHOST": "192.0.2.1",
    "PGHOSTADDR": "192.0.2.1",
    "PGPORT": "1",
    "PGUSER": "nobody",
    "PGPASSWORD": "wrong",
    "PGDATABASE": "nowhere",
    "PGSSLMODE": "require",
    "PGREQUIRESSL": "1",
    "PGTARGETSESSIONATTRS": "standby",
    "PGREQUIREAUTH": "gss",
    "PGCHANNELBINDING": "require",
    "PGGSSENCMODE": "require",
    "PGOPTIONS": "-c default_transaction_read_only=on",
    "PGLOADBALANCEHOSTS": "random",
}
CONFTEST = """
import pytest
from pgherd import sql_files

@pytest.fixture(scope="session")
def pg_migrations():
    return sql_files("schema.sql")
"""
TEST = """
import pytest

@pytest.mark.parametrize("number", range(2))
def test_write(pg, number):
    connection = pg.connect()
    cursor = connection.cursor()
    cursor.execute("CREATE TABLE thing (id int)")
    connection.commit()
    connection.close()
"""


@pytest.mark.parametrize("kind", ["docker", "embedded"])
def test_the_variables_do_not_lead_elsewhere(pytester, monkeypatch, kind: str):
    """The run finds its own server, even if libpq's variables name another server."""
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    pytester.makeconftest(CONFTEST)
    (pytester.path / "schema.sql").write_text("CREATE TABLE first (id int)")
    pytester.makepyfile(TEST)
    result = pytester.runpytest_subprocess("-n0", f"--pgherd-server={kind}", timeout=50)
    result.assert_outcomes(passed=2)
