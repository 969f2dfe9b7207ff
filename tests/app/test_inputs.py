"""What requests may hold."""

from __future__ import annotations


def test_unknown_field_is_refused(client, sql):
    """A field that the service does not know is named, not ignored: nobody signs up as an admin."""
    body = {"email": "eve@example.com", "name": "Eve", "roles": ["admin"]}
    response = client.post("/users/create", json=body)
    assert list(response.json["fields"]) == ["roles"]
    assert sql('SELECT count(*) FROM "user"') == [(0,)]


def test_unknown_query_is_refused(ada):
    """A word in the address that the service does not know is named."""
    assert list(ada.get("/users", page=2).json["fields"]) == ["page"]


def test_nul_in_a_name_is_refused(client, sql):
    """NUL, which PostgreSQL's text cannot hold, is refused with the field."""
    response = client.post("/users/create", json={"email": "a@example.com", "name": "A\x00"})
    assert (response.status_code, list(response.json["fields"])) == (400, ["name"])
    assert sql('SELECT count(*) FROM "user"') == [(0,)]


def test_nul_in_a_search_is_refused(ada):
    """NUL is refused in the address too."""
    assert ada.get("/search", q="oil\x00").status_code == 400


def test_nul_in_a_tag_filter_is_refused(ada, crew):
    """NUL is refused in a filter."""
    assert list(ada.get(f"/teams/{crew}/tasks", tag="\x00").json["fields"]) == ["tag"]


def test_long_text_is_kept_whole(ada, task, sql):
    """A body of 10,000 characters is kept; one more is refused."""
    task_id = task(body="x" * 10_000)
    assert sql("SELECT length(body) FROM task") == [(10_000,)]
    assert ada.patch(f"/tasks/{task_id}", {"body": "x" * 10_001}).status_code == 400


def test_quotes_are_text(client, sql):
    """What looks like SQL is a name like any other."""
    name = """Robert'); DROP TABLE "user"; --"""
    client.post("/users/create", json={"email": "bobby@example.com", "name": name})
    assert sql('SELECT name FROM "user"') == [(name,)]


def test_percent_signs_are_text(ada, task, sql):
    """What looks like a parameter is text like any other."""
    ada.patch(f"/tasks/{task()}", {"body": "100 %s %(done)s %%"})
    assert sql("SELECT body FROM task") == [("100 %s %(done)s %%",)]
