"""The audit trail: who changed what, as the database's triggers wrote it down."""

from __future__ import annotations

from contextlib import closing


def test_sign_up_is_nobodys_act(client, sql):
    """Whoever signs up is not yet known: the entry has no actor."""
    client.post("/users/create", json={"email": "ada@example.com", "name": "Ada"})
    assert sql("SELECT actor_id, table_name, row_id, operation FROM audit_entry") == [
        (None, "user", 1, "insert")
    ]


def test_entry_of_a_new_row_shows_the_row(client, sql):
    """An insert has nothing before, and after it the row as it is."""
    client.post("/users/create", json={"email": "ada@example.com", "name": "Ada"})
    [(before, after)] = sql("SELECT before, after FROM audit_entry")
    assert before is None
    assert (after["email"], after["name"]) == ("ada@example.com", "Ada")


def test_entry_of_a_change_shows_both(ada, sql):
    """An update has the row as it was and as it is, and names who did it."""
    ada.patch(f"/users/{ada.id}", {"name": "Countess"})
    assert sql(
        "SELECT actor_id, before->>'name', after->>'name' FROM audit_entry"
        " WHERE operation = 'update'"
    ) == [(ada.id, "ada", "Countess")]


def test_entry_of_a_deletion_outlives_the_row(root, bob, sql):
    """A delete has the row as it was, under an id that nobody has any more."""
    root.delete(f"/users/{bob.id}")
    assert sql(
        "SELECT actor_id, row_id, before->>'email', after FROM audit_entry"
        " WHERE operation = 'delete'"
    ) == [(root.id, bob.id, "bob@example.com", None)]


def test_claim_is_in_the_trail(bob, task, sql):
    """The trail tells who took a task."""
    task()
    bob.post("/tasks/claim")
    assert sql(
        "SELECT actor_id, after->>'status' FROM audit_entry"
        " WHERE table_name = 'task' AND operation = 'update'"
    ) == [(bob.id, "claimed")]


def test_trail_leaves_the_search_vector_out(ada, task, sql):
    """The search vector only repeats the task's text, so it is not recorded."""
    ada.patch(f"/tasks/{task('Oil the engine')}", {"priority": 1})
    assert sql(
        "SELECT before ? 'title', before ? 'search', after ? 'title', after ? 'search'"
        " FROM audit_entry WHERE table_name = 'task' AND operation = 'update'"
    ) == [(True, False, True, False)]


def test_refused_request_leaves_no_entry(ada, bob, sql):
    """What was forbidden did not happen."""
    ada.patch(f"/users/{bob.id}", {"name": "Bobby"})
    assert sql("SELECT count(*) FROM audit_entry WHERE operation = 'update'") == [(0,)]


def test_rolled_back_change_leaves_no_entry(ada, pg, sql):
    """The trail is part of the transaction that it tells of."""
    with closing(pg.connect()) as other:
        other.cursor().execute("""UPDATE "user" SET name = 'Nobody'""")
        other.rollback()
    assert sql("SELECT count(*) FROM audit_entry WHERE row_id = %s", ada.id) == [(1,)]


def test_trail_sees_what_bypasses_the_service(ada, sql):
    """Who changes a row by hand is in the trail too, without an actor."""
    sql("""UPDATE "user" SET name = 'Nobody'""")
    assert sql("SELECT actor_id, row_id FROM audit_entry WHERE operation = 'update'") == [
        (None, ada.id)
    ]


def test_actor_of_one_request_is_forgotten_in_the_next(ada, client, sql):
    """An anonymous request after a known person's is nobody's act."""
    ada.patch(f"/users/{ada.id}", {"name": "Countess"})
    client.post("/users/create", json={"email": "bob@example.com", "name": "Bob"})
    assert sql("SELECT actor_id FROM audit_entry ORDER BY id DESC LIMIT 1") == [(None,)]


def test_list_entries(root, bob):
    """An admin reads the trail, oldest first."""
    bob.patch(f"/users/{bob.id}", {"name": "Bobby"})
    items = root.get("/audit").json["items"]
    assert [(row["operation"], row["row_id"], row["actor_id"]) for row in items] == [
        ("insert", root.id, None),
        ("insert", bob.id, None),
        ("update", bob.id, bob.id),
    ]


def test_list_entries_of_a_table(root, crew):
    """The trail can be read for one table."""
    items = root.get("/audit", table="team").json["items"]
    assert [(row["table"], row["row_id"]) for row in items] == [("team", crew)]


def test_list_entries_of_a_table_without_a_trail(root):
    """Comments leave no trail, so asking for theirs is refused."""
    assert list(root.get("/audit", table="comment").json["fields"]) == ["table"]


def test_list_entries_is_for_admins(ada):
    """Without the admin role nobody reads the trail."""
    assert ada.get("/audit").status_code == 403
