"""The projects of docker compose."""

from __future__ import annotations

import os
import secrets
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.pgherd.support import engine
from tests.pgherd.support.plugins import OPTIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

CHECKOUT = Path(__file__).parents[3]
TIMEOUT = 300
"""How long a docker command may take, in seconds. Only a first build needs more than ten."""

RUN = ["compose", "run", "--rm", f"--env=PYTEST_ADDOPTS={OPTIONS}"]
"""The command that runs a service, before the service's name."""


@dataclass(frozen=True)
class Project:
    """A compose project of this checkout, under a name of its own."""

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
        """Run a docker command, check that it succeeds, and return its output."""
        with self.start(*arguments) as process:
            output, _ = process.communicate(timeout=TIMEOUT)
        assert process.returncode == 0, output
        return output

    def run(self, *arguments: str) -> str:
        """Run a service, and return its output."""
        return self.docker(*RUN, *arguments)

    def resources(self, *command: str) -> list[str]:
        """List what compose made, by one of `ps --all`, `network ls` and `volume ls`."""
        label = f"label=com.docker.compose.project={self.name}"
        return self.docker(*command, "--quiet", f"--filter={label}").split()

    def siblings(self) -> list[str]:
        """List the containers that pgherd started in the project's network, unknown to compose."""
        filters = ["--filter=label=pgherd.run", f"--filter=network={self.name}_default"]
        return self.docker("ps", "--all", "--quiet", *filters).split()

    def volumes(self, *containers: str) -> set[str]:
        """Return the names of the containers' volumes. An anonymous volume has a name, too."""
        names = '{{range .Mounts}}{{if eq .Type "volume"}}{{.Name}} {{end}}{{end}}'
        return set(self.docker("inspect", f"--format={names}", *containers).split())


@contextmanager
def suite_image() -> Iterator[str]:
    """Build the suite's image and yield its name.

    The image is kept until the end, so that to build it under another name takes no time.
    """
    engine.need("python:3.13-slim", "postgres:17", compose=True)
    keeper = Project(f"compose-{secrets.token_hex(4)}")
    keeper.docker("compose", "build", "--quiet", "tests", "tests-with-service")
    yield f"{keeper.name}-tests"
    keeper.docker("compose", "down", "--rmi=local")
