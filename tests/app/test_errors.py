"""Errors as problem+json."""

from __future__ import annotations

import pytest


def test_invalid_body_is_a_problem(client, sql):
    """An invalid body answers with a complete problem that names each invalid field."""
    response = client.post("/users/create", json={"email": "ada"})
    assert response.content_type == "application/problem+json"
    assert response.json == {
        "type": "about:blank",
        "title": "Bad Request",
        "status": 400,
        "detail": "The request is not valid.",
        "fields": {
            "email": (
                "String should match pattern '^[^@\\s\\x00]+@[^@\\s\\x00]+\\.[^@\\s\\x00]+$'"
            ),
            "name": "Field required",
        },
    }
    assert sql('SELECT count(*) FROM "user"') == [(0,)]


def test_missing_row_is_a_problem(ada):
    """A 404 answers with a problem without fields."""
    response = ada.get("/users/2")
    assert response.content_type == "application/problem+json"
    assert response.json == {
        "type": "about:blank",
        "title": "Not Found",
        "status": 404,
        "detail": "There is no such user.",
    }


@pytest.mark.usefixtures("crew")
def test_conflict_is_a_problem(ada):
    """A 409 answers with a problem that names the field."""
    response = ada.post("/teams", {"name": "Engines"})
    assert response.content_type == "application/problem+json"
    assert (response.json["title"], response.json["fields"]) == ("Conflict", {"name": "is taken"})


def test_unknown_path_is_a_problem(ada):
    """A path without a route answers 404 with a problem."""
    response = ada.get("/nowhere")
    assert (response.status_code, response.content_type) == (404, "application/problem+json")


def test_redirect_is_not_a_problem(ada, crew):
    """A path with a double slash still answers with a redirect."""
    response = ada.get(f"/teams//{crew}")
    assert (response.status_code, response.headers["Location"]) == (308, "http://localhost/teams/1")


def test_wrong_method_keeps_its_header(ada):
    """A 405 answers with a problem and keeps the Allow header."""
    response = ada.delete("/users")
    assert (response.status_code, response.json["title"]) == (405, "Method Not Allowed")
    assert "GET" in response.headers["Allow"]


def test_invalid_json_is_a_problem(client, sql):
    """A body with invalid JSON answers 400 with a problem."""
    response = client.post("/users/create", data="{", content_type="application/json")
    assert (response.status_code, response.content_type) == (400, "application/problem+json")
    assert sql('SELECT count(*) FROM "user"') == [(0,)]


def test_body_without_a_content_type(client, sql):
    """A request with a JSON body without its content type gets 415."""
    response = client.post("/users/create", data='{"email": "a@example.com", "name": "A"}')
    assert response.status_code == 415
    assert sql('SELECT count(*) FROM "user"') == [(0,)]


@pytest.mark.parametrize("body", [[], "ada", 7])
def test_json_must_be_an_object(ada, sql, body):
    """A request with a JSON body that is not an object gets 400."""
    response = ada.post("/teams", body)
    assert (response.status_code, list(response.json["fields"])) == (400, ["body"])
    assert sql("SELECT count(*) FROM team") == [(0,)]


def test_check_constraint_is_a_problem(root, sql):
    """A request with a value that violates a check constraint gets 400."""
    sql("ALTER TABLE role ADD CONSTRAINT role_is_short CHECK (length(name) < 6)")
    response = root.post("/roles", {"name": "auditor"})
    assert response.status_code == 400
    assert response.json["detail"] == "The row violates the constraint role_is_short."


def test_other_integrity_errors_are_raised(root, sql):
    """The service raises an integrity error that is not the client's fault."""
    sql("ALTER TABLE role ADD COLUMN colour text NOT NULL DEFAULT ''")
    sql("ALTER TABLE role ALTER colour DROP DEFAULT")
    with pytest.raises(Exception, match='null value in column "colour"'):
        root.post("/roles", {"name": "auditor"})
    assert sql("SELECT count(*) FROM role") == [(2,)]


def test_unexpected_error_is_a_problem_in_production(app, root, sql, monkeypatch):
    """In production, an unexpected error answers 500 without its details."""
    monkeypatch.setitem(app.config, "PROPAGATE_EXCEPTIONS", value=False)
    sql("DROP TABLE comment")
    response = root.delete("/comments/1")
    assert (response.status_code, response.content_type) == (500, "application/problem+json")
    assert "comment" not in response.json["detail"]
