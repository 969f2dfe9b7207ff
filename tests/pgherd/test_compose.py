"""The suite by `docker compose run --rm`: it finds PostgreSQL, and leaves nothing."""

from __future__ import annotations

import re
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.pgherd.support import compose
from tests.pgherd.support.compose import RUN, TIMEOUT, Project

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def suite_image() -> Iterator[None]:
    """Build the suite's image once."""
    with compose.suite_image():
        yield


@pytest.fixture
def project(suite_image: None) -> Iterator[Project]:
    """A compose project of this test alone; everything that it leaves is removed."""
    project = Project(f"compose-{secrets.token_hex(4)}")
    yield project
    if left := project.resources("ps", "--all"):
        project.docker("rm", "--force", "--volumes", *left)
    project.docker("compose", "down", "--rmi=local", "--volumes")


@dataclass(frozen=True)
class RunningSuite:
    """A suite that has passed its first test: compose's process, and the ids of two containers."""

    process: subprocess.Popen[str]
    tests: str
    postgres: str


@pytest.fixture
def running_suite(project) -> Iterator[RunningSuite]:
    """Start `docker compose run --rm tests` and wait until its first test has passed."""
    with project.start(*RUN, "tests", "-n1", "-v") as process:
        try:
            output = ""
            while " PASSED " not in output:
                line = process.stdout.readline()
                assert line, output
                output += line
            [tests], [postgres] = project.resources("ps"), project.siblings()
            yield RunningSuite(process, tests, postgres)
        finally:
            if left := project.resources("ps", "--all"):
                project.docker("rm", "--force", *left)
            process.communicate()


@pytest.mark.parametrize(
    ("service", "server"),
    [
        # An address in the project's network, and the port that PostgreSQL itself listens on.
        ("tests", r"docker postgres:\d+ \(PostgreSQL [\d.]+\) at [\d.]+:5432, ready in [\d.]+ s"),
        ("tests-with-service", r"external \(PostgreSQL [\d.]+\) at postgres:5432, ready in .*"),
    ],
    ids=["tests", "tests-with-service"],
)
def test_service_passes_and_leaves_only_images(project, service, server):
    """The service runs the suite on the expected server, and after `down` only images are left."""
    output = project.run(service, "-n2", "tests/app/test_roles.py")
    assert re.search(f"^pgherd: {server}$", output, re.MULTILINE), output
    assert project.siblings() == []
    containers = project.resources("ps", "--all")
    assert not containers or project.volumes(*containers) == set()
    project.docker("compose", "down")
    assert project.resources("ps", "--all") == []
    assert project.resources("network", "ls") == []
    assert project.resources("volume", "ls") == []


def test_arguments_go_to_pytest(project):
    """What follows the service's name are pytest's arguments; paths replace `tests/app`."""
    output = project.run("tests", "-n0", "-q", "--collect-only", "tests/app/test_db.py")
    assert "tests/app/test_db.py::" in output
    assert "tests/app/test_roles.py::" not in output


def test_any_user_can_run_the_suite(project):
    """With `--user` the suite runs as that user, even if the image does not know the user."""
    one = "test_create_user_post_creates_user_and_assigns_default_role"
    assert "1 passed" in project.run("--user=1234", "tests-with-service", "-n0", "-k", one)


def test_suite_does_not_run_as_root(project, running_suite):
    """Only docker-init is root in the container; the owner and its worker are not."""
    mode = project.docker("exec", running_suite.tests, "stat", "-c", "%a", "/var/run/docker.sock")
    if not int(mode, 8) & 0o020:
        pytest.skip("the group of the engine's socket may not use it, so only root can")
    top = project.docker("top", running_suite.tests, "-eo", "uid,pid,args")
    _, init, *others = top.splitlines()
    assert "docker-init" in init
    assert len(others) >= 2
    assert [process for process in others if process.split()[0] == "0"] == []


def test_kill_of_the_container_ends_postgres(project, running_suite):
    """2 s after `docker kill` of the container `tests`, PostgreSQL and its volumes are gone."""
    postgres = f"--filter=id={running_suite.postgres}"
    volumes = project.volumes(running_suite.postgres)
    began = time.monotonic()
    project.docker("kill", running_suite.tests)
    while project.docker("ps", "--all", "--quiet", postgres) or volumes & {
        *project.docker("volume", "ls", "--quiet").split()
    }:
        assert time.monotonic() - began < 2, "PostgreSQL outlives its owner"
    assert running_suite.process.wait(TIMEOUT) == 128 + 9


def test_stop_of_the_container_interrupts_pytest(project, running_suite):
    """After `docker stop`, pytest tears down: PostgreSQL is gone, and the exit code is 2."""
    project.docker("stop", running_suite.tests)
    assert project.siblings() == []
    assert running_suite.process.wait(TIMEOUT) == 2
