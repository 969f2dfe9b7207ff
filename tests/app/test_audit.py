"""The audit trail: who changed which row. The database's triggers write it."""

from __future__ import annotations

from contextlib import closing


def test_sign_up_has_no_actor(client, sql):
    """The entry of a sign-up has no actor, because the request needs no account."""
    client.post("/users/create", json={"email": "ada@example.com", "name": "Ada"})
    assert sql("SELECT actor_id, table_name, row_id, operation FROM audit_entry") == [
        (None, "user", 1, "insert")
    ]


def test_entry_of_a_new_row_shows_the_row(client, sql):
    """The entry of an insert has only the new row."""
    client.post("/users/create", json={"email": "ada@example.com", "name": "Ada"})
    [(before, after)] = sql("SELECT before, after FROM audit_entry")
    assert before is None
    assert (after["email"], after["name"]) == ("ada@example.com", "Ada")


def test_entry_of_a_change_shows_both(ada, sql):
    """The entry of an update has the old row, the new row and the actor."""
    ada.patch(f"/users/{ada.id}", {"name": "Countess"})
    assert sql(
        "SELECT actor_id, before->>'name', after->>'name' FROM audit_entry"
        " WHERE operation = 'update'"
    ) == [(ada.id, "ada", "Countess")]


def test_entry_of_a_deletion_outlives_the_row(root, bob, sql):
    """The entry of a deletion has the old row, and stays after the deletion."""
    root.delete(f"/users/{bob.id}")
    assert sql(
        "SELECT actor_id, row_id, before->>'email', after FROM audit_entry"
        " WHERE operation = 'delete'"
    ) == [(root.id, bob.id, "bob@example.com", None)]


def test_claim_is_in_the_trail(bob, task, sql):
    """The audit trail names the user who claims a task."""
    task()
    bob.post("/tasks/claim")
    assert sql(
        "SELECT actor_id, after->>'status' FROM audit_entry"
        " WHERE table_name = 'task' AND operation = 'update'"
    ) == [(bob.id, "claimed")]


def test_trail_leaves_the_search_vector_out(ada, task, sql):
    """The audit trail leaves out the search vector of a task."""
    ada.patch(f"/tasks/{task('Oil the engine')}", {"priority": 1})
    assert sql(
        "SELECT before ? 'title', before ? 'search', after ? 'title', after ? 'search'"
        " FROM audit_entry WHERE table_name = 'task' AND operation = 'update'"
    ) == [(True, False, True, False)]


def test_refused_request_leaves_no_entry(ada, bob, sql):
    """A request that answers 403 leaves no entry."""
    ada.patch(f"/users/{bob.id}", {"name": "Bobby"})
    assert sql("SELECT count(*) FROM audit_entry WHERE operation = 'update'") == [(0,)]


def test_rolled_back_change_leaves_no_entry(ada, pg, sql):
    """A change that is rolled back leaves no entry."""
    with closing(pg.connect()) as other:
        other.cursor().execute("""UPDATE "user" SET name = 'Nobody'""")
        other.rollback()
    assert sql("SELECT count(*) FROM audit_entry WHERE row_id = %s", ada.id) == [(1,)]


def test_change_by_hand_is_in_the_trail(ada, sql):
    """A change that bypasses the service has an entry without an actor."""
    sql("""UPDATE "user" SET name = 'Nobody'""")
    assert sql("SELECT actor_id, row_id FROM audit_entry WHERE operation = 'update'") == [
        (None, ada.id)
    ]


def test_actor_lasts_for_one_request(ada, client, sql):
    """A request without a user has no actor, even right after a user's request."""
    ada.patch(f"/users/{ada.id}", {"name": "Countess"})
    client.post("/users/create", json={"email": "bob@example.com", "name": "Bob"})
    assert sql("SELECT actor_id FROM audit_entry ORDER BY id DESC LIMIT 1") == [(None,)]


def test_list_entries(root, bob):
    """An admin can list the audit trail, oldest entry first."""
    bob.patch(f"/users/{bob.id}", {"name": "Bobby"})
    items = root.get("/audit").json["items"]
    assert [(row["operation"], row["row_id"], row["actor_id"]) for row in items] == [
        ("insert", root.id, None),
        ("insert", bob.id, None),
        ("update", bob.id, bob.id),
    ]


def test_list_entries_of_a_table(root, crew):
    """An admin can list the entries of one table."""
    items = root.get("/audit", table="team").json["items"]
    assert [(row["table"], row["row_id"]) for row in items] == [("team", crew)]


def test_list_entries_of_a_table_without_a_trail(root):
    """The filter rejects a table that has no audit trail."""
    assert list(root.get("/audit", table="comment").json["fields"]) == ["table"]


def test_list_entries_is_for_admins(ada):
    """A user without the admin role cannot list the audit trail."""
    assert ada.get("/audit").status_code == 403
