"""Who acts: the X-User-Id header names the user."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize("header", ["", "ada", "-1", "0", "1.0", "2", "9" * 5000])
def test_header_that_names_nobody(client, ada, header):
    """What is not the id of a user answers 401, whatever it is."""
    assert ada.id == 1
    response = client.get("/users", headers={"X-User-Id": header})
    assert response.status_code == 401


def test_no_header(client):
    """Whoever does not say who they are gets nothing, and is told how to."""
    response = client.get("/teams")
    assert response.status_code == 401
    assert "X-User-Id" in response.json["detail"]


def test_header_of_a_deleted_user(root, bob):
    """With the account goes the right to act."""
    root.delete(f"/users/{bob.id}")
    assert bob.get("/users").status_code == 401


def test_revoked_admin_is_none_at_once(root, bob, sql):
    """A role taken away in the database counts for the next request."""
    root.put(f"/users/{bob.id}/roles/admin")
    sql("DELETE FROM user_role WHERE user_id = %s AND role_id = 2", bob.id)
    assert bob.get("/audit").status_code == 403


def test_identity_is_checked_before_the_body(client, sql):
    """An anonymous request learns nothing about what a body should hold."""
    assert client.post("/teams", json={"nmae": 1}).status_code == 401
    assert sql("SELECT count(*) FROM team") == [(0,)]
