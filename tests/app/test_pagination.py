"""Keyset pagination: a page begins after the last row seen."""

from __future__ import annotations

import pytest


@pytest.fixture
def comments(ada, task, sql):
    """Give a function that adds comments to one task, and gives the address of their list."""
    task_id = task()

    def add(*bodies: str) -> str:
        insert = "INSERT INTO comment (task_id, author_id, body) SELECT %s, %s, unnest(%s)"
        sql(insert, task_id, ada.id, list(bodies))
        return f"/tasks/{task_id}/comments"

    return add


def bodies(page: dict) -> list[str]:
    """Give what the comments of a page say."""
    return [row["body"] for row in page["items"]]


def test_first_page(ada, comments):
    """A first page has as many rows as asked for, and says where the next begins."""
    page = ada.get(comments("a", "b", "c"), limit=2).json
    assert bodies(page) == ["a", "b"]
    assert page["next"] == "2"


def test_last_page(ada, comments):
    """The last page has what is left, and no next."""
    page = ada.get(comments("a", "b", "c"), limit=2, after="2").json
    assert (bodies(page), page["next"]) == (["c"], None)


def test_full_last_page(ada, comments):
    """When the rows fill the last page exactly there is no empty one after it."""
    assert ada.get(comments("a", "b"), limit=2).json["next"] is None


def test_page_after_the_end(ada, comments):
    """Beyond the last row there is an empty page."""
    assert ada.get(comments("a"), after="1000").json == {"items": [], "next": None}


def test_page_has_20_rows_unless_said(ada, comments):
    """The default limit is 20."""
    page = ada.get(comments(*(str(number) for number in range(21)))).json
    assert (len(page["items"]), page["next"]) == (20, "20")


def test_row_added_before_the_page_shifts_nothing(root, person):
    """What is deleted before the page does not make a row be skipped, as an offset would."""
    people = [person(name) for name in ("ada", "bob", "cy")]
    page = root.get("/users", limit=2).json
    assert [row["name"] for row in page["items"]] == ["root", "ada"]
    root.delete(f"/users/{people[0].id}")
    after = root.get("/users", limit=2, after=page["next"]).json
    assert [row["name"] for row in after["items"]] == ["bob", "cy"]


def test_row_added_meanwhile_is_on_a_later_page(ada, comments):
    """A row that came after the first page was read is found by going on."""
    path = comments("a", "b", "c")
    following = ada.get(path, limit=2).json["next"]
    comments("d")
    assert bodies(ada.get(path, limit=2, after=following).json) == ["c", "d"]


def test_page_boundary_among_equals(ada, crew, task):
    """A boundary between tasks of one priority neither skips nor repeats one."""
    for title in ("a", "b", "c", "d"):
        task(title, priority=3)
    task("first", priority=1)
    first = ada.get(f"/teams/{crew}/tasks", limit=3).json
    assert [row["title"] for row in first["items"]] == ["first", "a", "b"]
    assert first["next"] == "3-2"
    second = ada.get(f"/teams/{crew}/tasks", limit=3, after=first["next"]).json
    assert [row["title"] for row in second["items"]] == ["c", "d"]


def test_page_keeps_its_filter(ada, crew, task):
    """Going on in a filtered list gives only what passes the filter."""
    for title in ("a", "b", "c"):
        task(title)
    ada.post("/tasks/claim")
    page = ada.get(f"/teams/{crew}/tasks", status="open", limit=1).json
    assert [row["title"] for row in page["items"]] == ["b"]
    page = ada.get(f"/teams/{crew}/tasks", status="open", limit=1, after=page["next"]).json
    assert ([row["title"] for row in page["items"]], page["next"]) == (["c"], None)


@pytest.mark.parametrize("limit", [0, -1, 101, "many"])
def test_limit_is_from_1_to_100(ada, limit):
    """Another limit is refused with the field."""
    response = ada.get("/users", limit=limit)
    assert (response.status_code, list(response.json["fields"])) == (400, ["limit"])


@pytest.mark.parametrize("after", ["x", "1'", "-1", "1-", ""])
def test_cursor_that_is_none_is_refused(ada, after):
    """What no page ever gave as its next is refused with the field."""
    response = ada.get("/users", after=after)
    assert (response.status_code, list(response.json["fields"])) == (400, ["after"])


def test_cursor_of_another_list_is_refused(ada):
    """A task list's cursor, of two numbers, means nothing in a list of users."""
    response = ada.get("/users", after="3-2")
    assert (response.status_code, response.json["fields"]) == (
        400,
        {"after": "is not from this list"},
    )
