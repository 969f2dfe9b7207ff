"""Roles: their names, and which users hold them."""

from __future__ import annotations


def test_pristine_database_has_two_roles(sql):
    """A pristine database has only the roles basic and admin."""
    assert sql("SELECT id, name FROM role ORDER BY id") == [(1, "basic"), (2, "admin")]


def test_list_roles_by_name(ada):
    """Roles are listed in alphabetical order, with their descriptions."""
    assert ada.get("/roles").json["items"] == [
        {"id": 2, "name": "admin", "description": "Manages users and roles, reads the audit trail"},
        {"id": 1, "name": "basic", "description": "What everyone may do"},
    ]


def test_create_role(root, sql):
    """A new role gets the next id after the two first roles."""
    response = root.post("/roles", {"name": "auditor", "description": "Reads"})
    assert response.status_code == 201
    assert response.json == {"id": 3, "name": "auditor", "description": "Reads"}
    assert sql("SELECT name FROM role WHERE id = 3") == [("auditor",)]


def test_create_role_needs_no_description(root, sql):
    """The description of a new role is empty by default."""
    root.post("/roles", {"name": "auditor"})
    assert sql("SELECT description FROM role WHERE name = 'auditor'") == [("",)]


def test_create_role_is_for_admins(ada, sql):
    """A user without the admin role cannot create a role."""
    assert ada.post("/roles", {"name": "auditor"}).status_code == 403
    assert sql("SELECT count(*) FROM role") == [(2,)]


def test_create_role_with_a_taken_name_is_refused(root, sql):
    """Two roles cannot have the same name."""
    response = root.post("/roles", {"name": "basic"})
    assert response.status_code == 409
    assert response.json["fields"] == {"name": "is taken"}
    assert sql("SELECT count(*) FROM role") == [(2,)]


def test_delete_an_unused_role(root, sql):
    """A role that no user holds can be deleted."""
    root.post("/roles", {"name": "auditor"})
    assert root.delete("/roles/auditor").status_code == 204
    assert sql("SELECT count(*) FROM role") == [(2,)]


def test_delete_a_role_in_use_is_refused(root, sql):
    """A role that a user holds cannot be deleted."""
    assert root.delete("/roles/basic").status_code == 409
    assert sql("SELECT count(*) FROM user_role JOIN role ON role_id = id WHERE name = 'basic'") == [
        (1,)
    ]


def test_delete_a_missing_role(root):
    """The request to delete a role that does not exist gets 404."""
    assert root.delete("/roles/emperor").status_code == 404


def test_delete_role_is_for_admins(ada, sql):
    """A user without the admin role cannot delete a role."""
    assert ada.delete("/roles/admin").status_code == 403
    assert sql("SELECT count(*) FROM role") == [(2,)]


def test_grant_role(root, bob):
    """A user who is granted a role holds it and the role basic."""
    response = root.put(f"/users/{bob.id}/roles/admin")
    assert (response.status_code, response.json["roles"]) == (201, ["admin", "basic"])


def test_grant_role_twice_changes_nothing(root, bob, sql):
    """The second grant of a role answers 200 and keeps the time of the first."""
    root.put(f"/users/{bob.id}/roles/admin")
    before = sql("SELECT granted_at FROM user_role WHERE user_id = %s", bob.id)
    assert root.put(f"/users/{bob.id}/roles/admin").status_code == 200
    assert sql("SELECT granted_at FROM user_role WHERE user_id = %s", bob.id) == before


def test_granted_role_is_valid_at_once(root, bob):
    """A new admin can create a role with the next request."""
    assert bob.post("/roles", {"name": "auditor"}).status_code == 403
    root.put(f"/users/{bob.id}/roles/admin")
    assert bob.post("/roles", {"name": "auditor"}).status_code == 201


def test_grant_role_to_a_missing_user(root):
    """The request to grant a role to a user who does not exist gets 404."""
    response = root.put("/users/999/roles/admin")
    assert (response.status_code, response.json["detail"]) == (404, "There is no such user.")


def test_grant_a_missing_role(root, bob):
    """The request to grant a role that does not exist gets 404."""
    response = root.put(f"/users/{bob.id}/roles/emperor")
    assert (response.status_code, response.json["detail"]) == (404, "There is no such role.")


def test_grant_role_to_oneself_is_forbidden(ada, sql):
    """A user without the admin role cannot become an admin."""
    assert ada.put(f"/users/{ada.id}/roles/admin").status_code == 403
    assert sql("SELECT count(*) FROM user_role") == [(1,)]


def test_revoke_role(root, bob, sql):
    """A revoked role is gone; the other roles of the user stay."""
    root.put(f"/users/{bob.id}/roles/admin")
    assert root.delete(f"/users/{bob.id}/roles/admin").json["roles"] == ["basic"]
    assert sql("SELECT role_id FROM user_role WHERE user_id = %s", bob.id) == [(1,)]


def test_revoke_a_role_that_the_user_does_not_hold(root, bob):
    """The request to revoke a role that the user does not hold gets 404."""
    response = root.delete(f"/users/{bob.id}/roles/admin")
    assert response.status_code == 404
    assert response.json["detail"] == "The user does not hold this role."


def test_revoke_basic_is_refused(root, bob, sql):
    """The role basic cannot be revoked."""
    assert root.delete(f"/users/{bob.id}/roles/basic").status_code == 409
    assert sql("SELECT count(*) FROM user_role WHERE user_id = %s", bob.id) == [(1,)]
