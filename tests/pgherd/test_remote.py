"""Workers on other machines: how they reach the owner and its server, and what is refused."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from contextlib import closing, suppress
from dataclasses import replace
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client

import psycopg2
import pytest

from pgherd.errors import NotHereError, ServerError, UsageError
from pgherd.options import Options
from pgherd.plugin import _may_be_remote
from pgherd.postgres import connections, naming
from pgherd.postgres.address import Endpoint, is_loopback
from pgherd.run import transport
from pgherd.run.coordinator import Coordinator
from pgherd.run.transport import Reception, RemoteCoordinator
from pgherd.servers import Run, choose

pytestmark = pytest.mark.slow

TESTS = """
import os, pathlib, time, pytest
from pgherd import plugin

@pytest.mark.parametrize("number", range(2))
def test_meet(pg, pytestconfig, number):
    here = pathlib.Path({directory!r})
    invitation = pytestconfig.stash[plugin.coordination]._invitation
    text = f"{{pg.host}} {{type(invitation['address']).__name__}}"
    (here / os.environ["PYTEST_XDIST_WORKER"]).write_text(text)
    until = time.monotonic() + 30
    while len(list(here.glob("gw?"))) < 2 and time.monotonic() < until:
        time.sleep(0.01)
"""


@pytest.fixture
def own_address() -> str:
    """An address of this machine other than loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, suppress(OSError):
        probe.connect(("192.0.2.1", 9))  # sends nothing, only chooses the interface
        return probe.getsockname()[0]
    pytest.skip("this machine has no address but loopback")


@pytest.fixture
def project(pytester, monkeypatch):
    """A suite of two tests, which wait for each other on two workers."""
    pytester.makepyfile(TESTS.format(directory=str(pytester.path)))
    return pytester


@pytest.fixture
def socket_server(pytester):
    """Start a program in which an xdist worker can run, and yield its address."""
    program = ["-u", "-m", "execnet.script.socketserver", "127.0.0.1:0"]
    with subprocess.Popen(
        [sys.executable, *program],
        cwd=pytester.path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    ) as process:
        # … Entering Accept loop ('127.0.0.1', 40123)
        port = process.stdout.readline().strip().rstrip(")").rpartition(" ")[2]
        yield f"127.0.0.1:{port}"
        process.kill()


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("ci-7.example.org", Endpoint("ci-7.example.org")),
        ("192.0.2.7:7000", Endpoint("192.0.2.7", 7000)),
    ],
)
def test_endpoint_is_read(text, endpoint):
    """An endpoint is a host, or a host and a port, and its text is what was read."""
    assert Endpoint.read(text) == endpoint
    assert str(endpoint) == text


@pytest.mark.parametrize(
    "text", ["", ":7000", "host:", "host:http", "host:65536", "fe80::1", "tcp://host"]
)
def test_text_that_is_no_endpoint_is_an_error(text):
    """The error says what to write instead."""
    with pytest.raises(UsageError, match="neither a host nor host:port"):
        Endpoint.read(text)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("localhost", True),
        ("127.0.1.1", True),
        ("::1", True),
        ("/var/run/postgresql", True),
        ("@abstract", True),
        ("db.example.org", False),
        ("10.0.0.127", False),
    ],
)
def test_is_loopback(host, loopback):
    """A loopback address or a socket's path leads to a different server on each machine."""
    assert is_loopback(host) is loopback


@pytest.mark.parametrize(
    ("spec", "remote"),
    [
        ("popen", False),
        ("execmodel=main_thread_only//popen//python=python3.12", False),
        ("ssh=user@host//chdir=/suite", True),
        ("socket=host:8888", True),
        ("popen//via=proxy", True),
    ],
)
def test_worker_may_be_remote_unless_this_process_starts_it(spec, remote):
    """Only a worker that this process starts itself is certainly on this machine."""
    assert _may_be_remote(spec) is remote


def test_run_with_remote_workers_needs_pgherd_listen(project):
    """If remote workers are possible and pgherd_listen is not set, no test runs."""
    result = project.runpytest_subprocess("-d", "--tx=popen", "--tx=ssh=somewhere.invalid")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["ERROR: pgherd: the worker --tx ssh=somewhere.invalid may be on*: --pgherd-listen=host"]
    )
    assert "Traceback" not in result.stderr.str() + result.stdout.str()


def test_address_of_another_machine_is_an_error(project):
    """If pgherd_listen names an address of another machine, no test runs."""
    tx = ["-d", "--tx=ssh=somewhere.invalid"]
    result = project.runpytest_subprocess(*tx, "--pgherd-listen=203.0.113.7:7000")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["ERROR: pgherd: this machine cannot listen at 203.0.113.7:7000, *: Cannot assign *"]
    )


def test_name_with_a_loopback_address_is_an_error(project):
    """If pgherd_listen names a host that is loopback here, no test runs.

    Debian's installer gives a machine's own name such an address.
    """
    project.makeconftest(
        "import socket\nsocket.gethostbyname = lambda name: {'ci-host': '127.0.1.1'}[name]"
    )
    tx = ["-d", "--tx=ssh=somewhere.invalid"]
    result = project.runpytest_subprocess(*tx, "--pgherd-listen=ci-host")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["ERROR: pgherd: pgherd_listen names ci-host, which is 127.0.1.1 on this machine. No *"]
    )


def test_remote_worker_connects_by_tcp_and_local_worker_by_socket(
    project, socket_server, own_address
):
    """In one run, each worker reaches the owner in its own way, and both use one server."""
    tx = ["-d", "--tx=popen", f"--tx=socket={socket_server}//chdir={project.path}"]
    options = [f"--pgherd-listen={own_address}", "--pgherd-server=embedded"]
    result = project.runpytest_subprocess(*tx, *options)
    result.assert_outcomes(passed=2)
    assert (project.path / "gw0").read_text() == f"{own_address} str"
    assert (project.path / "gw1").read_text() == f"{own_address} tuple"


@pytest.fixture
def owner(pg_server):
    """The coordinator of a run on the outer run's server."""
    url = pg_server.database(pg_server.maintenance).url
    with closing(Coordinator(Options(url=url), lambda _: None)) as coordinator:
        yield coordinator


def test_reception_listens_at_the_endpoint(owner):
    """The invitation names the host of the endpoint, and a port that was free."""
    with closing(Reception(owner, Endpoint("localhost"))) as reception:
        host, port = reception.invitation["address"]
        assert (host, port > 0) == ("localhost", True)
        with closing(RemoteCoordinator(reception.invitation, "gw0")) as coordinator:
            assert coordinator.clone_name("gw0") == f"pgherd_{owner.run_id}_gw0"


def test_client_without_the_key_is_refused_before_anything_is_unpickled(owner):
    """The reception refuses a client without the key, and does not unpickle what it sends."""
    with closing(Reception(owner, Endpoint("127.0.0.1"))) as reception:
        address = reception.invitation["address"]
        with pytest.raises(AuthenticationError):
            Client(address, authkey=b"guessed")
        with closing(Client(address)) as client:
            assert client.recv_bytes().startswith(b"#CHALLENGE#")
            client.send_bytes(b"cposix\nsystem\n(S'false'\ntR.")
            assert client.recv_bytes() == b"#FAILURE#"


def test_client_that_sends_nothing_does_not_delay_the_end(owner):
    """A port scanner is no worker, so the reception does not wait for it at the end."""
    reception = Reception(owner, Endpoint("127.0.0.1"))
    with socket.create_connection(reception.invitation["address"]):
        with closing(RemoteCoordinator(reception.invitation, "gw0")) as coordinator:
            coordinator.clone_name("gw0")
        began = time.monotonic()
        reception.close()
        assert time.monotonic() - began < 3


def test_both_ends_find_out_that_the_other_machine_is_lost(owner, monkeypatch):
    """The owner and the worker switch on TCP keep-alive."""
    found = []
    keep_alive = transport._keep_alive  # noqa: SLF001

    def read_option(connection) -> None:
        keep_alive(connection)
        with suppress(OSError), socket.socket(fileno=os.dup(connection.fileno())) as copy:
            ports = {copy.getsockname()[1], copy.getpeername()[1]}
            found.append((ports, copy.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)))

    monkeypatch.setattr(transport, "_keep_alive", read_option)
    with (
        closing(Reception(owner, Endpoint("127.0.0.1"))) as reception,
        closing(RemoteCoordinator(reception.invitation, "gw0")) as coordinator,
    ):
        coordinator.clone_name("gw0")
        _, port = reception.invitation["address"]
        # The reception of another test may still have a thread that calls `_keep_alive`.
        assert [option for ports, option in found if port in ports] == [1, 1]


def test_worker_that_does_not_reach_its_owner_names_the_address(owner):
    """If a worker cannot connect, the error names the address and the option to set."""
    with closing(Reception(owner, Endpoint("127.0.0.1"))) as reception:
        coordinator = RemoteCoordinator(reception.invitation, "gw7")
        _, port = reception.invitation["address"]
    with pytest.raises(ServerError, match=rf"at 127.0.0.1:{port}: .* gw7 .* Set pgherd_listen"):
        coordinator.server()


def test_url_with_a_loopback_address_is_an_error_for_remote_workers(pg_server):
    """A loopback URL leads to a different server on each machine; local workers may use it."""
    here = replace(pg_server, host="127.0.0.1", port=1)
    options = Options(url=here.database("postgres").url)
    with pytest.raises(UsageError, match="which is a different server on each machine"):
        choose.start(options, Run("x", host="192.0.2.7"), print).__enter__()
    # Workers that reach this machine by loopback are on it, or behind a tunnel.
    with pytest.raises(ServerError, match="Connection refused"):
        choose.start(options, Run("x", host="127.0.0.1"), print).__enter__()


@pytest.mark.parametrize("kind", ["docker", "embedded"])
def test_started_server_listens_at_the_address_of_the_owner(kind, own_address):
    """The server listens at the owner's address, not at loopback, and wants the password."""
    run = Run(naming.new_run_id(), host=own_address)
    try:
        with choose.start(Options(server=kind), run, print) as server:
            assert server.address.host == own_address
            with connections.maintenance(server.address) as connection:
                assert connections.server_version(connection) == server.version
            with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
                replace(server.address, password="guessed").database("postgres").connect()
            with pytest.raises(psycopg2.OperationalError, match="refused"):
                replace(server.address, host="127.0.0.1").database("postgres").connect()
    except NotHereError as error:
        pytest.skip(error.short)
