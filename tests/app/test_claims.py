"""Claims: a user takes the next open task. Two users never get the same task."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from threading import Barrier

import pytest


def test_claim_takes_the_most_urgent(bob, task, sql):
    """A claim takes the most urgent task, even if it is the newest."""
    task("later", priority=4)
    task("now", priority=1)
    claimed = bob.post("/tasks/claim").json
    assert (claimed["title"], claimed["status"], claimed["assignee_id"]) == (
        "now",
        "claimed",
        bob.id,
    )
    assert sql("SELECT title FROM task WHERE assignee_id IS NULL") == [("later",)]


def test_claim_takes_the_oldest_of_equals(bob, task):
    """A claim takes the oldest of the tasks with the same priority."""
    task("first")
    task("second")
    assert bob.post("/tasks/claim").json["title"] == "first"


def test_claim_without_open_tasks(bob, crew, sql):
    """A claim answers 204 without a body if there is no open task."""
    response = bob.post("/tasks/claim")
    assert (response.status_code, response.data) == (204, b"")
    assert sql("SELECT count(*) FROM task WHERE team_id = %s", crew) == [(0,)]


def test_claim_skips_claimed_tasks(ada, bob, task):
    """A claim skips a task that another user has claimed."""
    task("first")
    task("second")
    assert ada.post("/tasks/claim").json["title"] == "first"
    assert bob.post("/tasks/claim").json["title"] == "second"


def test_claim_is_limited_to_the_users_teams(person, task, sql):
    """A user cannot claim a task of a team that the user is not in."""
    task()
    assert person("eve").post("/tasks/claim").status_code == 204
    assert sql("SELECT status FROM task") == [("open",)]


def test_claim_searches_all_teams_of_the_user(ada, bob, task, team):
    """A claim takes the most urgent task of all the user's teams."""
    task("Oil", priority=3)
    looms = team(ada, bob, name="Looms")
    ada.post(f"/teams/{looms}/tasks", {"title": "Weave", "priority": 2})
    assert bob.post("/tasks/claim").json["team_id"] == looms


def test_claim_skips_a_locked_task(bob, task, pg, sql):
    """A claim skips a task that another transaction has locked, and does not wait."""
    locked = task("locked", priority=1)
    task("free", priority=5)
    with closing(pg.connect()) as other:
        other.cursor().execute("SELECT FROM task WHERE id = %s FOR UPDATE", (locked,))
        assert bob.post("/tasks/claim").json["title"] == "free"
    assert sql("SELECT status FROM task WHERE id = %s", locked) == [("open",)]


def test_claim_when_the_only_task_is_locked(bob, task, pg):
    """A claim answers 204 while another transaction has locked the only open task."""
    task()
    with closing(pg.connect()) as other:
        other.cursor().execute("SELECT FROM task FOR UPDATE")
        assert bob.post("/tasks/claim").status_code == 204
    assert bob.post("/tasks/claim").status_code == 200


def test_two_threads_claim_one_task(ada, bob, task, sql):
    """If two users claim the only task at the same time, only one gets it."""
    task()
    start = Barrier(2)

    def claim(person):
        start.wait(timeout=5)
        return person.post("/tasks/claim").status_code

    with ThreadPoolExecutor(2) as threads:
        assert sorted(threads.map(claim, [ada, bob])) == [200, 204]
    assert sql("SELECT count(*) FROM task WHERE status = 'claimed'") == [(1,)]


def test_many_threads_claim_every_task_once(ada, bob, task, sql):
    """Eight claims at the same time take eight different tasks."""
    for number in range(8):
        task(f"task {number}")
    start = Barrier(8)

    def claim(person):
        start.wait(timeout=5)
        return person.post("/tasks/claim")

    with ThreadPoolExecutor(8) as threads:
        responses = list(threads.map(claim, [ada, bob] * 4))
    assert [response.status_code for response in responses] == [200] * 8
    assert len({response.json["id"] for response in responses}) == 8
    assert sql("SELECT count(*) FROM task WHERE status = 'open'") == [(0,)]


def test_release_opens_the_task(bob, task, sql):
    """A released task is open and has no assignee."""
    task_id = task()
    bob.post("/tasks/claim")
    assert bob.post(f"/tasks/{task_id}/release").json["status"] == "open"
    assert sql("SELECT status, assignee_id FROM task") == [("open", None)]


def test_released_task_can_be_claimed_by_another(ada, bob, task):
    """Another user can claim a released task."""
    task_id = task()
    bob.post("/tasks/claim")
    bob.post(f"/tasks/{task_id}/release")
    assert ada.post("/tasks/claim").json["assignee_id"] == ada.id


def test_complete_keeps_the_assignee(bob, task, sql):
    """A completed task keeps its assignee."""
    task_id = task()
    bob.post("/tasks/claim")
    assert bob.post(f"/tasks/{task_id}/complete").json["status"] == "done"
    assert sql("SELECT status, assignee_id FROM task") == [("done", bob.id)]


def test_completed_task_is_not_claimed_again(ada, bob, task):
    """A claim skips a completed task."""
    task_id = task()
    bob.post("/tasks/claim")
    bob.post(f"/tasks/{task_id}/complete")
    assert ada.post("/tasks/claim").status_code == 204


@pytest.mark.parametrize("act", ["release", "complete"])
def test_only_the_assignee_ends_a_claim(ada, bob, task, sql, act):
    """Only the assignee of a task can release or complete it."""
    task_id = task()
    bob.post("/tasks/claim")
    response = ada.post(f"/tasks/{task_id}/{act}")
    assert response.status_code == 409
    assert response.json["detail"] == "You have not claimed this task."
    assert sql("SELECT status, assignee_id FROM task") == [("claimed", bob.id)]


def test_complete_an_open_task_is_refused(bob, task, sql):
    """A user must claim a task before completing it."""
    assert bob.post(f"/tasks/{task()}/complete").status_code == 409
    assert sql("SELECT status FROM task") == [("open",)]


def test_release_and_complete_at_once(bob, task, sql):
    """If a release and a completion arrive at the same time, exactly one succeeds."""
    task_id = task()
    bob.post("/tasks/claim")
    with ThreadPoolExecutor(2) as threads:
        release = threads.submit(bob.post, f"/tasks/{task_id}/release")
        complete = threads.submit(bob.post, f"/tasks/{task_id}/complete")
    outcome = release.result().status_code, complete.result().status_code
    [(status,)] = sql("SELECT status FROM task")
    assert (outcome, status) in [((200, 409), "open"), ((409, 200), "done")]
