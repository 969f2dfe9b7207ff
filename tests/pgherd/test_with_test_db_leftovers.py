"""The decorator `with_test_db`: nothing that a test leaves reaches the next test."""

from __future__ import annotations

import pytest

from tests.pgherd.support import peewee_project

pytestmark = pytest.mark.slow

project = peewee_project.project


@pytest.mark.parametrize(
    "leave",
    [
        "User._meta.database.begin()",
        "User._meta.database.execute_sql('BEGIN'); User.create(name='bob')",
        "User._meta.database.close()",
        "User.drop_table()",
        "User._meta.database.execute_sql('CREATE VIEW v AS SELECT * FROM \"user\"')",
        "User._meta.database.execute_sql('DROP SCHEMA pgherd CASCADE')",
        "User._meta.database.execute_sql('SET search_path = pg_catalog')",
        "pytest.kept = pg.connect(); pytest.kept.cursor().execute('SELECT FROM \"user\"')",
        "1 / 0",
    ],
)
@pytest.mark.parametrize("same", ["((User,))", "((User, UserRole))"])
def test_the_next_test_finds_pristine_tables(project, leave, same):
    """A decorated test finds its own tables empty; another test finds those of the template."""
    result = project(
        f"""
@with_test_db((User,))
def test_leave(pg):
    User.create(name="ada")
    {leave}

@with_test_db{same}
def test_after():
    assert User.select().count() == 0
    User.create(name="ada")

def test_undecorated(tables):
    assert tables() == ["log", "permission", "role"]
""",
        "-n0",
        "-pno:randomly",
    )
    failed = int(leave == "1 / 0")
    result.assert_outcomes(passed=3 - failed, failed=failed, warnings=int("kept" in leave))
