"""Users: create, list, rename and delete accounts."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest


def test_create_user_post_creates_user_and_assigns_default_role(client, sql):
    """A sign-up creates one user, who holds the role basic."""
    assert sql('SELECT count(*) FROM "user"') == [(0,)]
    assert sql("SELECT count(*) FROM user_role") == [(0,)]

    response = client.post("/users/create", json={"email": "ada@example.com", "name": "Ada"})

    assert response.status_code == 200
    assert sql('SELECT count(*) FROM "user"') == [(1,)]
    assert sql("SELECT count(*) FROM user_role") == [(1,)]
    assert sql("SELECT name FROM role JOIN user_role ON role_id = role.id") == [("basic",)]


def test_sign_up_answers_with_the_user(client):
    """A sign-up answers with the user and its roles."""
    user = client.post("/users/create", json={"email": "ada@example.com", "name": "Ada"}).json
    assert (user["id"], user["email"], user["name"]) == (1, "ada@example.com", "Ada")
    assert user["roles"] == ["basic"]


def test_sign_up_stores_the_time(client, sql):
    """A sign-up stores the current time with its time zone."""
    client.post("/users/create", json={"email": "ada@example.com", "name": "Ada"})
    [(created_at,)] = sql('SELECT created_at FROM "user"')
    assert abs(datetime.now(timezone.utc) - created_at) < timedelta(seconds=30)


def test_sign_up_strips_blanks(client, sql):
    """A sign-up removes blanks around the email address and the name."""
    client.post("/users/create", json={"email": " ada@example.com ", "name": "  Ada L. "})
    assert sql('SELECT email, name FROM "user"') == [("ada@example.com", "Ada L.")]


def test_second_sign_up_gets_another_id(client):
    """In a pristine database, the ids of users start at 1."""
    ids = [
        client.post("/users/create", json={"email": f"{name}@example.com", "name": name}).json["id"]
        for name in ("ada", "bob", "cy")
    ]
    assert ids == [1, 2, 3]


def test_sign_up_with_a_taken_address_is_refused(client, sql):
    """An email address can have only one account."""
    body = {"email": "ada@example.com", "name": "Ada"}
    client.post("/users/create", json=body)
    response = client.post("/users/create", json=body)
    assert response.status_code == 409
    assert response.json["fields"] == {"email": "is taken"}
    assert sql('SELECT count(*) FROM "user"') == [(1,)]


def test_addresses_differ_by_more_than_case(client):
    """An email address in capital letters is the same address."""
    client.post("/users/create", json={"email": "ada@example.com", "name": "Ada"})
    response = client.post("/users/create", json={"email": "ADA@Example.com", "name": "Ada"})
    assert response.status_code == 409


def test_two_users_may_have_the_same_name(client, sql):
    """Two users can have the same name."""
    for address in ("a@example.com", "b@example.com"):
        client.post("/users/create", json={"email": address, "name": "Kim"})
    assert sql('SELECT count(*) FROM "user" WHERE name = %s', "Kim") == [(2,)]


@pytest.mark.parametrize("address", ["", "ada", "ada@", "@example.com", "a b@example.com", "a@b"])
def test_sign_up_with_an_invalid_address_is_refused(client, sql, address):
    """An invalid email address answers 400 and creates no user."""
    response = client.post("/users/create", json={"email": address, "name": "Ada"})
    assert response.status_code == 400
    assert list(response.json["fields"]) == ["email"]
    assert sql('SELECT count(*) FROM "user"') == [(0,)]


def test_sign_up_with_a_blank_name_is_refused(client, sql):
    """A name that consists of blanks is rejected."""
    response = client.post("/users/create", json={"email": "ada@example.com", "name": "   "})
    assert list(response.json["fields"]) == ["name"]
    assert sql('SELECT count(*) FROM "user"') == [(0,)]


def test_name_has_at_most_80_characters(client, sql):
    """A name of 80 characters is accepted; a longer one is rejected."""
    longest = client.post("/users/create", json={"email": "a@example.com", "name": "x" * 80})
    longer = client.post("/users/create", json={"email": "b@example.com", "name": "x" * 81})
    assert (longest.status_code, longer.status_code) == (200, 400)
    assert sql('SELECT email FROM "user"') == [("a@example.com",)]


def test_name_in_any_script_is_kept(client, sql):
    """A name with characters outside ASCII is stored as it is."""
    client.post("/users/create", json={"email": "li@example.com", "name": "李 Ñandú 🐑"})
    assert sql('SELECT name FROM "user"') == [("李 Ñandú 🐑",)]


def test_sign_up_without_the_basic_role_leaves_nothing(client, sql):
    """A sign-up that fails after its first insert leaves no row."""
    sql("DELETE FROM role WHERE name = 'basic'")
    with pytest.raises(Exception, match="does not exist"):
        client.post("/users/create", json={"email": "ada@example.com", "name": "Ada"})
    assert sql('SELECT count(*) FROM "user"') == [(0,)]
    assert sql("SELECT count(*) FROM audit_entry") == [(0,)]


def test_show_user(ada, bob):
    """A user can read another user."""
    response = ada.get(f"/users/{bob.id}")
    assert response.status_code == 200
    assert response.json["email"] == "bob@example.com"


def test_show_a_missing_user(ada):
    """A request for a user who does not exist gets 404."""
    assert ada.get("/users/999").status_code == 404


def test_show_user_with_an_id_beyond_bigint(ada):
    """A request with an id that is too large for a bigint gets 404."""
    assert ada.get("/users/99999999999999999999999").status_code == 404


def test_list_users_in_the_order_they_signed_up(person):
    """Users are listed in the order in which they signed up."""
    ada, *_ = [person(name) for name in ("ada", "cy", "bob")]
    names = [user["name"] for user in ada.get("/users").json["items"]]
    assert names == ["ada", "cy", "bob"]


def test_rename_oneself(ada, sql):
    """A user can change their own name."""
    response = ada.patch(f"/users/{ada.id}", {"name": "Countess"})
    assert response.json["name"] == "Countess"
    assert sql('SELECT name FROM "user"') == [("Countess",)]


def test_rename_keeps_the_address(ada, sql):
    """A change of the name keeps the email address."""
    ada.patch(f"/users/{ada.id}", {"name": "Countess"})
    assert sql('SELECT email FROM "user"') == [("ada@example.com",)]


def test_rename_another_user_is_forbidden(ada, bob, sql):
    """A user cannot change the name of another user."""
    assert ada.patch(f"/users/{bob.id}", {"name": "Bobby"}).status_code == 403
    assert sql('SELECT count(*) FROM "user" WHERE name = %s', "Bobby") == [(0,)]


def test_admin_renames_any_user(root, bob, sql):
    """An admin can change the name of any user."""
    assert root.patch(f"/users/{bob.id}", {"name": "Bobby"}).status_code == 200
    assert sql('SELECT name FROM "user" WHERE id = %s', bob.id) == [("Bobby",)]


def test_delete_user_deletes_the_users_roles(root, bob, sql):
    """The deletion of a user deletes the roles of that user only."""
    response = root.delete(f"/users/{bob.id}")
    assert (response.status_code, response.data) == (204, b"")
    assert sql("SELECT DISTINCT user_id FROM user_role") == [(root.id,)]


def test_delete_user_is_for_admins(ada, bob, sql):
    """A user without the admin role cannot delete a user."""
    assert ada.delete(f"/users/{bob.id}").status_code == 403
    assert sql('SELECT count(*) FROM "user"') == [(2,)]


def test_delete_user_who_owns_a_team_is_refused(root, ada, team, sql):
    """A user who owns a team cannot be deleted."""
    team(ada)
    response = root.delete(f"/users/{ada.id}")
    assert response.status_code == 409
    assert response.json["detail"] == "Other rows still refer to this row."
    assert sql('SELECT count(*) FROM "user" WHERE id = %s', ada.id) == [(1,)]


def test_delete_user_deletes_the_memberships(root, bob, crew, sql):
    """The deletion of a user deletes the user's memberships."""
    assert root.delete(f"/users/{bob.id}").status_code == 204
    assert (
        sql("SELECT user_id FROM membership WHERE team_id = %s AND user_id = %s", crew, bob.id)
        == []
    )


def test_deleted_user_can_sign_up_again(root, bob, client):
    """The email address of a deleted user can be used again."""
    root.delete(f"/users/{bob.id}")
    body = {"email": "bob@example.com", "name": "Bob"}
    assert client.post("/users/create", json=body).status_code == 200
