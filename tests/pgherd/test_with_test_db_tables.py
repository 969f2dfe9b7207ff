"""The decorator `with_test_db`: the tables that a test finds, and what pgherd restores."""

from __future__ import annotations

import pytest

from tests.pgherd.support import peewee_project
from tests.pgherd.support.peewee_project import WRITE

pytestmark = pytest.mark.slow

project, replacements = peewee_project.project, peewee_project.replacements


@pytest.mark.parametrize("how", ["-n2", "-n0"])
def test_each_test_finds_empty_tables(project, replacements, how):
    """Their sequences start at 1, and no row of the test before is left."""
    project(WRITE, how).assert_outcomes(passed=3)
    assert replacements() == 0


def test_created_tables_are_dropped(project, replacements):
    """After the test, the schema is the template's, and pgherd need not replace the clone."""
    result = project(
        """
@with_test_db((User, Note))
def test_one(tables):
    assert tables() == ["log", "note", "permission", "role", "user"]
    Note.create(text="x", user=User.create(name="ada"))

def test_two(tables):
    assert tables() == ["log", "permission", "role"]
""",
        "-n0",
        "-pno:randomly",
    )
    result.assert_outcomes(passed=2)
    assert replacements() == 0


def test_models_are_bound_to_the_clone_during_the_test(project):
    """During the test, the models and their related models use the clone; later their own.

    A further connection of the test sees the rows that the models wrote.
    """
    project(
        """
@with_test_db((User,))
def test_one(pg):
    User.create(name="ada")
    assert User._meta.database.database == pg.name
    assert {model._meta.database for model in (User, Role, UserRole, Note)} == {
        User._meta.database}
    connection = pg.connect()
    cursor = connection.cursor()
    cursor.execute('SELECT name FROM "user"')
    assert cursor.fetchall() == [("ada",)]
    connection.close()

def test_two():
    assert {model._meta.database for model in (User, Role, UserRole, Note)} == {database}
""",
        "-n0",
        "-pno:randomly",
    ).assert_outcomes(passed=2)


def test_each_model_gets_its_own_database_back(project):
    """Related models may have different databases, and have them again after the test."""
    project(
        """
import peewee

@with_test_db((User,))
def test_bound():
    assert Note._meta.database is User._meta.database

def test_all():
    other = peewee.DatabaseProxy()
    Note._meta.set_database(other)
    UserRole._meta.set_database(None)
    pytest.call_in_pg()
    assert (Note._meta.database, UserRole._meta.database) == (other, None)
    assert User._meta.database is database

@pytest.fixture(autouse=True)
def call(pg):
    pytest.call_in_pg = test_bound
    yield
    del pytest.call_in_pg
""",
        "-n0",
    ).assert_outcomes(passed=2)


def test_listed_tables_of_the_template_are_emptied(project, replacements):
    """Their rows and the rows that refer to them are deleted for the test, without firing triggers.

    The reset restores all rows.
    """
    result = project(
        """
COUNT = "SELECT (SELECT count(*) FROM role), (SELECT count(*) FROM permission), "
COUNT += "(SELECT count(*) FROM log)"

@pytest.fixture
def count(pg):
    def rows():
        connection = pg.connect()
        cursor = connection.cursor()
        cursor.execute(COUNT)
        ((found),) = cursor.fetchall()
        connection.close()
        return found
    return rows

@with_test_db((Role,))
def test_one(count):
    assert count() == (0, 0, 0)
    assert Role.create(name="own").id == 1

def test_two(count):
    assert count() == (2, 1, 0)

@with_test_db((UserRole,))
def test_three(count):
    assert count() == (2, 1, 0)
    assert User.select().count() == 0
""",
        "-n0",
        "-pno:randomly",
    )
    result.assert_outcomes(passed=3)
    assert replacements() == 0


def test_decorators_can_be_stacked(project, replacements):
    """Their order does not matter, and two of them can list the same model."""
    project(
        """
@with_test_db((User,))
@with_test_db((User, UserRole))
@with_test_db((Note,))
def test_one(tables):
    assert {"user", "user_role", "note"} < set(tables())
    Note.create(text="x", user=User.create(name="ada"))

@with_test_db((UserRole,))
@with_test_db((User,))
def test_two(tables):
    assert {"user", "user_role"} < set(tables())
    assert User.select().count() == 0

def test_three(tables):
    assert tables() == ["log", "permission", "role"]
""",
        "-n0",
        "-pno:randomly",
    ).assert_outcomes(passed=3)
    assert replacements() == 0


def test_two_models_can_have_the_same_table(project):
    """Each test finds the table with the columns of the model that it lists."""
    project(
        """
import peewee

class Other(Base):
    size = peewee.IntegerField()
    class Meta:
        table_name = "user"

@with_test_db((User,))
def test_one():
    User.create(name="ada")

@with_test_db((Other,))
def test_two():
    Other.create(size=1)
"""
    ).assert_outcomes(passed=2)
