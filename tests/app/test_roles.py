"""Which roles there are, and who holds them."""

from __future__ import annotations


def test_pristine_database_has_two_roles(sql):
    """The migrations seed basic and admin, and nothing else."""
    assert sql("SELECT id, name FROM role ORDER BY id") == [(1, "basic"), (2, "admin")]


def test_list_roles_by_name(ada):
    """The list is in alphabetical order, with descriptions."""
    assert ada.get("/roles").json["items"] == [
        {"id": 2, "name": "admin", "description": "Manages users and roles, reads the audit trail"},
        {"id": 1, "name": "basic", "description": "What everyone may do"},
    ]


def test_create_role_follows_the_seed(root, sql):
    """A role that an admin creates gets the id after the seeded ones."""
    response = root.post("/roles", {"name": "auditor", "description": "Reads"})
    assert response.status_code == 201
    assert response.json == {"id": 3, "name": "auditor", "description": "Reads"}
    assert sql("SELECT name FROM role WHERE id = 3") == [("auditor",)]


def test_create_role_needs_no_description(root, sql):
    """The description of a role is empty unless given."""
    root.post("/roles", {"name": "auditor"})
    assert sql("SELECT description FROM role WHERE name = 'auditor'") == [("",)]


def test_create_role_is_for_admins(ada, sql):
    """Without the admin role nobody creates one."""
    assert ada.post("/roles", {"name": "auditor"}).status_code == 403
    assert sql("SELECT count(*) FROM role") == [(2,)]


def test_create_role_that_is_there_is_refused(root, sql):
    """A seeded role's name is taken."""
    response = root.post("/roles", {"name": "basic"})
    assert response.status_code == 409
    assert response.json["fields"] == {"name": "is taken"}
    assert sql("SELECT count(*) FROM role") == [(2,)]


def test_delete_role_that_nobody_holds(root, sql):
    """An unused role can go."""
    root.post("/roles", {"name": "auditor"})
    assert root.delete("/roles/auditor").status_code == 204
    assert sql("SELECT count(*) FROM role") == [(2,)]


def test_delete_role_that_somebody_holds_is_refused(root, sql):
    """A role in use stays, and so do its holders."""
    assert root.delete("/roles/basic").status_code == 409
    assert sql("SELECT count(*) FROM user_role JOIN role ON role_id = id WHERE name = 'basic'") == [
        (1,)
    ]


def test_delete_role_that_is_not_there(root):
    """An unknown role answers 404."""
    assert root.delete("/roles/emperor").status_code == 404


def test_delete_role_is_for_admins(ada, sql):
    """Without the admin role nobody deletes one, not even one that nobody holds."""
    assert ada.delete("/roles/admin").status_code == 403
    assert sql("SELECT count(*) FROM role") == [(2,)]


def test_grant_role(root, bob):
    """Whoever is granted a role holds it besides basic."""
    response = root.put(f"/users/{bob.id}/roles/admin")
    assert (response.status_code, response.json["roles"]) == (201, ["admin", "basic"])


def test_grant_role_twice_changes_nothing(root, bob, sql):
    """Granting is idempotent: the first grant's time stays."""
    root.put(f"/users/{bob.id}/roles/admin")
    before = sql("SELECT granted_at FROM user_role WHERE user_id = %s", bob.id)
    assert root.put(f"/users/{bob.id}/roles/admin").status_code == 200
    assert sql("SELECT granted_at FROM user_role WHERE user_id = %s", bob.id) == before


def test_granted_role_counts_at_once(root, bob):
    """The next request of a new admin is an admin's."""
    assert bob.post("/roles", {"name": "auditor"}).status_code == 403
    root.put(f"/users/{bob.id}/roles/admin")
    assert bob.post("/roles", {"name": "auditor"}).status_code == 201


def test_grant_role_to_nobody(root):
    """There is nobody to grant a role to: 404."""
    response = root.put("/users/999/roles/admin")
    assert (response.status_code, response.json["detail"]) == (404, "There is no such user.")


def test_grant_role_that_is_not_there(root, bob):
    """There is no such role to grant: 404."""
    response = root.put(f"/users/{bob.id}/roles/emperor")
    assert (response.status_code, response.json["detail"]) == (404, "There is no such role.")


def test_grant_role_to_oneself_is_forbidden(ada, sql):
    """Nobody makes themselves an admin."""
    assert ada.put(f"/users/{ada.id}/roles/admin").status_code == 403
    assert sql("SELECT count(*) FROM user_role") == [(1,)]


def test_revoke_role(root, bob, sql):
    """A revoked role is gone, the others stay."""
    root.put(f"/users/{bob.id}/roles/admin")
    assert root.delete(f"/users/{bob.id}/roles/admin").json["roles"] == ["basic"]
    assert sql("SELECT role_id FROM user_role WHERE user_id = %s", bob.id) == [(1,)]


def test_revoke_role_not_held(root, bob):
    """What is not held cannot be revoked: 404."""
    response = root.delete(f"/users/{bob.id}/roles/admin")
    assert response.json["detail"] == "There is no such role of this user."


def test_revoke_basic_is_refused(root, bob, sql):
    """Everybody keeps the role basic."""
    assert root.delete(f"/users/{bob.id}/roles/basic").status_code == 409
    assert sql("SELECT count(*) FROM user_role WHERE user_id = %s", bob.id) == [(1,)]
