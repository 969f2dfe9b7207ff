"""Keyset pagination: each page starts after the last row of the page before it."""

from __future__ import annotations

import pytest


@pytest.fixture
def comments(ada, task, sql):
    """A function that inserts comments on one task, and returns the path of their list."""
    task_id = task()

    def add(*bodies: str) -> str:
        insert = "INSERT INTO comment (task_id, author_id, body) SELECT %s, %s, unnest(%s)"
        sql(insert, task_id, ada.id, list(bodies))
        return f"/tasks/{task_id}/comments"

    return add


def bodies(page: dict) -> list[str]:
    """Return the texts of the comments on a page."""
    return [row["body"] for row in page["items"]]


def test_first_page(ada, comments):
    """The first page has as many rows as requested, and the cursor of the next page."""
    page = ada.get(comments("a", "b", "c"), limit=2).json
    assert bodies(page) == ["a", "b"]
    assert page["next"] == "2"


def test_last_page(ada, comments):
    """The last page has the remaining rows and no cursor."""
    page = ada.get(comments("a", "b", "c"), limit=2, after="2").json
    assert (bodies(page), page["next"]) == (["c"], None)


def test_full_last_page(ada, comments):
    """A last page that is full has no cursor."""
    assert ada.get(comments("a", "b"), limit=2).json["next"] is None


def test_page_after_the_end(ada, comments):
    """A page after the last row is empty."""
    assert ada.get(comments("a"), after="1000").json == {"items": [], "next": None}


def test_page_has_20_rows_by_default(ada, comments):
    """A page has 20 rows by default."""
    page = ada.get(comments(*(str(number) for number in range(21)))).json
    assert (len(page["items"]), page["next"]) == (20, "20")


def test_deletion_before_the_page_skips_no_row(root, person):
    """The next page skips no row if a row before it is deleted."""
    people = [person(name) for name in ("ada", "bob", "cy")]
    page = root.get("/users", limit=2).json
    assert [row["name"] for row in page["items"]] == ["root", "ada"]
    root.delete(f"/users/{people[0].id}")
    after = root.get("/users", limit=2, after=page["next"]).json
    assert [row["name"] for row in after["items"]] == ["bob", "cy"]


def test_row_added_meanwhile_is_on_a_later_page(ada, comments):
    """A row inserted after the first page was read is on a later page."""
    path = comments("a", "b", "c")
    following = ada.get(path, limit=2).json["next"]
    comments("d")
    assert bodies(ada.get(path, limit=2, after=following).json) == ["c", "d"]


def test_page_boundary_among_equals(ada, crew, task):
    """A page that ends between tasks of one priority skips and repeats none."""
    for title in ("a", "b", "c", "d"):
        task(title, priority=3)
    task("first", priority=1)
    first = ada.get(f"/teams/{crew}/tasks", limit=3).json
    assert [row["title"] for row in first["items"]] == ["first", "a", "b"]
    assert first["next"] == "3-2"
    second = ada.get(f"/teams/{crew}/tasks", limit=3, after=first["next"]).json
    assert [row["title"] for row in second["items"]] == ["c", "d"]


def test_page_keeps_its_filter(ada, crew, task):
    """The next page of a filtered list has only rows that match the filter."""
    for title in ("a", "b", "c"):
        task(title)
    ada.post("/tasks/claim")
    page = ada.get(f"/teams/{crew}/tasks", status="open", limit=1).json
    assert [row["title"] for row in page["items"]] == ["b"]
    page = ada.get(f"/teams/{crew}/tasks", status="open", limit=1, after=page["next"]).json
    assert ([row["title"] for row in page["items"]], page["next"]) == (["c"], None)


@pytest.mark.parametrize("limit", [0, -1, 101, "many"])
def test_limit_is_from_1_to_100(ada, limit):
    """A limit below 1 or above 100 is rejected."""
    response = ada.get("/users", limit=limit)
    assert (response.status_code, list(response.json["fields"])) == (400, ["limit"])


@pytest.mark.parametrize("after", ["x", "1'", "-1", "1-", ""])
def test_invalid_cursor_is_refused(ada, after):
    """A cursor that is not a list of numbers is rejected."""
    response = ada.get("/users", after=after)
    assert (response.status_code, list(response.json["fields"])) == (400, ["after"])


def test_cursor_of_another_list_is_refused(ada):
    """A list of users rejects the cursor of a list of tasks."""
    response = ada.get("/users", after="3-2")
    assert (response.status_code, response.json["fields"]) == (
        400,
        {"after": "does not come from this list"},
    )
