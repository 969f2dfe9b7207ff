"""Claims: people take the next open task, and no two ever take the same one."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from threading import Barrier

import pytest


def test_claim_takes_the_most_urgent(bob, task, sql):
    """Of two open tasks the more urgent is claimed, though it is younger."""
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
    """Of two equally urgent tasks the older is claimed."""
    task("first")
    task("second")
    assert bob.post("/tasks/claim").json["title"] == "first"


def test_claim_of_nothing(bob, crew, sql):
    """With no task to claim the answer is empty."""
    response = bob.post("/tasks/claim")
    assert (response.status_code, response.data) == (204, b"")
    assert sql("SELECT count(*) FROM task WHERE team_id = %s", crew) == [(0,)]


def test_claim_passes_over_what_is_claimed(ada, bob, task):
    """What one has claimed the next does not get."""
    task("first")
    task("second")
    assert ada.post("/tasks/claim").json["title"] == "first"
    assert bob.post("/tasks/claim").json["title"] == "second"


def test_claim_is_limited_to_ones_teams(person, task, sql):
    """A stranger claims nothing."""
    task()
    assert person("eve").post("/tasks/claim").status_code == 204
    assert sql("SELECT status FROM task") == [("open",)]


def test_claim_spans_ones_teams(ada, bob, task, team):
    """The most urgent task of all one's teams is claimed."""
    task("Oil", priority=3)
    looms = team(ada, bob, name="Looms")
    ada.post(f"/teams/{looms}/tasks", {"title": "Weave", "priority": 2})
    assert bob.post("/tasks/claim").json["team_id"] == looms


def test_claim_skips_a_locked_task(bob, task, pg, sql):
    """A task that another transaction has locked is passed over, without waiting."""
    locked = task("locked", priority=1)
    task("free", priority=5)
    with closing(pg.connect()) as other:
        other.cursor().execute("SELECT FROM task WHERE id = %s FOR UPDATE", (locked,))
        assert bob.post("/tasks/claim").json["title"] == "free"
    assert sql("SELECT status FROM task WHERE id = %s", locked) == [("open",)]


def test_claim_of_the_only_task_locked_by_another(bob, task, pg):
    """When all open tasks are locked there is none to claim, now."""
    task()
    with closing(pg.connect()) as other:
        other.cursor().execute("SELECT FROM task FOR UPDATE")
        assert bob.post("/tasks/claim").status_code == 204
    assert bob.post("/tasks/claim").status_code == 200


def test_two_threads_claim_one_task(ada, bob, task, sql):
    """Of two who claim the only task at once, one gets it and the other gets nothing."""
    task()
    start = Barrier(2)

    def claim(person):
        start.wait(timeout=5)
        return person.post("/tasks/claim").status_code

    with ThreadPoolExecutor(2) as threads:
        assert sorted(threads.map(claim, [ada, bob])) == [200, 204]
    assert sql("SELECT count(*) FROM task WHERE status = 'claimed'") == [(1,)]


def test_many_threads_claim_every_task_once(ada, bob, task, sql):
    """Eight claims at once of eight tasks take eight different ones."""
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


def test_release_gives_the_task_back(bob, task, sql):
    """A released task is open, and nobody's."""
    task_id = task()
    bob.post("/tasks/claim")
    assert bob.post(f"/tasks/{task_id}/release").json["status"] == "open"
    assert sql("SELECT status, assignee_id FROM task") == [("open", None)]


def test_released_task_can_be_claimed_by_another(ada, bob, task):
    """What one gave back another may take."""
    task_id = task()
    bob.post("/tasks/claim")
    bob.post(f"/tasks/{task_id}/release")
    assert ada.post("/tasks/claim").json["assignee_id"] == ada.id


def test_complete_keeps_who_did_it(bob, task, sql):
    """A finished task stays with whoever finished it."""
    task_id = task()
    bob.post("/tasks/claim")
    assert bob.post(f"/tasks/{task_id}/complete").json["status"] == "done"
    assert sql("SELECT status, assignee_id FROM task") == [("done", bob.id)]


def test_finished_task_is_not_claimed_again(ada, bob, task):
    """What is done is done."""
    task_id = task()
    bob.post("/tasks/claim")
    bob.post(f"/tasks/{task_id}/complete")
    assert ada.post("/tasks/claim").status_code == 204


@pytest.mark.parametrize("act", ["release", "complete"])
def test_only_the_assignee_lets_go(ada, bob, task, sql, act):
    """What somebody else holds one can neither release nor complete."""
    task_id = task()
    bob.post("/tasks/claim")
    response = ada.post(f"/tasks/{task_id}/{act}")
    assert (response.status_code, response.json["detail"]) == (409, "You do not hold this task.")
    assert sql("SELECT status, assignee_id FROM task") == [("claimed", bob.id)]


def test_complete_what_nobody_claimed(bob, task, sql):
    """An open task has to be claimed first."""
    assert bob.post(f"/tasks/{task()}/complete").status_code == 409
    assert sql("SELECT status FROM task") == [("open",)]


def test_release_and_complete_at_once(bob, task, sql):
    """Of a release and a completion at once exactly one counts, and the row agrees with it."""
    task_id = task()
    bob.post("/tasks/claim")
    with ThreadPoolExecutor(2) as threads:
        release = threads.submit(bob.post, f"/tasks/{task_id}/release")
        complete = threads.submit(bob.post, f"/tasks/{task_id}/complete")
    outcome = release.result().status_code, complete.result().status_code
    [(status,)] = sql("SELECT status FROM task")
    assert (outcome, status) in [((200, 409), "open"), ((409, 200), "done")]
