"""Each test starts without jobs, although the queue commits."""

import psycopg
import pytest


@pytest.mark.parametrize("time", range(2))
def test_job_is_added(queue, time):
    """Both parameters of this test can add the same name."""
    queue.add("sweep")
    assert queue.waiting() == ["sweep"]


def test_jobs_are_added_together(queue):
    """If one of several jobs exists already, none of them is added."""
    queue.add("sweep")
    with pytest.raises(psycopg.errors.UniqueViolation):
        queue.add("dust", "sweep")
    assert queue.waiting() == ["sweep"]


def test_concurrent_takers_get_different_jobs(queue):
    """Three connections take jobs at once; none waits for another."""
    queue.add("sweep", "dust")
    with queue.take() as one, queue.take() as other, queue.take() as none:
        assert (one, other, none) == ("sweep", "dust", None)
    assert queue.waiting() == []


def test_failed_job_returns_to_the_queue(queue):
    """If the block raises an exception, the job is waiting again."""
    queue.add("sweep")
    with pytest.raises(ZeroDivisionError), queue.take():
        1 / 0  # noqa: B018
    assert queue.waiting() == ["sweep"]


def test_listener_is_notified(queue, pg):
    """PostgreSQL notifies at the commit; a test that rolls back would receive nothing."""
    with psycopg.connect(pg.url, autocommit=True) as connection:
        connection.execute("LISTEN job")
        queue.add("sweep", "dust")
        notifications = connection.notifies(timeout=5, stop_after=2)
        assert [notify.payload for notify in notifications] == ["sweep", "dust"]


def test_many_jobs_are_loaded(queue):
    """COPY adds 5,000 jobs; the reset removes them."""
    names = [f"job {number}" for number in range(5000)]
    queue.load(names)
    assert queue.waiting() == names


@pytest.mark.pg(isolation="clone")
@pytest.mark.parametrize("time", range(3))  # on 2 workers, one database is replaced twice
def test_schema_change(queue, pg, time):
    """This test changes the schema, so the mark lets pgherd replace the database afterwards."""
    with queue.pool.connection() as connection:
        connection.execute("DROP TRIGGER notify_job ON job")
    with psycopg.connect(pg.url, autocommit=True) as connection:
        connection.execute("LISTEN job")
        queue.add("sweep")
        assert list(connection.notifies(timeout=0.1)) == []
