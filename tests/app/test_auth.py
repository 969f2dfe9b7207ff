"""Authentication: the X-User-Id header names the user who sends the request."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize("header", ["", "ada", "-1", "0", "1.0", "2", "9" * 5000])
def test_header_without_an_existing_user(client, ada, header):
    """A request whose header is not the id of a user gets 401."""
    assert ada.id == 1
    response = client.get("/users", headers={"X-User-Id": header})
    assert response.status_code == 401


def test_no_header(client):
    """A request without the header answers 401 with an error that names the header."""
    response = client.get("/teams")
    assert response.status_code == 401
    assert "X-User-Id" in response.json["detail"]


def test_header_of_a_deleted_user(root, bob):
    """A request with the id of a deleted user gets 401."""
    root.delete(f"/users/{bob.id}")
    assert bob.get("/users").status_code == 401


def test_revoked_admin_role_ends_at_once(root, bob, sql):
    """After an admin loses the role, the next request gets 403."""
    root.put(f"/users/{bob.id}/roles/admin")
    sql("DELETE FROM user_role WHERE user_id = %s AND role_id = 2", bob.id)
    assert bob.get("/audit").status_code == 403


def test_header_is_checked_before_the_body(client, sql):
    """A request with no user and an invalid body answers 401, not 400."""
    assert client.post("/teams", json={"nmae": 1}).status_code == 401
    assert sql("SELECT count(*) FROM team") == [(0,)]
