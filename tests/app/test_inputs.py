"""Input from requests: the body and the query string."""

from __future__ import annotations


def test_unknown_field_is_refused(client, sql):
    """A body with an unknown field is rejected, so nobody can sign up as an admin."""
    body = {"email": "eve@example.com", "name": "Eve", "roles": ["admin"]}
    response = client.post("/users/create", json=body)
    assert list(response.json["fields"]) == ["roles"]
    assert sql('SELECT count(*) FROM "user"') == [(0,)]


def test_unknown_query_parameter_is_refused(ada):
    """An unknown query parameter is rejected."""
    assert list(ada.get("/users", page=2).json["fields"]) == ["page"]


def test_nul_in_a_name_is_refused(client, sql):
    """A name with a NUL character is rejected."""
    response = client.post("/users/create", json={"email": "a@example.com", "name": "A\x00"})
    assert (response.status_code, list(response.json["fields"])) == (400, ["name"])
    assert sql('SELECT count(*) FROM "user"') == [(0,)]


def test_nul_in_a_search_is_refused(ada):
    """A search with a NUL character is rejected."""
    assert ada.get("/search", q="oil\x00").status_code == 400


def test_nul_in_a_tag_filter_is_refused(ada, crew):
    """A tag filter with a NUL character is rejected."""
    assert list(ada.get(f"/teams/{crew}/tasks", tag="\x00").json["fields"]) == ["tag"]


def test_text_has_at_most_10000_characters(ada, task, sql):
    """A text of 10,000 characters is stored; a longer one is rejected."""
    task_id = task(body="x" * 10_000)
    assert sql("SELECT length(body) FROM task") == [(10_000,)]
    assert ada.patch(f"/tasks/{task_id}", {"body": "x" * 10_001}).status_code == 400


def test_quotes_are_text(client, sql):
    """A name that contains SQL is stored as it is."""
    name = """Robert'); DROP TABLE "user"; --"""
    client.post("/users/create", json={"email": "bobby@example.com", "name": name})
    assert sql('SELECT name FROM "user"') == [(name,)]


def test_percent_signs_are_text(ada, task, sql):
    """A text that contains query placeholders is stored as it is."""
    ada.patch(f"/tasks/{task()}", {"body": "100 %s %(done)s %%"})
    assert sql("SELECT body FROM task") == [("100 %s %(done)s %%",)]
