"""Errors as problem+json."""

from __future__ import annotations

import pytest


def test_invalid_body_is_a_problem(client, sql):
    """A refused body answers with all members of a problem and every field to blame."""
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
    """A 404 of the service is a problem, without fields."""
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
    """A 409 is a problem that says which field is taken."""
    response = ada.post("/teams", {"name": "Engines"})
    assert response.content_type == "application/problem+json"
    assert (response.json["title"], response.json["fields"]) == ("Conflict", {"name": "is taken"})


def test_unknown_address_is_a_problem(ada):
    """An address that the service does not have answers as a problem too."""
    response = ada.get("/nowhere")
    assert (response.status_code, response.content_type) == (404, "application/problem+json")


def test_redirect_is_no_problem(ada, crew):
    """A doubled slash is mended by a redirect, which stays one."""
    response = ada.get(f"/teams//{crew}")
    assert (response.status_code, response.headers["Location"]) == (308, "http://localhost/teams/1")


def test_wrong_method_keeps_its_header(ada):
    """A 405 still says what is allowed."""
    response = ada.delete("/users")
    assert (response.status_code, response.json["title"]) == (405, "Method Not Allowed")
    assert "GET" in response.headers["Allow"]


def test_body_that_is_no_json(client, sql):
    """Broken JSON is a bad request, not an error of ours."""
    response = client.post("/users/create", data="{", content_type="application/json")
    assert (response.status_code, response.content_type) == (400, "application/problem+json")
    assert sql('SELECT count(*) FROM "user"') == [(0,)]


def test_body_without_its_type(client, sql):
    """A body that does not say it is JSON is refused as such."""
    response = client.post("/users/create", data='{"email": "a@example.com", "name": "A"}')
    assert response.status_code == 415
    assert sql('SELECT count(*) FROM "user"') == [(0,)]


@pytest.mark.parametrize("body", [[], "ada", 7])
def test_body_that_is_no_object(ada, sql, body):
    """JSON other than an object is refused as a whole."""
    response = ada.post("/teams", body)
    assert (response.status_code, list(response.json["fields"])) == (400, ["body"])
    assert sql("SELECT count(*) FROM team") == [(0,)]


def test_check_constraint_is_a_problem(root, sql):
    """What slips past the body's model is refused by the table, which is a 400."""
    sql("ALTER TABLE role ADD CONSTRAINT role_is_short CHECK (length(name) < 6)")
    response = root.post("/roles", {"name": "auditor"})
    assert response.status_code == 400
    assert response.json["detail"] == "role_is_short refuses it."


def test_other_integrity_errors_are_ours(root, sql):
    """What no client can be blamed for is raised, to be seen and mended."""
    sql("ALTER TABLE role ADD COLUMN colour text NOT NULL DEFAULT ''")
    sql("ALTER TABLE role ALTER colour DROP DEFAULT")
    with pytest.raises(Exception, match='null value in column "colour"'):
        root.post("/roles", {"name": "auditor"})
    assert sql("SELECT count(*) FROM role") == [(2,)]


def test_error_of_ours_is_a_problem_in_production(app, root, sql, monkeypatch):
    """Outside tests an unexpected error answers 500 as a problem, without its details."""
    monkeypatch.setitem(app.config, "PROPAGATE_EXCEPTIONS", value=False)
    sql("DROP TABLE comment")
    response = root.delete("/comments/1")
    assert (response.status_code, response.content_type) == (500, "application/problem+json")
    assert "comment" not in response.json["detail"]
