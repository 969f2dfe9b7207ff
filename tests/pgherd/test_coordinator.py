"""The coordinator: one server for a run, one builder for a template, one lease for each worker.

The workers of these tests reach the coordinator as xdist's workers do, through the reception.
"""

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
def output() -> list[str]:
    """Return the lines that the coordinator shows to the person who runs the tests."""
    return []


@pytest.fixture
def owner(pg_server, output):
    """Create the coordinator of a run that uses the outer run's server."""
    url = pg_server.database(pg_server.maintenance).url
    with closing(Coordinator(Options(url=url), output.append)) as coordinator:
        yield coordinator


@pytest.fixture
def reception(owner):
    """Open the reception at which workers reach the owner."""
    with closing(Reception(owner)) as opened:
        yield opened


@pytest.fixture
def connect_worker(reception):
    """Return a function that connects a worker to the owner."""
    workers = []

    def connect(name: str) -> RemoteCoordinator:
        workers.append(RemoteCoordinator(reception.invitation, name))
        return workers[-1]

    yield connect
    for worker in workers:
        worker.close()


def in_thread(action) -> tuple[threading.Thread, list]:
    """Start an action in a thread; the list receives its result, or the exception it raised."""
    results = []

    def run() -> None:
        try:
            results.append(action())
        except Exception as error:  # noqa: BLE001
            results.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread, results


def test_all_workers_get_the_same_server(connect_worker, pg_server, output):
    """The owner starts the server once, and gives every worker its address."""
    addresses = {connect_worker(name).server() for name in ("gw0", "gw1", "gw2")}
    assert {(address.host, address.port) for address in addresses} == {
        (pg_server.host, pg_server.port)
    }
    assert len(output) == 1


def test_clone_name_contains_the_run_and_the_worker(owner, connect_worker):
    """The clones of two workers have two names; both contain the run's id."""
    assert connect_worker("gw0").clone_name("gw0") == f"pgherd_{owner.run_id}_gw0"
    assert connect_worker("gw1").clone_name("gw1") == f"pgherd_{owner.run_id}_gw1"


def test_second_worker_waits_until_the_template_is_built(connect_worker):
    """One worker builds the template; the other waits, and must not build it again."""
    assert connect_worker("gw0").claim("t", "gw0") is True
    builder = connect_worker("gw0")
    thread, results = in_thread(lambda: connect_worker("gw1").claim("t", "gw1"))
    thread.join(0.2)
    assert results == []
    builder.settle("t", built=True)
    thread.join(10)
    assert results == [False]


def test_failed_template_fails_for_waiting_workers(connect_worker):
    """If the builder fails, the workers that wait for the template get a MigrationError."""
    connect_worker("gw0").claim("t", "gw0")
    thread, results = in_thread(lambda: connect_worker("gw1").claim("t", "gw1"))
    connect_worker("gw0").settle("t", built=False)
    thread.join(10)
    assert [type(result) for result in results] == [MigrationError]


def test_next_worker_builds_the_template_of_a_dead_builder(connect_worker):
    """If the builder's connection breaks, the worker that waits must build the template."""
    builder = connect_worker("gw0")
    builder.claim("t", "gw0")
    thread, results = in_thread(lambda: connect_worker("gw1").claim("t", "gw1"))
    builder.close()
    thread.join(10)
    assert results == [True]


def test_broken_lease_drops_the_clone(connect_worker, owner, pg_server, pg_template, connection):
    """If a worker's connection breaks, the owner drops that worker's clone and no other."""
    workers = {name: connect_worker(name) for name in ("gw1", "gw10")}
    for name, worker in workers.items():
        worker.server()
        clones.make(pg_server, pg_template, worker.clone_name(name))
    workers["gw1"].close()

    def remaining() -> list[str]:
        with connection.cursor() as cursor:
            cursor.execute("SELECT datname FROM pg_database WHERE datname ~ %s", [owner.run_id])
            return [name for (name,) in cursor.fetchall()]

    wait_until(lambda: remaining() == [f"pgherd_{owner.run_id}_gw10"], 10)


def test_owner_tries_an_unreachable_server_once_for_all_workers(owner, caplog):
    """An attempt takes ten seconds. The owner makes one during the run and one at the end.

    The last attempt matters on a server that other runs use: the clones would stay there.
    """

    def attempts() -> int:
        return sum("could not drop" in record.getMessage() for record in caplog.records)

    owner._address = replace(owner.server(), port=1)  # noqa: SLF001
    for worker in ("gw0", "gw1"):
        owner.release(worker)
    assert attempts() == 1
    owner.close()
    assert attempts() == 2


@pytest.mark.parametrize("function", [(sweep, "templates"), (comment, "read")])
def test_failed_sweep_does_not_fail_a_run(owner, connect_worker, monkeypatch, function):
    """If the sweep or the count of locks fails after the build, the template can still be used."""

    def fail(*_: object) -> None:
        raise psycopg2.OperationalError("sorry, too many clients already")

    builder = connect_worker("gw0")
    builder.server()
    builder.claim("t", "gw0")
    thread, results = in_thread(lambda: connect_worker("gw1").claim("t", "gw1"))
    monkeypatch.setattr(*function, fail)
    builder.settle("t", built=True)
    thread.join(10)
    assert results == [False]


def test_client_without_the_key_is_refused(connect_worker, reception):
    """The reception refuses a client with another key, and goes on serving the workers."""
    with pytest.raises(AuthenticationError):
        Client(reception.invitation["address"], authkey=b"guessed")
    assert connect_worker("gw0").server()


def test_failed_start_of_the_server_is_explained_once():
    """The first request raises an error with the reason; later errors refer to the first."""
    with closing(Coordinator(Options(url="postgresql://nobody@127.0.0.1:1/x"), print)) as owner:
        with pytest.raises(ServerError, match=r"127\.0\.0\.1:1, which pgherd_url names, cannot"):
            owner.server()
        with pytest.raises(ServerError, match="see the first test that needed it"):
            owner.server()
        assert owner.failed


def test_interrupt_is_no_failure(owner, monkeypatch):
    """After Ctrl-C during the start of the server, the run does not count as failed."""
    monkeypatch.setattr(owner, "_start", lambda: signal.raise_signal(signal.SIGINT))
    # A shell lets programs in the background ignore SIGINT, and this suite may be one.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            owner.server()
    finally:
        signal.signal(signal.SIGINT, before)
    assert not owner.failed


def test_worker_gets_an_error_after_its_owner_has_ended(owner):
    """If the owner has ended, a worker's next call raises an error that says so."""
    with closing(Reception(owner)) as reception:
        worker = RemoteCoordinator(reception.invitation, "gw0")
        reception.close()
        with pytest.raises(ServerError, match=r"the owner of this run .* does not answer"):
            worker.server()


def test_closed_owner_starts_no_server(owner):
    """After the end of the run, a request for the server raises an error and starts nothing."""
    owner.server()
    owner.close()
    with pytest.raises(ServerError, match="the run has ended"):
        owner.server()
