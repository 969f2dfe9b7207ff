"""The suite by `docker compose run --rm`: where its PostgreSQL is, and that nothing of it stays."""

from __future__ import annotations

import os
import re
import secrets
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.pgherd.support import engine

if TYPE_CHECKING:
    from collections.abc import Iterator

CHECKOUT = Path(__file__).parents[2]
AT_MOST = 300  # seconds; only a first build, which downloads, needs more than ten


@dataclass(frozen=True)
class Project:
    """What compose makes under one project name."""

    name: str

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a docker command in the checkout, whose .env names the compose file."""
        others = {name: value for name, value in os.environ.items() if name[:8] != "COMPOSE_"}
        return subprocess.Popen(
            ["docker", *arguments],
            cwd=CHECKOUT,
            env=others | {"COMPOSE_PROJECT_NAME": self.name},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def docker(self, *arguments: str) -> str:
        """Run a docker command that has to succeed, and give what it says."""
        with self.start(*arguments) as process:
            said, _ = process.communicate(timeout=AT_MOST)
        assert process.returncode == 0, said
        return said

    def run(self, *arguments: str) -> str:
        """Run a service, and give what it says."""
        return self.docker("compose", "run", "--rm", *arguments)

    def made(self, *kind: str) -> list[str]:
        """List what compose made of a kind: `ps --all`, `network ls` or `volume ls`."""
        label = f"label=com.docker.compose.project={self.name}"
        return self.docker(*kind, "--quiet", f"--filter={label}").split()

    def siblings(self) -> list[str]:
        """List what the plugin started in the project's network, of which compose knows nothing."""
        where = ["--filter=label=pgherd.run", f"--filter=network={self.name}_default"]
        return self.docker("ps", "--all", "--quiet", *where).split()

    def volumes(self, *containers: str) -> set[str]:
        """Give the names of the containers' volumes, which those without a name have too."""
        names = '{{range .Mounts}}{{if eq .Type "volume"}}{{.Name}} {{end}}{{end}}'
        return set(self.docker("inspect", f"--format={names}", *containers).split())


@pytest.fixture(scope="session")
def built() -> Iterator[None]:
    """Have the suite's image built, and kept, so that each further name for it takes no time."""
    engine.need("python:3.13-slim", "postgres:17", compose=True)
    keeper = Project(f"compose-{secrets.token_hex(4)}")
    keeper.docker("compose", "build", "--quiet", "tests", "tests-with-service")
    yield
    keeper.docker("compose", "down", "--rmi=local")


@pytest.fixture
def project(built: None) -> Iterator[Project]:
    """Give a compose project that nobody else has, and remove all of it."""
    project = Project(f"compose-{secrets.token_hex(4)}")
    yield project
    if left := project.made("ps", "--all"):
        project.docker("rm", "--force", "--volumes", *left)
    project.docker("compose", "down", "--rmi=local", "--volumes")


@dataclass(frozen=True)
class MidRun:
    """A run of the suite, some of whose tests are over: compose's process, and containers."""

    process: subprocess.Popen[str]
    tests: str
    postgres: str


@pytest.fixture
def mid_run(project) -> Iterator[MidRun]:
    """Start `docker compose run --rm tests` and wait until its first test has passed."""
    with project.start("compose", "run", "--rm", "tests", "-n1", "-v") as process:
        try:
            said = ""
            while " PASSED " not in said:
                line = process.stdout.readline()
                assert line, said
                said += line
            [tests], [postgres] = project.made("ps"), project.siblings()
            yield MidRun(process, tests, postgres)
        finally:
            if left := project.made("ps", "--all"):
                project.docker("rm", "--force", *left)
            process.communicate()


@pytest.mark.parametrize(
    ("service", "where"),
    [
        # An address in the project's network, and the port that PostgreSQL itself listens on.
        ("tests", r"docker postgres:\d+ \(PostgreSQL [\d.]+\) at [\d.]+:5432, ready in [\d.]+ s"),
        ("tests-with-service", r"external \(PostgreSQL [\d.]+\) at postgres:5432, ready in .*"),
    ],
    ids=["tests", "tests-with-service"],
)
def test_service_passes_and_leaves_only_images(project, service, where):
    """A service runs the suite, says where PostgreSQL is, and after `down` only images are left."""
    said = project.run(service, "-n2", "tests/app/test_roles.py")
    assert re.search(f"^pgherd: {where}$", said, re.MULTILINE), said
    assert project.siblings() == []
    running = project.made("ps", "--all")
    assert not running or project.volumes(*running) == set()
    project.docker("compose", "down")
    assert project.made("ps", "--all") == []
    assert project.made("network", "ls") == []
    assert project.made("volume", "ls") == []


def test_arguments_go_to_pytest(project):
    """What stands after the service's name are pytest's arguments; paths replace `tests/app`."""
    said = project.run("tests", "-n0", "-q", "--collect-only", "tests/app/test_db.py")
    assert "tests/app/test_db.py::" in said
    assert "tests/app/test_roles.py::" not in said


def test_any_user_can_run_the_suite(project):
    """With `--user` the suite runs as that user, whom the image need not know."""
    one = "test_create_user_post_creates_user_and_assigns_default_role"
    assert "1 passed" in project.run("--user=1234", "tests-with-service", "-n0", "-k", one)


def test_suite_does_not_run_as_root(project, mid_run):
    """Only docker-init is root in the container; the owner and its worker are not."""
    mode = project.docker("exec", mid_run.tests, "stat", "-c", "%a", "/var/run/docker.sock")
    if not int(mode, 8) & 0o020:
        pytest.skip("the engine's socket is not for its group, so root has to use it")
    _, init, *others = project.docker("top", mid_run.tests, "-eo", "uid,pid,args").splitlines()
    assert "docker-init" in init
    assert len(others) >= 2
    assert [process for process in others if process.split()[0] == "0"] == []


def test_kill_of_the_container_takes_postgres_with_it(project, mid_run):
    """2 s after `docker kill` of the container `tests`, PostgreSQL and its volumes are gone."""
    volumes = project.volumes(mid_run.postgres)
    began = time.monotonic()
    project.docker("kill", mid_run.tests)
    while project.docker("ps", "--all", "--quiet", f"--filter=id={mid_run.postgres}") or volumes & {
        *project.docker("volume", "ls", "--quiet").split()
    }:
        assert time.monotonic() - began < 2, "it outlives its owner"
    assert mid_run.process.wait(AT_MOST) == 128 + 9


def test_stop_of_the_container_interrupts_pytest(project, mid_run):
    """`docker stop` lets pytest tear down: PostgreSQL is gone, and the exit code is 2."""
    project.docker("stop", mid_run.tests)
    assert project.siblings() == []
    assert mid_run.process.wait(AT_MOST) == 2
