"""The models, and the constraints of their tables."""

from __future__ import annotations

import pytest
from psycopg2 import errors

from app import models
from app.db import database


@pytest.mark.usefixtures("client")
def test_every_model_reads_its_table():
    """Each model can select all its columns; only the table of roles has rows."""
    tables = [model for model in models.Base.__subclasses__() if model is not models.Role]
    with database.connection_context():
        assert [list(model.select()) for model in tables] == [[]] * 10
        assert [role.name for role in models.Role.select().order_by(models.Role.id)] == [
            "basic",
            "admin",
        ]


def test_user_holds_a_role_once(ada, sql):
    """A user cannot hold the same role twice."""
    with pytest.raises(errors.UniqueViolation):
        sql("INSERT INTO user_role (user_id, role_id) VALUES (%s, 1)", ada.id)


def test_user_role_needs_a_user(sql):
    """A role cannot be granted to a user who does not exist."""
    with pytest.raises(errors.ForeignKeyViolation):
        sql("INSERT INTO user_role (user_id, role_id) VALUES (1, 1)")


def test_user_needs_an_address(sql):
    """The table rejects a user without a valid email address."""
    with pytest.raises(errors.CheckViolation, match="user_email_check"):
        sql("""INSERT INTO "user" (email, name) VALUES ('ada', 'Ada')""")


def test_open_task_has_no_assignee(task, bob, sql):
    """An open task cannot have an assignee."""
    task()
    with pytest.raises(errors.CheckViolation, match="task_assignee_check"):
        sql("UPDATE task SET assignee_id = %s", bob.id)


def test_claimed_task_has_an_assignee(task, sql):
    """A claimed task must have an assignee."""
    task()
    with pytest.raises(errors.CheckViolation, match="task_assignee_check"):
        sql("UPDATE task SET status = 'claimed'")


def test_task_has_a_known_status(task, bob, sql):
    """The table rejects an unknown status."""
    task()
    with pytest.raises(errors.CheckViolation, match="task_status_check"):
        sql("UPDATE task SET status = 'lost', assignee_id = %s", bob.id)


def test_assignee_cannot_be_deleted(task, bob, sql):
    """A user who is the assignee of a task cannot be deleted."""
    task()
    bob.post("/tasks/claim")
    with pytest.raises(errors.ForeignKeyViolation, match="task_assignee_id_fkey"):
        sql('DELETE FROM "user" WHERE id = %s', bob.id)


def test_invitation_expires_after_its_creation(crew, sql):
    """An invitation must expire later than it was created."""
    with pytest.raises(errors.CheckViolation, match="invitation_check"):
        sql(
            "INSERT INTO invitation (team_id, email, token, expires_at)"
            " VALUES (%s, 'cy@example.com', repeat('x', 32), now())",
            crew,
        )


def test_short_token_is_refused(crew, sql):
    """The table rejects a token that is short enough to guess."""
    with pytest.raises(errors.CheckViolation, match="invitation_token_check"):
        sql(
            "INSERT INTO invitation (team_id, email, token, expires_at)"
            " VALUES (%s, 'cy@example.com', 'guess', now() + interval '1 hour')",
            crew,
        )


def test_tag_is_in_lower_case(sql):
    """The table rejects a tag with capital letters."""
    with pytest.raises(errors.CheckViolation, match="tag_name_check"):
        sql("INSERT INTO tag (name) VALUES ('Dirty')")


def test_insert_with_an_id_is_refused(sql):
    """Only the database chooses the id of a row."""
    with pytest.raises(errors.GeneratedAlways):
        sql("INSERT INTO tag (id, name) VALUES (7, 'dirty')")


def test_search_vector_cannot_be_updated(task, sql):
    """Only the database writes the search vector."""
    task()
    # PostgreSQL 13 reports a syntax error.
    with pytest.raises((errors.GeneratedAlways, errors.SyntaxError), match="generated column"):
        sql("UPDATE task SET search = to_tsvector('english', 'other')")


def test_failed_insert_uses_up_an_id(sql):
    """An insert that fails uses up an id, so ids can have gaps."""
    with pytest.raises(errors.CheckViolation):
        sql("INSERT INTO tag (name) VALUES ('')")
    assert sql("INSERT INTO tag (name) VALUES ('dirty') RETURNING id") == [(2,)]
