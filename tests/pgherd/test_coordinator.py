"""The coordinator: one server for a run, one builder for a template, a lease for each worker."""

from __future__ import annotations

import signal
import threading
from contextlib import closing
from dataclasses import replace
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client

import psycopg2
import pytest

from pgherd import clones
from pgherd.errors import MigrationError, ServerError
from pgherd.options import Options
from pgherd.run import sweep
from pgherd.run.coordinator import Coordinator
from pgherd.run.transport import Reception, RemoteCoordinator
from pgherd.template import comment
from tests.pgherd.support.waiting import wait_until


@pytest.fixture
def said() -> list[str]:
    """Give what was said to the person who runs the tests."""
    return []


@pytest.fixture
def owner(pg_server, said):
    """Give the owner's side of a run on the outer run's server."""
    url = pg_server.database(pg_server.maintenance).url
    with closing(Coordinator(Options(url=url), said.append)) as coordinator:
        yield coordinator


@pytest.fixture
def reception(owner):
    """Give the place where workers reach the owner."""
    with closing(Reception(owner)) as place:
        yield place


@pytest.fixture
def worker(reception):
    """Give a function that connects a worker."""
    lines = []

    def connect(name: str) -> RemoteCoordinator:
        lines.append(RemoteCoordinator(reception.invitation, name))
        return lines[-1]

    yield connect
    for line in lines:
        line.close()


def in_thread(action) -> tuple[threading.Thread, list]:
    """Run an action in a thread; its result, or what it raised, comes into the list."""
    results = []

    def run() -> None:
        try:
            results.append(action())
        except Exception as error:  # noqa: BLE001
            results.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread, results


def test_all_workers_get_one_server(worker, pg_server, said):
    """The server is started once, and its address handed to each."""
    addresses = {worker(name).server() for name in ("gw0", "gw1", "gw2")}
    assert {(address.host, address.port) for address in addresses} == {
        (pg_server.host, pg_server.port)
    }
    assert len(said) == 1


def test_clone_is_named_after_run_and_worker(owner, worker):
    """Two workers get two names, with the id of their run."""
    assert worker("gw0").clone_name("gw0") == f"pgherd_{owner.run_id}_gw0"
    assert worker("gw1").clone_name("gw1") == f"pgherd_{owner.run_id}_gw1"


def test_second_worker_waits_until_the_template_is_built(worker):
    """One builds, the other waits, and then finds it ready."""
    assert worker("gw0").claim("t", "gw0") is True
    builder = worker("gw0")
    thread, results = in_thread(lambda: worker("gw1").claim("t", "gw1"))
    thread.join(0.2)
    assert results == []
    builder.settle("t", built=True)
    thread.join(10)
    assert results == [False]


def test_failed_template_fails_for_all(worker):
    """Who waited for a template that could not be built is told so."""
    worker("gw0").claim("t", "gw0")
    thread, results = in_thread(lambda: worker("gw1").claim("t", "gw1"))
    worker("gw0").settle("t", built=False)
    thread.join(10)
    assert [type(result) for result in results] == [MigrationError]


def test_another_builds_what_a_dead_worker_was_building(worker):
    """When the lease of the builder breaks, the next in line has to build."""
    builder = worker("gw0")
    builder.claim("t", "gw0")
    thread, results = in_thread(lambda: worker("gw1").claim("t", "gw1"))
    builder.close()
    thread.join(10)
    assert results == [True]


def test_broken_lease_drops_the_clone(worker, owner, pg_server, pg_template, connection):
    """The clone of a worker that is gone is dropped while the run goes on; no other is."""
    lines = {name: worker(name) for name in ("gw1", "gw10")}
    for name, line in lines.items():
        line.server()
        clones.make(pg_server, pg_template, line.clone_name(name))
    lines["gw1"].close()

    def left() -> list[str]:
        with connection.cursor() as cursor:
            cursor.execute("SELECT datname FROM pg_database WHERE datname ~ %s", [owner.run_id])
            return [name for (name,) in cursor.fetchall()]

    wait_until(lambda: left() == [f"pgherd_{owner.run_id}_gw10"], 10)


def test_a_server_that_is_gone_is_not_asked_for_each_worker(owner, caplog):
    """It takes ten seconds each time. It is asked once more at the end: others may use it."""

    def told() -> int:
        return sum("could not drop" in record.getMessage() for record in caplog.records)

    owner._address = replace(owner.server(), port=1)  # noqa: SLF001
    for worker in ("gw0", "gw1"):
        owner.release(worker)
    assert told() == 1
    owner.close()
    assert told() == 2


@pytest.mark.parametrize("function", [(sweep, "templates"), (comment, "read")])
def test_what_is_done_for_others_does_not_fail_a_run(owner, worker, monkeypatch, function):
    """The template is there, so its builder and who waits for it go on."""

    def fail(*_: object) -> None:
        raise psycopg2.OperationalError("sorry, too many clients already")

    builder = worker("gw0")
    builder.server()
    builder.claim("t", "gw0")
    thread, results = in_thread(lambda: worker("gw1").claim("t", "gw1"))
    monkeypatch.setattr(*function, fail)
    builder.settle("t", built=True)
    thread.join(10)
    assert results == [False]


def test_who_does_not_know_the_key_is_refused(worker, reception):
    """A stranger is turned away, and the workers are served as before."""
    with pytest.raises(AuthenticationError):
        Client(reception.invitation["address"], authkey=b"guessed")
    assert worker("gw0").server()


def test_server_that_cannot_start_is_explained_once():
    """The first to ask is told why, the others that somebody was."""
    with closing(Coordinator(Options(url="postgresql://nobody@127.0.0.1:1/x"), print)) as owner:
        with pytest.raises(ServerError, match=r"127\.0\.0\.1:1, which pgherd_url names, cannot"):
            owner.server()
        with pytest.raises(ServerError, match="the first test that needed it says why"):
            owner.server()
        assert owner.failed


def test_interrupt_is_no_failure(owner, monkeypatch):
    """Who presses Ctrl-C while the server starts is not told that the run was called wrongly."""
    monkeypatch.setattr(owner, "_start", lambda: signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        owner.server()
    assert not owner.failed


def test_worker_is_told_when_its_owner_is_gone(owner):
    """A worker whose owner has ended gets an error that says so."""
    with closing(Reception(owner)) as reception:
        line = RemoteCoordinator(reception.invitation, "gw0")
        reception.close()
        with pytest.raises(ServerError, match="the owner of this run does not answer"):
            line.server()


def test_nothing_is_started_after_the_end(owner):
    """Who asks a run that has ended for its server gets an error, and no other server."""
    owner.server()
    owner.close()
    with pytest.raises(ServerError, match="the run has ended"):
        owner.server()
