"""Signing up, looking people up, leaving."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest


def test_create_user_post_creates_user_and_assigns_default_role(client, sql):
    """Signing up makes one user, who holds the role basic."""
    assert sql('SELECT count(*) FROM "user"') == [(0,)]
    assert sql("SELECT count(*) FROM user_role") == [(0,)]

    response = client.post("/users/create", json={"email": "ada@example.com", "name": "Ada"})

    assert response.status_code == 200
    assert sql('SELECT count(*) FROM "user"') == [(1,)]
    assert sql("SELECT count(*) FROM user_role") == [(1,)]
    assert sql("SELECT name FROM role JOIN user_role ON role_id = role.id") == [("basic",)]


def test_sign_up_answers_with_the_user(client):
    """Signing up answers with what others may see, the role included."""
    user = client.post("/users/create", json={"email": "ada@example.com", "name": "Ada"}).json
    assert (user["id"], user["email"], user["name"]) == (1, "ada@example.com", "Ada")
    assert user["roles"] == ["basic"]


def test_sign_up_records_when(client, sql):
    """The time of signing up has a zone and is now."""
    client.post("/users/create", json={"email": "ada@example.com", "name": "Ada"})
    [(created_at,)] = sql('SELECT created_at FROM "user"')
    assert abs(datetime.now(timezone.utc) - created_at) < timedelta(seconds=30)


def test_sign_up_strips_blanks(client, sql):
    """Blanks around the address and the name are not kept."""
    client.post("/users/create", json={"email": " ada@example.com ", "name": "  Ada L. "})
    assert sql('SELECT email, name FROM "user"') == [("ada@example.com", "Ada L.")]


def test_second_sign_up_gets_another_id(client):
    """Ids count up from one in a pristine database."""
    ids = [
        client.post("/users/create", json={"email": f"{name}@example.com", "name": name}).json["id"]
        for name in ("ada", "bob", "cy")
    ]
    assert ids == [1, 2, 3]


def test_sign_up_with_a_taken_address_is_refused(client, sql):
    """An address has one account: 409, and nothing is added."""
    body = {"email": "ada@example.com", "name": "Ada"}
    client.post("/users/create", json=body)
    response = client.post("/users/create", json=body)
    assert response.status_code == 409
    assert response.json["fields"] == {"email": "is taken"}
    assert sql('SELECT count(*) FROM "user"') == [(1,)]


def test_addresses_differ_by_more_than_case(client):
    """The same address in capitals is taken too."""
    client.post("/users/create", json={"email": "ada@example.com", "name": "Ada"})
    response = client.post("/users/create", json={"email": "ADA@Example.com", "name": "Ada"})
    assert response.status_code == 409


def test_same_name_twice_is_fine(client, sql):
    """Two people may have one name."""
    for address in ("a@example.com", "b@example.com"):
        client.post("/users/create", json={"email": address, "name": "Kim"})
    assert sql('SELECT count(*) FROM "user" WHERE name = %s', "Kim") == [(2,)]


@pytest.mark.parametrize("address", ["", "ada", "ada@", "@example.com", "a b@example.com", "a@b"])
def test_sign_up_with_a_bad_address_is_refused(client, sql, address):
    """What is no address answers 400 with the field, and nobody is added."""
    response = client.post("/users/create", json={"email": address, "name": "Ada"})
    assert response.status_code == 400
    assert list(response.json["fields"]) == ["email"]
    assert sql('SELECT count(*) FROM "user"') == [(0,)]


def test_sign_up_with_a_blank_name_is_refused(client, sql):
    """A name of blanks is none."""
    response = client.post("/users/create", json={"email": "ada@example.com", "name": "   "})
    assert list(response.json["fields"]) == ["name"]
    assert sql('SELECT count(*) FROM "user"') == [(0,)]


def test_name_may_have_80_characters_but_no_more(client, sql):
    """The longest name has 80 characters."""
    longest = client.post("/users/create", json={"email": "a@example.com", "name": "x" * 80})
    longer = client.post("/users/create", json={"email": "b@example.com", "name": "x" * 81})
    assert (longest.status_code, longer.status_code) == (200, 400)
    assert sql('SELECT email FROM "user"') == [("a@example.com",)]


def test_name_in_any_script_is_kept(client, sql):
    """Names outside ASCII come back as they were."""
    client.post("/users/create", json={"email": "li@example.com", "name": "李 Ñandú 🐑"})
    assert sql('SELECT name FROM "user"') == [("李 Ñandú 🐑",)]


def test_sign_up_without_the_basic_role_leaves_nothing(client, sql):
    """A sign-up that fails half-way is rolled back as a whole."""
    sql("DELETE FROM role WHERE name = 'basic'")
    with pytest.raises(Exception, match="does not exist"):
        client.post("/users/create", json={"email": "ada@example.com", "name": "Ada"})
    assert sql('SELECT count(*) FROM "user"') == [(0,)]
    assert sql("SELECT count(*) FROM audit_entry") == [(0,)]


def test_show_user(ada, bob):
    """Anybody with an account can look anybody up."""
    response = ada.get(f"/users/{bob.id}")
    assert response.status_code == 200
    assert response.json["email"] == "bob@example.com"


def test_show_user_who_is_not_there(ada):
    """An id that nobody has answers 404."""
    assert ada.get("/users/999").status_code == 404


def test_show_user_with_an_id_beyond_bigint(ada):
    """An id that no row could have answers 404 as well."""
    assert ada.get("/users/99999999999999999999999").status_code == 404


def test_list_users_in_the_order_they_signed_up(person):
    """The list begins with whoever came first."""
    ada, *_ = [person(name) for name in ("ada", "cy", "bob")]
    names = [user["name"] for user in ada.get("/users").json["items"]]
    assert names == ["ada", "cy", "bob"]


def test_rename_oneself(ada, sql):
    """A user may change their own name."""
    response = ada.patch(f"/users/{ada.id}", {"name": "Countess"})
    assert response.json["name"] == "Countess"
    assert sql('SELECT name FROM "user"') == [("Countess",)]


def test_rename_keeps_the_address(ada, sql):
    """Renaming touches nothing but the name."""
    ada.patch(f"/users/{ada.id}", {"name": "Countess"})
    assert sql('SELECT email FROM "user"') == [("ada@example.com",)]


def test_rename_somebody_else_is_forbidden(ada, bob, sql):
    """A user may not change another's name."""
    assert ada.patch(f"/users/{bob.id}", {"name": "Bobby"}).status_code == 403
    assert sql('SELECT count(*) FROM "user" WHERE name = %s', "Bobby") == [(0,)]


def test_admin_renames_anybody(root, bob, sql):
    """An admin may change anybody's name."""
    assert root.patch(f"/users/{bob.id}", {"name": "Bobby"}).status_code == 200
    assert sql('SELECT name FROM "user" WHERE id = %s', bob.id) == [("Bobby",)]


def test_delete_user_takes_the_roles_along(root, bob, sql):
    """Deleting a user deletes what roles they held, and nobody else's."""
    response = root.delete(f"/users/{bob.id}")
    assert (response.status_code, response.data) == (204, b"")
    assert sql("SELECT DISTINCT user_id FROM user_role") == [(root.id,)]


def test_delete_user_is_for_admins(ada, bob, sql):
    """Without the admin role nobody is deleted."""
    assert ada.delete(f"/users/{bob.id}").status_code == 403
    assert sql('SELECT count(*) FROM "user"') == [(2,)]


def test_delete_user_who_owns_a_team_is_refused(root, ada, team, sql):
    """An owner has to hand the team over first."""
    team(ada)
    response = root.delete(f"/users/{ada.id}")
    assert (response.status_code, response.json["detail"]) == (409, "It is still in use.")
    assert sql('SELECT count(*) FROM "user" WHERE id = %s', ada.id) == [(1,)]


def test_delete_member_takes_the_membership_along(root, bob, crew, sql):
    """A member who is deleted is no member any more."""
    assert root.delete(f"/users/{bob.id}").status_code == 204
    assert (
        sql("SELECT user_id FROM membership WHERE team_id = %s AND user_id = %s", crew, bob.id)
        == []
    )


def test_deleted_user_can_sign_up_again(root, bob, client):
    """A deleted user's address is free."""
    root.delete(f"/users/{bob.id}")
    body = {"email": "bob@example.com", "name": "Bob"}
    assert client.post("/users/create", json=body).status_code == 200
