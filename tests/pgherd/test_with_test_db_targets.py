"""The decorator `with_test_db` on functions, async functions, classes and `TestCase`s."""

from __future__ import annotations

import pytest

from tests.pgherd.support import peewee_project

pytestmark = pytest.mark.slow

project, replacements = peewee_project.project, peewee_project.replacements


def test_a_decorated_function_keeps_its_arguments(project):
    """Fixtures, parameters, mocks and marks work as without the decorator."""
    project(
        """
from unittest.mock import patch

@pytest.fixture
def name():
    return "ada"

@with_test_db((User,))
@pytest.mark.parametrize("number", [1, 2])
@patch("models.database")
def test_one(mocked, name, number, *, tmp_path):
    assert (name, tmp_path.is_dir(), number in (1, 2)) == ("ada", True, True)
    assert mocked is not None
    User.create(name=name)

@pytest.mark.xfail(raises=ZeroDivisionError, strict=True)
@with_test_db((User,))
def test_two(request):
    assert "two" in request.node.name
    1 / 0
"""
    ).assert_outcomes(passed=2, xfailed=1)


def test_a_decorated_class_decorates_its_test_methods(project, replacements):
    """Inherited methods, static methods and class methods are decorated, too."""
    project(
        """
class Inherited:
    def test_inherited(self):
        assert not hasattr(self, "seen")
        User.create(name="ada")

@with_test_db((User,))
class TestAll(Inherited):
    def test_one(self, pg):
        User.create(name="ada")

    @pytest.mark.parametrize("name", ["ada", "bob"])
    def test_two(self, name):
        assert User.create(name=name).id == 1

    @with_test_db((Note,))
    def test_three(self):
        Note.create(text="x", user=User.create(name="ada"))

    @staticmethod
    def test_static(tables):
        assert "user" in tables()

    @classmethod
    def test_class(cls):
        User.create(name="ada")
"""
    ).assert_outcomes(passed=7)
    assert replacements() == 0


def test_a_decorated_testcase_has_the_tables_in_setup(project):
    """`setUp` and `tearDown` find the tables, and a single method can be decorated, too."""
    project(
        """
import unittest

@with_test_db((User,))
class AllTest(unittest.TestCase):
    def setUp(self):
        self.user = User.create(name="ada")

    def tearDown(self):
        assert User.select().count() == 1

    def test_one(self):
        self.assertEqual(self.user.id, 1)

    def test_two(self):
        self.assertEqual(self.user.id, 1)

class DerivedTest(AllTest):
    @with_test_db((Note,))
    def test_three(self):
        Note.create(text="x", user=self.user)

class OneTest(unittest.TestCase):
    @with_test_db((User,))
    def test_one(self):
        User.create(name="ada")

@with_test_db((User,))
class AsyncTest(unittest.IsolatedAsyncioTestCase):
    async def test_one(self):
        User.create(name="ada")

    @with_test_db((Note,))
    async def test_two(self):
        Note.create(text="x", user=User.create(name="ada"))
"""
    ).assert_outcomes(passed=8)


def test_a_decorated_async_function_stays_async(project):
    """It finds the tables while it is awaited."""
    project(
        """
import asyncio, inspect

@with_test_db((User,))
async def write(name):
    await asyncio.sleep(0)
    return User.create(name=name).name

def test_one(pg):
    assert inspect.iscoroutinefunction(write)
    assert asyncio.run(write("ada")) == "ada"
"""
    ).assert_outcomes(passed=1)


def test_threads_of_a_test_write_to_the_clone(project, replacements):
    """Each thread has its own connection, and no thread hinders the reset."""
    project(
        """
from concurrent.futures import ThreadPoolExecutor

pool = ThreadPoolExecutor(4)

@pytest.mark.parametrize("number", range(3))
@with_test_db((User,))
def test_one(number):
    list(pool.map(lambda name: User.create(name=name), "abcdefgh"))
    assert User.select().count() == 8
"""
    ).assert_outcomes(passed=3)
    assert replacements() == 0


def test_a_decorated_function_can_be_called_twice(project, replacements):
    """Each call in a test finds empty tables."""
    project(
        """
@with_test_db((User, Role))
def write():
    assert Role.select().count() == 0
    Role.create(name="own")
    return User.create(name="ada").id

def test_one(pg):
    assert [write(), write()] == [1, 1]
"""
    ).assert_outcomes(passed=1)
    assert replacements() == 0
