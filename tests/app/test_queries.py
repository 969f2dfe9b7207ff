"""The number of queries: it does not grow with the number of rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from werkzeug.test import TestResponse


class Answer(NamedTuple):
    """The JSON of a response, and the number of queries that the service ran for it."""

    json: dict
    queries: int

    @property
    def rows(self) -> int:
        """The number of rows in the list."""
        return len(self.json["items"])


@pytest.fixture
def counted(caplog):
    """A function that sends a request and counts the queries, which Peewee logs one by one."""

    def send(request: Callable[..., TestResponse], *arguments: object, **options: object) -> Answer:
        caplog.clear()
        with caplog.at_level("DEBUG", logger="peewee"):
            response = request(*arguments, **options)
        queries = [record for record in caplog.records if record.name == "peewee"]
        return Answer(response.json, len(queries))

    return send


@pytest.fixture
def add_tagged_tasks(task, sql):
    """A function that adds tasks with a title in common, each with two tags of its own."""

    def add(count: int) -> None:
        for _ in range(count):
            task_id = task("Oil the engine")
            tags = [f"dirty-{task_id}", f"urgent-{task_id}"]
            sql("INSERT INTO tag (name) SELECT unnest(%s)", tags)
            sql("INSERT INTO task_tag SELECT %s, id FROM tag WHERE name = ANY (%s)", task_id, tags)

    return add


def test_list_users_runs_no_query_per_user(ada, person, counted):
    """A list of ten users takes as many queries as a list of one."""
    one = counted(ada.get, "/users")
    for number in range(9):
        person(f"user{number}")
    ten = counted(ada.get, "/users")
    assert (one.rows, ten.rows) == (1, 10)
    assert one.queries == ten.queries


def test_list_members_runs_no_query_per_member(ada, person, team, counted):
    """A list of ten members takes as many queries as a list of one."""
    alone = team(ada, name="Looms")
    crowd = team(ada, *(person(f"user{number}") for number in range(9)))
    one = counted(ada.get, f"/teams/{alone}/members")
    ten = counted(ada.get, f"/teams/{crowd}/members")
    assert (one.rows, ten.rows) == (1, 10)
    assert one.queries == ten.queries


def test_list_teams_runs_no_query_per_team(ada, team, counted):
    """A list of ten teams takes as many queries as a list of one."""
    team(ada)
    one = counted(ada.get, "/teams")
    for number in range(9):
        team(ada, name=f"Team {number}")
    ten = counted(ada.get, "/teams")
    assert (one.rows, ten.rows) == (1, 10)
    assert one.queries == ten.queries


def test_list_tasks_runs_no_query_per_task(ada, crew, add_tagged_tasks, counted):
    """A list of ten tasks takes as many queries as a list of one."""
    add_tagged_tasks(1)
    one = counted(ada.get, f"/teams/{crew}/tasks")
    add_tagged_tasks(9)
    ten = counted(ada.get, f"/teams/{crew}/tasks")
    assert (one.rows, ten.rows) == (1, 10)
    assert one.queries == ten.queries


def test_search_runs_no_query_per_task(ada, add_tagged_tasks, counted):
    """A search that finds ten tasks takes as many queries as one that finds one."""
    add_tagged_tasks(1)
    one = counted(ada.get, "/search", q="engine")
    add_tagged_tasks(9)
    ten = counted(ada.get, "/search", q="engine")
    assert (one.rows, ten.rows) == (1, 10)
    assert one.queries == ten.queries


def test_list_comments_runs_no_query_per_comment(ada, task, sql, counted):
    """A list of ten comments takes as many queries as a list of one."""
    path = f"/tasks/{task()}/comments"
    insert = "INSERT INTO comment (task_id, author_id, body) SELECT 1, 1, generate_series(1, %s)"
    sql(insert, 1)
    one = counted(ada.get, path)
    sql(insert, 9)
    ten = counted(ada.get, path)
    assert (one.rows, ten.rows) == (1, 10)
    assert one.queries == ten.queries


def test_list_audit_entries_runs_no_query_per_entry(root, sql, counted):
    """A list of ten audit entries takes as many queries as a list of one."""
    one = counted(root.get, "/audit")
    for number in range(9):
        sql('UPDATE "user" SET name = %s', f"name {number}")
    ten = counted(root.get, "/audit")
    assert (one.rows, ten.rows) == (1, 10)
    assert one.queries == ten.queries


def test_list_roles_runs_no_query_per_role(ada, sql, counted):
    """A list of ten roles takes as many queries as the list of the two seeded roles."""
    two = counted(ada.get, "/roles")
    sql("INSERT INTO role (name) SELECT 'role ' || generate_series(1, 8)")
    ten = counted(ada.get, "/roles")
    assert (two.rows, ten.rows) == (2, 10)
    assert two.queries == ten.queries


def test_replace_tags_runs_no_query_per_tag(ada, task, counted):
    """Giving a task ten tags takes as many queries as giving it one."""
    path = f"/tasks/{task()}/tags"
    one = counted(ada.put, path, {"tags": ["oil"]})
    ten = counted(ada.put, path, {"tags": [f"tag{number}" for number in range(10)]})
    assert (len(one.json["tags"]), len(ten.json["tags"])) == (1, 10)
    assert one.queries == ten.queries


def test_lists_name_the_roles_and_tags_of_each_row(ada, root, crew, task, counted):
    """Each row of a list has its own names, in alphabetical order, or none."""
    task("Dust")
    ada.put(f"/tasks/{task('Oil')}/tags", {"tags": ["urgent", "dirty"]})
    users = counted(ada.get, "/users").json["items"]
    tasks = counted(ada.get, f"/teams/{crew}/tasks").json["items"]
    assert {row["name"]: row["roles"] for row in users} == {
        "ada": ["basic"],
        "bob": ["basic"],
        "root": ["admin", "basic"],
    }
    assert {row["title"]: row["tags"] for row in tasks} == {"Dust": [], "Oil": ["dirty", "urgent"]}
