"""The tables keep their promises, whoever writes to them."""

from __future__ import annotations

import pytest
from psycopg2 import errors

from app import models
from app.db import database


@pytest.mark.usefixtures("client")
def test_every_model_reads_its_table():
    """Each model's columns are the table's, on a database where only roles have rows."""
    tables = [model for model in models.Base.__subclasses__() if model is not models.Role]
    with database.connection_context():
        assert [list(model.select()) for model in tables] == [[]] * 10
        assert [role.name for role in models.Role.select().order_by(models.Role.id)] == [
            "basic",
            "admin",
        ]


def test_user_holds_a_role_once(ada, sql):
    """The same role cannot be granted twice."""
    with pytest.raises(errors.UniqueViolation):
        sql("INSERT INTO user_role (user_id, role_id) VALUES (%s, 1)", ada.id)


def test_user_role_needs_a_user(sql):
    """A role is held by somebody."""
    with pytest.raises(errors.ForeignKeyViolation):
        sql("INSERT INTO user_role (user_id, role_id) VALUES (1, 1)")


def test_user_needs_an_address(sql):
    """An account without an address is refused by the table too."""
    with pytest.raises(errors.CheckViolation, match="user_email_check"):
        sql("""INSERT INTO "user" (email, name) VALUES ('ada', 'Ada')""")


def test_open_task_is_nobodys(task, bob, sql):
    """A task cannot be open and somebody's at once."""
    task()
    with pytest.raises(errors.CheckViolation, match="task_assignee_check"):
        sql("UPDATE task SET assignee_id = %s", bob.id)


def test_claimed_task_is_somebodys(task, sql):
    """A task cannot be claimed by nobody."""
    task()
    with pytest.raises(errors.CheckViolation, match="task_assignee_check"):
        sql("UPDATE task SET status = 'claimed'")


def test_task_has_a_known_status(task, bob, sql):
    """A status outside the three is refused."""
    task()
    with pytest.raises(errors.CheckViolation, match="task_status_check"):
        sql("UPDATE task SET status = 'lost', assignee_id = %s", bob.id)


def test_assignee_cannot_be_deleted(task, bob, sql):
    """Whoever holds a task stays, as no cascade would tell the team."""
    task()
    bob.post("/tasks/claim")
    with pytest.raises(errors.ForeignKeyViolation, match="task_assignee_id_fkey"):
        sql('DELETE FROM "user" WHERE id = %s', bob.id)


def test_invitation_expires_after_it_was_made(crew, sql):
    """An invitation cannot be born expired."""
    with pytest.raises(errors.CheckViolation, match="invitation_check"):
        sql(
            "INSERT INTO invitation (team_id, email, token, expires_at)"
            " VALUES (%s, 'cy@example.com', repeat('x', 32), now())",
            crew,
        )


def test_short_token_is_refused(crew, sql):
    """A token that could be guessed is refused."""
    with pytest.raises(errors.CheckViolation, match="invitation_token_check"):
        sql(
            "INSERT INTO invitation (team_id, email, token, expires_at)"
            " VALUES (%s, 'cy@example.com', 'guess', now() + interval '1 hour')",
            crew,
        )


def test_tag_is_in_lower_case(sql):
    """Two tags cannot differ by case alone."""
    with pytest.raises(errors.CheckViolation, match="tag_name_check"):
        sql("INSERT INTO tag (name) VALUES ('Dirty')")


def test_ids_are_the_databases(sql):
    """An id of one's own choice is refused."""
    with pytest.raises(errors.GeneratedAlways):
        sql("INSERT INTO tag (id, name) VALUES (7, 'dirty')")


def test_search_vector_is_the_databases(task, sql):
    """Nobody writes the search vector by hand."""
    task()
    # To PostgreSQL 13 it is an error of syntax.
    with pytest.raises((errors.GeneratedAlways, errors.SyntaxError), match="generated column"):
        sql("UPDATE task SET search = to_tsvector('english', 'other')")


def test_failed_insert_uses_up_an_id(sql):
    """An id that a refused row was to have is not given again, so ids have gaps."""
    with pytest.raises(errors.CheckViolation):
        sql("INSERT INTO tag (name) VALUES ('')")
    assert sql("INSERT INTO tag (name) VALUES ('dirty') RETURNING id") == [(2,)]
