"""A run on a container: what it starts, how it ends, and what is said when it cannot start."""

from __future__ import annotations

import os
import re
import secrets
import signal
import subprocess
import sys
import time
from contextlib import closing
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace

import docker
import pytest

from pgherd.servers.docker import image as docker_image
from pgherd.servers.docker import network
from pgherd.servers.docker.container import _remove_unstarted
from tests.pgherd.support import registry
from tests.pgherd.support.engine import need
from tests.pgherd.support.waiting import wait_until

MEET = """
import pathlib, sys, time

def meet(pattern):
    until = time.monotonic() + 60
    while len(list(pathlib.Path().glob(pattern))) < 4 and time.monotonic() < until:
        time.sleep(0.01)

def test_meet(pg):
    pathlib.Path(f"met-{pg.name}").touch()
    meet("met-*")
    link = pg.connect()
    cursor = link.cursor()
    cursor.execute("SELECT datname FROM pg_database WHERE starts_with(datname, 'pgherd_')")
    names = sorted(name for (name,) in cursor.fetchall())
    link.close()
    pathlib.Path(f"seen-{pg.name}").write_text(f"{pg.host} {' '.join(names)}")
    meet("seen-*")  # a worker that is done early has its clone dropped early
    assert not {"testcontainers", "docker"} & set(sys.modules)
"""

TELL_THE_RUN = """
import pathlib, pytest
from pgherd import plugin

def pytest_sessionstart(session):
    stash = session.config.stash
    if owner := stash[plugin._process].owner:
        pathlib.Path("run").write_text(owner.coordinator.run_id)
"""

SLEEP = """
import pathlib, time

def test_sleep(pg):
    pathlib.Path("asleep").touch()
    time.sleep(60)
"""

CLONE = re.compile(r"pgherd_([0-9a-f]{8})_")


@pytest.fixture(autouse=True)
def _only_docker(monkeypatch):
    """Test the container."""
    need("postgres:17")
    monkeypatch.setenv("PGHERD_SERVER", "docker")


@pytest.fixture
def engine():
    """Give a client of the engine."""
    with closing(docker.from_env()) as client:
        yield client


def containers(engine, run: str, *states: str) -> list[str]:
    """List the ids of a run's containers, also of those that have ended."""
    filters = {"label": f"pgherd.run={run}", "status": list(states)}
    return [found["Id"] for found in engine.api.containers(all=True, filters=filters)]


def run_of(text: str) -> str:
    """Read the id of the inner run out of the name of a clone."""
    (run,) = set(CLONE.findall(text))
    return run


def test_one_container_and_a_clone_a_worker(pytester, engine):
    """Four workers share one container; afterwards there is none; they never import docker."""
    pytester.makepyfile(MEET)
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", "-n4", "--dist=each", "-pno:cacheprovider"],
        cwd=pytester.path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    most = 0
    while process.poll() is None:
        if met := " ".join(path.name for path in pytester.path.glob("met-*")):
            most = max(most, len(containers(engine, run_of(met))))
        time.sleep(0.02)
    output = process.communicate()[0].decode()
    assert process.returncode == 0, output
    [host] = re.findall(r"docker postgres:17 \(PostgreSQL 17\.\d+\) at ([\d.]+):\d+", output)
    seen = [path.read_text().split() for path in pytester.path.glob("seen-*")]
    assert [len([name for name in names if CLONE.match(name)]) for _, *names in seen] == [4] * 4
    assert [len([name for name in names if "template" in name]) for _, *names in seen] == [1] * 4
    assert {seen_host for seen_host, *_ in seen} == {host}
    assert most == 1
    assert containers(engine, run_of(str(seen))) == []


def test_a_database_that_is_gone_after_a_test_is_told(pytester):
    """The test that ended the server gets one message, and the run stops: no test could pass."""
    pytester.makepyfile(
        """
        import docker, pytest

        @pytest.mark.parametrize("number", range(20))
        def test_end(pg, number):
            engine = docker.from_env()
            engine.containers.get(f"pgherd-{pg.name.split('_')[1]}").kill()
            engine.close()
        """
    )
    result = pytester.runpytest_subprocess("-n2", "-W", "ignore")
    text = result.stdout.str()
    assert "cannot be reset, because it cannot be reached or replaced" in text
    assert "Traceback" not in text
    assert "INTERNALERROR" not in text
    assert result.parseoutcomes()["errors"] <= 4
    assert result.ret != 0


def test_a_port_of_loopback_is_published_where_the_bridge_is_elsewhere(pytester, engine):
    """As with Docker Desktop, whose bridge is inside a virtual machine."""
    pytester.makeconftest(
        "from pgherd.servers.docker import network\nnetwork._own_bridge = lambda engine: None"
    )
    pytester.makepyfile(
        """
        def test_host(pg):
            assert pg.host == "127.0.0.1"
            pg.connect().close()
        """
    )
    result = pytester.runpytest_subprocess("-n0")
    result.assert_outcomes(passed=1)
    result.stdout.re_match_lines([r"pgherd: docker .* at 127\.0\.0\.1:\d+"])


def test_no_port_is_published_where_the_bridge_is_here(pytester, engine):
    """The container is reached at its own address."""
    subnet = engine.networks.get("bridge").attrs["IPAM"]["Config"][0]["Subnet"]
    pytester.makepyfile(
        f"""
        import ipaddress
        def test_host(pg):
            assert ipaddress.ip_address(pg.host) in ipaddress.ip_network("{subnet}")
            assert pg.port == 5432
        """
    )
    pytester.runpytest_subprocess("-n0").assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("described", "is_here"),
    [
        ({"Subnet": "127.7.0.0/16", "Gateway": "127.7.0.5"}, True),
        (
            {"Subnet": "127.7.0.0/16"},
            True,
        ),  # so an engine that was never started before
        ({"Subnet": "203.0.113.0/24", "Gateway": "203.0.113.1"}, False),
        ({"Subnet": "203.0.113.0/24"}, False),
    ],
)
def test_bridge_is_here_if_its_address_is(described, is_here):
    """Whether the engine tells the bridge's address, or leaves it out."""
    bridge = SimpleNamespace(name="bridge", attrs={"IPAM": {"Config": [described]}})
    engine = SimpleNamespace(networks={"bridge": bridge})
    found = network._own_bridge(engine)  # noqa: SLF001
    assert found == ("bridge" if is_here else None)


@pytest.fixture
def running(pytester, engine):
    """Start a run in the background, and wait until the named file shows how far it is."""
    started = []

    def start(until: str, tests: str = SLEEP, how: str = "-n2") -> tuple[subprocess.Popen, str]:
        pytester.makeconftest(TELL_THE_RUN)
        pytester.makepyfile(tests)
        process = subprocess.Popen(
            [sys.executable, "-m", "pytest", how, "-pno:cacheprovider"],
            cwd=pytester.path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            # Whoever runs the tests in the background may have had it ignored.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
        )
        started.append(process)
        run = pytester.path / "run"
        wait_until(lambda: run.exists() and run.read_text(), 60)
        wait_until(
            lambda: (
                (pytester.path / "asleep").exists()
                if until == "asleep"
                else containers(engine, run.read_text(), "running")
            ),
            60,
        )
        return process, run.read_text()

    yield start
    for process in started:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_container_does_not_outlive_its_owner(running, engine, how):
    """However the owner is ended in mid-run, its container is gone, within two seconds."""
    process, run = running("asleep")
    assert len(containers(engine, run)) == 1
    process.send_signal(how)
    if how is signal.SIGINT:  # pytest takes its time to end: xdist waits for its workers
        wait_until(lambda: containers(engine, run) == [], 30)
    else:
        assert wait_until(lambda: containers(engine, run) == []) < 2


FORK = """
import os, pathlib, time

def test_fork(pg):
    if not (child := os.fork()):
        time.sleep(30)
        os._exit(0)
    pathlib.Path("child").write_text(str(child))
    pathlib.Path("asleep").touch()
    time.sleep(60)
"""


def test_a_copy_of_the_owner_does_not_hold_the_lifeline(running, engine, pytester):
    """A child by os.fork, which lives on, does not keep the container."""
    process, run = running("asleep", FORK, "-n0")
    assert len(containers(engine, run)) == 1
    process.kill()
    try:
        assert wait_until(lambda: containers(engine, run) == []) < 2
    finally:
        os.kill(int((pytester.path / "child").read_text()), signal.SIGKILL)


def test_interrupt_of_a_long_pull(pytester):
    """Ctrl-C ends a run whose image is on its way, although its workers wait for it."""
    pytester.makepyfile(TEST)
    with (
        registry.serving(registry.Image(every=4, pieces=20)) as image,
        subprocess.Popen(
            [sys.executable, "-m", "pytest", "-n1", f"--pgherd-image={image}"],
            cwd=pytester.path,
            stdout=subprocess.PIPE,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
            start_new_session=True,
            text=True,
        ) as process,
    ):
        while "pulling" not in process.stdout.readline():
            assert process.poll() is None
        began = time.monotonic()
        os.killpg(process.pid, signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode == pytest.ExitCode.INTERRUPTED
    assert time.monotonic() - began < 40  # the pull takes 80


def test_container_that_is_only_starting_does_not_outlive_its_owner(running, engine):
    """Killed while the server is being initialised, the owner leaves nothing either."""
    process, run = running("started")
    process.kill()
    wait_until(lambda: containers(engine, run) == [], 30)


TEST = "def test_one(pg):\n    pass\n\n\ndef test_two(pg):\n    pass\n"


def only_message(result) -> str:
    """Give what was said, after checks that every message has to pass.

    The summary is left out, where pytest says the beginning of each message again, or all of it
    if the environment has CI.
    """
    text = result.stdout.str().partition("short test summary info")[0]
    assert result.ret == pytest.ExitCode.USAGE_ERROR, text
    assert "Traceback" not in text
    assert "src/pgherd" not in text
    assert result.stderr.str() == ""
    return text


@pytest.mark.parametrize("how", ["-n0", "-n4"])
def test_no_engine(pytester, monkeypatch, how):
    """Without an engine one message says so, and names the other way."""
    pytester.makepyfile(TEST)
    monkeypatch.setenv("DOCKER_HOST", f"unix://{pytester.path}/none.sock")
    text = only_message(pytester.runpytest_subprocess(how, "--dist=each"))
    place = f"unix://{pytester.path}/none.sock"
    assert f"no Docker engine answers at {place} (No such file or directory). Start" in text
    assert text.count("or a server that you have: --pgherd-url=postgresql://") == 1


@pytest.mark.parametrize("how", ["-n0", "-n4"])
def test_no_such_image(pytester, how):
    """An image that does not exist is named, with the engine's reason, once."""
    pytester.makepyfile(TEST)
    text = only_message(
        pytester.runpytest_subprocess(how, "--dist=each", "--pgherd-image=pgherd.invalid/none:1")
    )
    assert text.count("the image 'pgherd.invalid/none:1' is not on this machine") == 1
    assert "--pgherd-image" in text


@pytest.fixture
def broken(engine):
    """Give an image whose containers end at once."""
    name = "pgherd-test-broken:1"
    made = engine.containers.create("postgres:17")
    made.commit(*name.split(":"), changes='ENV POSTGRES_PASSWORD_FILE="/there/is/none"')
    made.remove(v=True)
    yield name
    engine.images.remove(name, force=True)


def test_container_that_ends_at_once(pytester, broken):
    """Its last lines are told, at once and not after a time-out, and it is removed."""
    pytester.makepyfile(TEST)
    began = time.monotonic()
    text = only_message(pytester.runpytest_subprocess("-n0", f"--pgherd-image={broken}"))
    assert time.monotonic() - began < 20
    assert "the container of 'pgherd-test-broken:1' ended at once. Its last lines:" in text
    assert "POSTGRES_PASSWORD" in text


SLOW = """
import time
from pgherd.servers.docker import container as module

def start(container, image, start=module._start):
    start(container, image)
    time.sleep(2)

module._start = start
"""


def test_container_that_ended_before_we_could_attach(pytester, broken):
    """It is gone by then, and its lines with it, but not the reason."""
    pytester.makeconftest(SLOW)
    pytester.makepyfile(TEST)
    text = only_message(pytester.runpytest_subprocess("-n0", f"--pgherd-image={broken}"))
    assert "the container of 'pgherd-test-broken:1' ended at once." in text


def test_container_that_never_started_is_removed_by_a_later_run(engine):
    """What an owner leaves that is killed between create and start is removed, once it is old."""
    label = f"pgherd.test.{secrets.token_hex(4)}"
    made = engine.containers.create("postgres:17", labels=[label])
    now = datetime.now(timezone.utc)
    _remove_unstarted(engine, label, now - timedelta(minutes=1))
    assert [kept.id for kept in engine.containers.list(all=True, filters={"label": label})] == [
        made.id
    ]
    _remove_unstarted(engine, label, now + timedelta(minutes=1))
    assert engine.containers.list(all=True, filters={"label": label}) == []


def test_pull_that_gets_on_may_take_its_time(monkeypatch, engine):
    """Each piece counts, and the person who waits is told for what."""
    monkeypatch.setattr(docker_image, "PROGRESS_WITHIN", 4.0)
    said = []
    with registry.serving(registry.Image(every=0.3, pieces=20)) as image:
        docker_image.provide(engine, image, said.append)
        engine.images.remove(image)
    assert said == [f"pulling {image}, which is not on this machine yet"]
