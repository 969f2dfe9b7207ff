"""The container: all workers share one, and a container that ends leaves one message."""

from __future__ import annotations

import re
import secrets
import subprocess
import sys
import time
from contextlib import closing
from datetime import datetime, timedelta, timezone

import docker
import pytest

from pgherd.servers.docker.container import _remove_unstarted
from tests.pgherd.support.containers import CLONE, containers, run_id_in
from tests.pgherd.support.messages import TWO_TESTS, only_message

pytestmark = pytest.mark.slow

MEET = """
import pathlib, sys, time

def meet(pattern):
    until = time.monotonic() + 60
    while len(list(pathlib.Path().glob(pattern))) < 4 and time.monotonic() < until:
        time.sleep(0.01)

def test_meet(pg):
    pathlib.Path(f"met-{pg.name}").touch()
    meet("met-*")
    connection = pg.connect()
    cursor = connection.cursor()
    cursor.execute("SELECT datname FROM pg_database WHERE starts_with(datname, 'pgherd_')")
    names = sorted(name for (name,) in cursor.fetchall())
    connection.close()
    pathlib.Path(f"seen-{pg.name}").write_text(f"{pg.host} {' '.join(names)}")
    meet("seen-*")  # the owner drops the clone of a worker that has ended
    assert not {"testcontainers", "docker"} & set(sys.modules)
"""


def test_four_workers_share_one_container(pytester, engine):
    """Each worker has a clone in one container, which is gone afterwards; none imports docker."""
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
            most = max(most, len(containers(engine, run_id_in(met))))
        time.sleep(0.02)
    output = process.communicate()[0].decode()
    assert process.returncode == 0, output
    [host] = re.findall(r"docker postgres:17 \(PostgreSQL 17\.\d+\) at ([\d.]+):\d+", output)
    seen = [path.read_text().split() for path in pytester.path.glob("seen-*")]
    assert [len([name for name in names if CLONE.match(name)]) for _, *names in seen] == [4] * 4
    assert [len([name for name in names if "template" in name]) for _, *names in seen] == [1] * 4
    assert {seen_host for seen_host, *_ in seen} == {host}
    assert most == 1
    assert containers(engine, run_id_in(str(seen))) == []


# A published port is closed when its container ends, so connections fail at once. At an address of
# the bridge, each of several connections would fail only after three seconds.
PUBLISHED_PORT = """
from pgherd.servers.docker import network
network._own_bridge = lambda engine: None
"""


def test_run_stops_if_its_container_has_ended(pytester):
    """If a test ends the container, that test gets one message, and the run stops."""
    pytester.makeconftest(PUBLISHED_PORT)
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
    assert "cannot reset or replace the database" in text
    assert "Traceback" not in text
    assert "INTERNALERROR" not in text
    assert result.parseoutcomes()["errors"] <= 4
    assert result.ret != 0


@pytest.fixture(scope="module")
def broken_image():
    """The name of an image whose containers end at once."""
    name = "pgherd-test-broken:1"
    with closing(docker.from_env()) as engine:
        container = engine.containers.create("postgres:17")
        container.commit(*name.split(":"), changes='ENV POSTGRES_PASSWORD_FILE="/there/is/none"')
        container.remove(v=True)
        yield name
        engine.images.remove(name, force=True)


def test_message_contains_the_last_lines_of_a_container_that_ends(pytester, broken_image):
    """If the container ends at once, the message comes at once and contains its last lines."""
    pytester.makepyfile(TWO_TESTS)
    began = time.monotonic()
    text = only_message(pytester.runpytest_subprocess("-n0", f"--pgherd-image={broken_image}"))
    assert time.monotonic() - began < 20
    assert (
        "the container of 'pgherd-test-broken:1' ended before PostgreSQL answered. Its last lines:"
        in text
    )
    assert "POSTGRES_PASSWORD" in text


WAIT_FOR_THE_END = """
import time
import docker.errors
from pgherd.servers.docker import container as module

def start(container, image, start=module._start):
    start(container, image)
    engine = container.get_docker_client().client
    until = time.monotonic() + 30
    try:
        while time.monotonic() < until:
            engine.containers.get(container.get_container_id())
            time.sleep(0.01)
    except docker.errors.NotFound:
        open("gone", "w").close()

module._start = start
"""


def test_container_that_ends_before_the_owner_attaches_gets_a_message(pytester, broken_image):
    """If the container is gone before the owner attaches, the message still says that it ended."""
    pytester.makeconftest(WAIT_FOR_THE_END)
    pytester.makepyfile(TWO_TESTS)
    text = only_message(pytester.runpytest_subprocess("-n0", f"--pgherd-image={broken_image}"))
    assert (pytester.path / "gone").exists()
    assert "the container of 'pgherd-test-broken:1' ended before PostgreSQL answered." in text


def test_later_run_removes_a_container_that_never_started(engine):
    """If an owner is killed between create and start, a later run removes the old container."""
    label = f"pgherd.test.{secrets.token_hex(4)}"
    container = engine.containers.create("postgres:17", labels=[label])
    now = datetime.now(timezone.utc)
    _remove_unstarted(engine, label, now - timedelta(minutes=1))
    assert [kept.id for kept in engine.containers.list(all=True, filters={"label": label})] == [
        container.id
    ]
    _remove_unstarted(engine, label, now + timedelta(minutes=1))
    assert engine.containers.list(all=True, filters={"label": label}) == []
