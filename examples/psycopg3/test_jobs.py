"""Jobs are really committed; each test finds none."""

import psycopg
import pytest


@pytest.mark.parametrize("time", range(2))
def test_job_is_added(queue, time):
    """The name is unique, and yet each of these tests can add it."""
    queue.add("sweep")
    assert queue.waiting() == ["sweep"]


def test_all_or_none(queue):
    """Of jobs that are added together, one that is there already keeps out the others."""
    queue.add("sweep")
    with pytest.raises(psycopg.errors.UniqueViolation):
        queue.add("dust", "sweep")
    assert queue.waiting() == ["sweep"]


def test_two_take_different_jobs(queue):
    """Who comes second does not wait for the first: that takes two connections."""
    queue.add("sweep", "dust")
    with queue.take() as one, queue.take() as other, queue.take() as none:
        assert (one, other, none) == ("sweep", "dust", None)
    assert queue.waiting() == []


def test_failed_job_is_there_again(queue):
    """Who fails gives the job back."""
    queue.add("sweep")
    with pytest.raises(ZeroDivisionError), queue.take():
        1 / 0  # noqa: B018
    assert queue.waiting() == ["sweep"]


def test_who_listens_hears_of_jobs(queue, pg):
    """PostgreSQL notifies at the commit, so a test that rolls back would hear nothing."""
    with psycopg.connect(pg.url, autocommit=True) as connection:
        connection.execute("LISTEN job")
        queue.add("sweep", "dust")
        heard = connection.notifies(timeout=5, stop_after=2)
        assert [notify.payload for notify in heard] == ["sweep", "dust"]


def test_many_are_loaded_fast(queue):
    """COPY takes thousands of rows at once; the reset takes them away."""
    names = [f"job {number}" for number in range(5000)]
    queue.load(names)
    assert queue.waiting() == names


@pytest.mark.pg(isolation="clone")
@pytest.mark.parametrize("time", range(3))  # of two workers, one has its clone replaced twice
def test_without_the_trigger(queue, pg, time):
    """A change of the schema is gone with the clone, and the pool knows the next one."""
    with queue.pool.connection() as connection:
        connection.execute("DROP TRIGGER tell ON job")
    with psycopg.connect(pg.url, autocommit=True) as connection:
        connection.execute("LISTEN job")
        queue.add("sweep")
        assert list(connection.notifies(timeout=0.1)) == []
