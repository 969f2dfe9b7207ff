"""Containers that stand for machines on one network."""

from __future__ import annotations

import re
import secrets
import subprocess
from collections import Counter
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

from tests.pgherd.support.compose import CHECKOUT, TIMEOUT, Project
from tests.pgherd.support.plugins import OPTIONS
from tests.pgherd.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DATABASES = "SELECT datname FROM pg_database WHERE starts_with(datname, 'pgherd_')"
SSH = """
FROM {image}
RUN echo force-unsafe-io >/etc/dpkg/dpkg.cfg.d/faster && apt-get -qq update \\
    && apt-get -qq install --no-install-recommends openssh-client openssh-server
RUN install -d /run/sshd && ssh-keygen -q -t ed25519 -N "" -f /key \\
    && install -D -o tests -m 600 /key.pub /home/tests/.ssh/authorized_keys \\
    && echo "Host worker*\\n User tests\\n IdentityFile /key\\n StrictHostKeyChecking no" \\
        >/etc/ssh/ssh_config.d/workers.conf
"""


def manifests() -> dict[str, dict[str, Any]]:
    """Read the manifests of docker/kubernetes, by kind."""
    paths = sorted((CHECKOUT / "docker" / "kubernetes").glob("*.yaml"))
    return {each["kind"]: each for path in paths for each in yaml.safe_load_all(path.read_text())}


@dataclass(frozen=True)
class Machines:
    """Containers on one network. Each stands for a machine, or for a pod of a manifest."""

    project: Project
    kinds: dict[str, dict[str, Any]] = field(default_factory=manifests)

    @property
    def image(self) -> str:
        """The name of the suite's image."""
        return f"{self.project.name}-tests"

    def docker(self, *arguments: str) -> str:
        """Run a docker command, check that it succeeds, and return its output."""
        return self.project.docker(*arguments).strip()

    def options(self, *more: str) -> list[str]:
        """Return the command that runs a container on the network, with these options."""
        label = f"--label=com.docker.compose.project={self.project.name}"
        pytest_ = f"--env=PYTEST_ADDOPTS={OPTIONS}"
        return ["run", "--rm", label, f"--network={self.project.name}", pytest_, *more]

    def python(self, *arguments: str) -> list[str]:
        """Return the arguments that run a Python module in the suite's image."""
        return ["--entrypoint=python", self.image, "-u", "-m", *arguments]

    def pod(self, kind: str, section: str = "containers", **fields: str) -> list[str]:
        """Return the arguments that make a container like the first one of a manifest's pod.

        Args:
            kind: the kind of the manifest, such as `Job`.
            section: `containers` or `initContainers`.
            fields: the values of `fieldRef`, by the last word of the field's path.
        """
        spec = self.kinds[kind]["spec"]["template"]["spec"]
        user = spec["securityContext"]
        first = spec[section][0]
        options = [f"--user={user['runAsUser']}:{user['runAsGroup']}", "--cap-drop=ALL"]
        for variable in first.get("env", ()):
            source = variable.get("valueFrom", {})
            if "secretKeyRef" in source:
                value = self.kinds["Secret"]["stringData"][source["secretKeyRef"]["key"]]
            elif "fieldRef" in source:
                value = fields[source["fieldRef"]["fieldPath"].rpartition("/")[2].rstrip("']")]
            else:
                value = variable["value"]
            options.append(f"--env={variable['name']}={value}")
        options += [
            f"--tmpfs={volume['mountPath']}:uid={user['runAsUser']},mode=700"
            for volume in first.get("volumeMounts", ())
        ]
        entrypoint, *command = first.get("command", [""])
        image = first["image"].replace("pgherd-tests", self.image)
        options += [f"--entrypoint={entrypoint}"] if entrypoint else []
        return [*options, image, *command, *first.get("args", ())]

    def postgres(self) -> str:
        """Start the manifest's server, wait as the manifest does, and return its container's id.

        The server logs each statement that creates or drops a database.
        """
        alias = f"--network-alias={self.kinds['Service']['metadata']['name']}"
        server = self.docker(*self.options("--detach", alias), *self.pod("Deployment"))
        self.docker(*self.options(), *self.pod("Job", "initContainers"))
        self.sql(server, "ALTER SYSTEM SET log_statement = 'ddl'")
        self.sql(server, "SELECT pg_reload_conf()")
        return server

    def sql(self, server: str, statement: str) -> list[str]:
        """Run a statement on the server, and return the lines of its result."""
        psql = ["psql", "--username=postgres", "--tuples-only", "--no-align", "--command"]
        return self.docker("exec", server, *psql, statement).splitlines()

    def worker(self, name: str, way: str) -> None:
        """Start a machine for an xdist worker, and wait until it listens.

        Args:
            name: the machine's name on the network.
            way: how the controller reaches it, as in `--tx`: `socket` or `ssh`.
        """
        options = self.options("--detach", f"--network-alias={name}")
        command, sign = {
            "socket": (
                ["--user=1000:1000", *self.python("execnet.script.socketserver", "0.0.0.0:8888")],
                "Entering Accept loop",
            ),
            "ssh": (
                ["--entrypoint=/usr/sbin/sshd", self.image, "-De"],
                "Server listening on 0.0.0.0",
            ),
        }[way]
        server = self.docker(*options, *command)
        wait_until(lambda: sign in self.docker("logs", server))

    def install_ssh(self, directory: Path) -> None:
        """Add OpenSSH to the suite's image, and a key with which each machine reaches the others.

        Args:
            directory: an empty directory, for the Dockerfile.
        """
        (directory / "Dockerfile").write_text(SSH.format(image=self.image))
        self.docker("build", "--quiet", f"--tag={self.image}", str(directory))

    def collected(self, paths: list[str]) -> Counter[str]:
        """Count the tests that pytest collects from these paths, by their ids."""
        pytest = ["pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *paths]
        output = self.docker(*self.options(), *self.python(*pytest))
        return Counter(line for line in output.splitlines() if "::" in line)

    def run_all(self, *commands: list[str]) -> list[str]:
        """Run docker commands at once, check that all succeed, and return the output of each."""
        with ExitStack() as stack:
            started = [stack.enter_context(self.project.start(*command)) for command in commands]
            outputs = [process.communicate(timeout=TIMEOUT)[0] for process in started]
        for process, output in zip(started, outputs, strict=True):
            assert process.returncode == 0, output
        return outputs


def passed(output: str) -> Counter[str]:
    """Count how often each test passed, by the output of `pytest -rp`."""
    return Counter(re.findall(r"^PASSED (\S.*)$", output, re.MULTILINE))


@contextmanager
def network(image: str) -> Iterator[Machines]:
    """Create a network, and a name for the suite's image; remove them and what uses them."""
    project = Project(f"machines-{secrets.token_hex(4)}")
    try:
        project.docker("tag", image, f"{project.name}-tests")
        label = f"--label=com.docker.compose.project={project.name}"
        project.docker("network", "create", label, project.name)
        yield Machines(project)
    finally:
        if left := project.resources("ps", "--all"):
            project.docker("rm", "--force", "--volumes", *left)
        if left := project.resources("network", "ls"):
            project.docker("network", "rm", *left)
        subprocess.run(["docker", "rmi", f"{project.name}-tests"], capture_output=True, check=False)
