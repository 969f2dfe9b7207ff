"""Workers on other machines: how they reach the owner, its server, and what is refused."""

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

TESTS = """
import os, pathlib, time, pytest
from pgherd import plugin

@pytest.mark.parametrize("number", range(2))
def test_meet(pg, pytestconfig, number):
    here = pathlib.Path({place!r})
    line = pytestconfig.stash[plugin.coordination]
    told = f"{{pg.host}} {{type(line._invitation['address']).__name__}}"
    (here / os.environ["PYTEST_XDIST_WORKER"]).write_text(told)
    until = time.monotonic() + 30
    while len(list(here.glob("gw?"))) < 2 and time.monotonic() < until:
        time.sleep(0.01)
"""


@pytest.fixture
def own_address() -> str:
    """Give an address of this machine that is no loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, suppress(OSError):
        probe.connect(("192.0.2.1", 9))  # sends nothing, only chooses the way
        return probe.getsockname()[0]
    pytest.skip("this machine has no address but loopback")


@pytest.fixture
def project(pytester, monkeypatch):
    """Give a project with two tests, which wait for each other on two workers."""
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    pytester.makepyfile(TESTS.format(place=str(pytester.path)))
    return pytester


@pytest.fixture
def place_for_worker(pytester):
    """Start a program in which an xdist worker can run; give its address."""
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
    """It is a host, or a host and a port, and is written as it is read."""
    assert Endpoint.read(text) == endpoint
    assert str(endpoint) == text


@pytest.mark.parametrize(
    "text", ["", ":7000", "host:", "host:http", "host:65536", "fe80::1", "tcp://host"]
)
def test_what_is_no_endpoint_is_refused(text):
    """Anything else is told, with what to write."""
    with pytest.raises(UsageError, match="neither a host nor host:port"):
        Endpoint.read(text)


@pytest.mark.parametrize(
    ("host", "each_its_own"),
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
def test_loopback(host, each_its_own):
    """A host that is another one on each machine is known."""
    assert is_loopback(host) is each_its_own


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
def test_who_may_be_on_another_machine(spec, remote):
    """All may be but what is started by this process itself."""
    assert _may_be_remote(spec) is remote


def test_run_says_what_to_set(project):
    """Without pgherd_listen a run with remote workers ends before it has begun."""
    result = project.runpytest_subprocess("-d", "--tx=popen", "--tx=ssh=somewhere.invalid")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["ERROR: pgherd: the worker --tx ssh=somewhere.invalid may be on*: --pgherd-listen=host"]
    )
    assert "Traceback" not in result.stderr.str() + result.stdout.str()


def test_address_of_another_machine_is_told(project):
    """So does one that is to listen where this machine is not."""
    tx = ["-d", "--tx=ssh=somewhere.invalid"]
    result = project.runpytest_subprocess(*tx, "--pgherd-listen=203.0.113.7:7000")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["ERROR: pgherd: this machine cannot listen at 203.0.113.7:7000, *: Cannot assign *"]
    )


def test_name_that_only_this_machine_knows_so_is_told(project, monkeypatch):
    """Debian's installer gives a machine's own name an address of loopback."""
    project.makeconftest(
        "import socket\nsocket.gethostbyname = lambda name: {'ci-host': '127.0.1.1'}[name]"
    )
    tx = ["-d", "--tx=ssh=somewhere.invalid"]
    result = project.runpytest_subprocess(*tx, "--pgherd-listen=ci-host")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["ERROR: pgherd: pgherd_listen names ci-host, which is 127.0.1.1 on this machine. No *"]
    )


def test_each_worker_is_invited_where_it_reaches(project, place_for_worker, own_address):
    """In one run, the remote worker comes by TCP, the local one as ever, both to one server."""
    tx = ["-d", "--tx=popen", f"--tx=socket={place_for_worker}//chdir={project.path}"]
    where = [f"--pgherd-listen={own_address}", "--pgherd-server=embedded"]
    result = project.runpytest_subprocess(*tx, *where)
    result.assert_outcomes(passed=2)
    assert (project.path / "gw0").read_text() == f"{own_address} str"
    assert (project.path / "gw1").read_text() == f"{own_address} tuple"


@pytest.fixture
def owner(pg_server):
    """Give the owner's side of a run on the outer run's server."""
    url = pg_server.database(pg_server.maintenance).url
    with closing(Coordinator(Options(url=url), lambda _: None)) as coordinator:
        yield coordinator


def test_reception_listens_where_it_is_told(owner):
    """Another machine is told the name that was given, and the port that was free."""
    with closing(Reception(owner, Endpoint("localhost"))) as reception:
        host, port = reception.invitation["address"]
        assert (host, port > 0) == ("localhost", True)
        with closing(RemoteCoordinator(reception.invitation, "gw0")) as line:
            assert line.clone_name("gw0") == f"pgherd_{owner.run_id}_gw0"


def test_stranger_is_refused_before_anything_is_unpickled(owner):
    """Who does not have the key is turned away, and what it sends without it is not looked at."""
    with closing(Reception(owner, Endpoint("127.0.0.1"))) as reception:
        address = reception.invitation["address"]
        with pytest.raises(AuthenticationError):
            Client(address, authkey=b"guessed")
        with closing(Client(address)) as stranger:
            assert stranger.recv_bytes().startswith(b"#CHALLENGE#")
            stranger.send_bytes(b"cposix\nsystem\n(S'false'\ntR.")
            assert stranger.recv_bytes() == b"#FAILURE#"


def test_stranger_who_says_nothing_keeps_nobody_waiting(owner):
    """What looks whether a port is open is no worker, for whose last words the end would wait."""
    reception = Reception(owner, Endpoint("127.0.0.1"))
    with socket.create_connection(reception.invitation["address"]):
        with closing(RemoteCoordinator(reception.invitation, "gw0")) as line:
            line.clone_name("gw0")
        began = time.monotonic()
        reception.close()
        assert time.monotonic() - began < 3


def test_lost_machines_are_found_out_at_both_ends(owner, monkeypatch):
    """The kernel asks whether the other is still there."""
    asked = []
    keep = transport._keep_alive  # noqa: SLF001

    def look(connection) -> None:
        keep(connection)
        with socket.socket(fileno=os.dup(connection.fileno())) as line:
            asked.append(line.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))

    monkeypatch.setattr(transport, "_keep_alive", look)
    with (
        closing(Reception(owner, Endpoint("127.0.0.1"))) as reception,
        closing(RemoteCoordinator(reception.invitation, "gw0")) as line,
    ):
        line.clone_name("gw0")
        assert asked == [1, 1]


def test_worker_says_where_it_did_not_reach_its_owner(owner):
    """A worker that cannot connect names the place, and what has to be set."""
    with closing(Reception(owner, Endpoint("127.0.0.1"))) as reception:
        line = RemoteCoordinator(reception.invitation, "gw7")
        _, port = reception.invitation["address"]
    with pytest.raises(ServerError, match=rf"at 127.0.0.1:{port}: .* gw7 .* Set pgherd_listen"):
        line.server()


def test_given_server_has_to_be_the_same_for_all(pg_server):
    """A URL with a loopback address is refused for workers elsewhere, and not for those here."""
    here = replace(pg_server, host="127.0.0.1", port=1)
    options = Options(url=here.database("postgres").url)
    with pytest.raises(UsageError, match="which is a different server on each machine"):
        choose.start(options, Run("x", host="192.0.2.7"), print).__enter__()
    # Workers that reach us by loopback are here, or behind a tunnel.
    with pytest.raises(ServerError, match="Connection refused"):
        choose.start(options, Run("x", host="127.0.0.1"), print).__enter__()


@pytest.mark.parametrize("kind", ["docker", "embedded"])
def test_server_of_our_own_listens_there(kind, own_address):
    """What we start is reached at the owner's address, and asks for a password; not at loopback."""
    run = Run(naming.new_run_id(), host=own_address)
    try:
        with choose.start(Options(server=kind), run, print) as server:
            assert server.address.host == own_address
            with connections.maintenance(server.address) as link:
                assert connections.server_version(link) == server.version
            with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
                replace(server.address, password="guessed").database("postgres").connect()
            with pytest.raises(psycopg2.OperationalError, match="refused"):
                replace(server.address, host="127.0.0.1").database("postgres").connect()
    except NotHereError as error:
        pytest.skip(error.short)
