"""A suite on several machines, for which containers on a network of their own stand here.

The manifests of docker/kubernetes are read, and what they say is run: as near as it gets without a
cluster.
"""

from __future__ import annotations

import os
import re
import secrets
import subprocess
import uuid
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.pgherd.support.waiting import wait_until
from tests.pgherd.test_compose import AT_MOST, CHECKOUT, Project, built

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["built"]  # a fixture

# All of tests/app takes twice as long: PGHERD_WHOLE_SUITE=1.
WHOLE = ["tests/app"] if "PGHERD_WHOLE_SUITE" in os.environ else []
SOME = WHOLE or ["tests/app/test_roles.py", "tests/app/test_teams.py", "tests/app/test_db.py"]
FEW = WHOLE or ["tests/app/test_roles.py"]
SSH = """
FROM {image}
RUN apt-get -qq update && apt-get -qq install --no-install-recommends openssh-client openssh-server
RUN install -d /run/sshd && ssh-keygen -q -t ed25519 -N "" -f /key \\
    && install -D -o tests -m 600 /key.pub /home/tests/.ssh/authorized_keys \\
    && echo "Host worker*\\n User tests\\n IdentityFile /key\\n StrictHostKeyChecking no" \\
        >/etc/ssh/ssh_config.d/workers.conf
"""
DATABASES = "SELECT datname FROM pg_database WHERE starts_with(datname, 'pgherd_')"


def manifests() -> dict[str, dict[str, Any]]:
    """Read what docker/kubernetes describes, by kind."""
    paths = sorted((CHECKOUT / "docker" / "kubernetes").glob("*.yaml"))
    return {each["kind"]: each for path in paths for each in yaml.safe_load_all(path.read_text())}


@dataclass(frozen=True)
class Machines:
    """Containers on one network, which are called machines here."""

    project: Project
    kinds: dict[str, dict[str, Any]] = field(default_factory=manifests)

    def docker(self, *arguments: str) -> str:
        """Run a docker command that has to succeed, and give what it says."""
        return self.project.docker(*arguments).strip()

    def options(self, *more: str) -> list[str]:
        """Give the options of a container that belongs to us."""
        label = f"--label=com.docker.compose.project={self.project.name}"
        return ["run", "--rm", label, f"--network={self.project.name}", *more]

    def python(self, *arguments: str) -> list[str]:
        """Give what runs Python in the suite's image."""
        return ["--entrypoint=python", f"{self.project.name}-tests", "-u", "-m", *arguments]

    def pod(self, kind: str, place: str = "containers", **fields: str) -> list[str]:
        """Give the options that make a container what the first of a kind's pod is.

        Args:
            kind: of what has the pod.
            place: `containers` or `initContainers`.
            fields: what Kubernetes knows of the pod, by the last word of its path.
        """
        spec = self.kinds[kind]["spec"]["template"]["spec"]
        who = spec["securityContext"]
        first = spec[place][0]
        told = [f"--user={who['runAsUser']}:{who['runAsGroup']}", "--cap-drop=ALL"]
        for variable in first["env"]:
            source = variable.get("valueFrom", {})
            if "secretKeyRef" in source:
                value = self.kinds["Secret"]["stringData"][source["secretKeyRef"]["key"]]
            elif "fieldRef" in source:
                value = fields[source["fieldRef"]["fieldPath"].rpartition("/")[2].rstrip("']")]
            else:
                value = variable["value"]
            told.append(f"--env={variable['name']}={value}")
        told += [
            f"--tmpfs={volume['mountPath']}:uid={who['runAsUser']},mode=700"
            for volume in first.get("volumeMounts", ())
        ]
        entry, *command = first.get("command", [""])
        image = first["image"].replace("pgherd-tests", f"{self.project.name}-tests")
        told += [f"--entrypoint={entry}"] if entry else []
        return [*told, image, *command, *first.get("args", ())]

    def postgres(self) -> str:
        """Start the manifest's server, and wait as the manifest does; give its container's id.

        It logs what makes and drops databases.
        """
        alias = f"--network-alias={self.kinds['Service']['metadata']['name']}"
        server = self.docker(*self.options("--detach", alias), *self.pod("Deployment"))
        self.docker(*self.options(), *self.pod("Job", "initContainers"))
        self.sql(server, "ALTER SYSTEM SET log_statement = 'ddl'")
        self.sql(server, "SELECT pg_reload_conf()")
        return server

    def sql(self, server: str, statement: str) -> list[str]:
        """Ask the server; give the lines of its answer."""
        psql = ["psql", "--username=postgres", "--tuples-only", "--no-align", "--command"]
        return self.docker("exec", server, *psql, statement).splitlines()

    def worker(self, name: str, way: str) -> None:
        """Start a machine on which an xdist worker can run, and wait until it listens.

        Args:
            name: what the others call it.
            way: how they reach it, a key of `--tx`: `socket` or `ssh`.
        """
        where = self.options("--detach", f"--network-alias={name}")
        what, sign = {
            "socket": (
                ["--user=1000:1000", *self.python("execnet.script.socketserver", "0.0.0.0:8888")],
                "Entering Accept loop",
            ),
            "ssh": (
                ["--entrypoint=/usr/sbin/sshd", f"{self.project.name}-tests", "-De"],
                "Server listening on 0.0.0.0",
            ),
        }[way]
        server = self.docker(*where, *what)
        wait_until(lambda: sign in self.docker("logs", server))

    def have_ssh(self, place: Path) -> None:
        """Give the suite's image OpenSSH, and a key that lets each machine into the others."""
        image = f"{self.project.name}-tests"
        (place / "Dockerfile").write_text(SSH.format(image=image))
        self.docker("build", "--quiet", f"--tag={image}", str(place))

    def collected(self, paths: list[str]) -> Counter[str]:
        """List the tests that there are."""
        what = ["pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *paths]
        said = self.docker(*self.options(), *self.python(*what))
        return Counter(line for line in said.splitlines() if "::" in line)

    def all_of(self, *commands: list[str]) -> list[str]:
        """Run docker commands at once, which all have to succeed; give what each says."""
        with ExitStack() as stack:
            ran = [stack.enter_context(self.project.start(*command)) for command in commands]
            said = [process.communicate(timeout=AT_MOST)[0] for process in ran]
        for process, text in zip(ran, said, strict=True):
            assert process.returncode == 0, text
        return said


def passed(said: str) -> Counter[str]:
    """Read from what `pytest -rp` said which tests passed, and how often."""
    return Counter(re.findall(r"^PASSED (\S.*)$", said, re.MULTILINE))


@pytest.fixture
def machines(built: None) -> Iterator[Machines]:
    """Give a network and an image that nobody else has; remove them and what uses them."""
    project = Project(f"machines-{secrets.token_hex(4)}")
    try:
        project.docker("compose", "build", "--quiet", "tests")
        label = f"--label=com.docker.compose.project={project.name}"
        project.docker("network", "create", label, project.name)
        yield Machines(project)
    finally:
        if left := project.made("ps", "--all"):
            project.docker("rm", "--force", "--volumes", *left)
        if left := project.made("network", "ls"):
            project.docker("network", "rm", *left)
        subprocess.run(["docker", "rmi", f"{project.name}-tests"], capture_output=True, check=False)


def test_shards_share_a_server_and_a_template(machines: Machines):
    """The shards of the Job run each test once, on one template, and leave none of their clones."""
    server = machines.postgres()
    job = {"controller-uid": str(uuid.uuid4())}
    shards = [
        [
            *machines.options(f"--env=JOB_COMPLETION_INDEX={index}"),
            *machines.pod("Job", **job),
            *("-rp", *SOME),
        ]
        for index in range(machines.kinds["Job"]["spec"]["completions"])
    ]
    parts = [passed(said) for said in machines.all_of(*shards)]
    assert all(parts)
    assert sum(parts, Counter()) == machines.collected(SOME)
    [template] = machines.sql(server, DATABASES)
    assert template.startswith("pgherd_template_")
    log = machines.docker("logs", server)
    assert log.count(f'CREATE DATABASE "{template}"') == 1
    runs = re.findall(r'CREATE DATABASE "pgherd_([0-9a-f]{8})_gw0" ', log)
    assert len(set(runs)) == 3


@pytest.mark.parametrize(
    ("kind", "way", "paths"),
    [
        ("external", "socket", SOME),
        ("external", "ssh", FEW),
        ("embedded", "socket", FEW),
        ("docker", "socket", FEW),
    ],
    ids=["external", "ssh", "embedded", "docker"],
)
def test_workers_on_other_machines(
    machines: Machines, tmp_path: Path, kind: str, way: str, paths: list[str]
):
    """Two remote workers run each test once on the owner's server, and leave no clone there."""
    if way == "ssh":
        machines.have_ssh(tmp_path)
    server = machines.postgres() if kind == "external" else ""
    workers = ["worker0", "worker1"]
    for name in workers:
        machines.worker(name, way)
    socket = os.environ.get("DOCKER_SOCKET", "/var/run/docker.sock")
    given = {
        "external": [f"--env=PGHERD_URL={machines.kinds['Secret']['stringData']['url']}"],
        "embedded": ["--user=1000:1000"],
        "docker": [f"--volume={socket}:/var/run/docker.sock", "--env=PGHERD_IMAGE"],
    }
    port = ":8888" if way == "socket" else ""
    tx = [f"--tx={way}={name}{port}//chdir=/suite" for name in workers]
    owner = machines.options("--network-alias=owner", "--hostname=owner", *given[kind])
    what = ["-d", *tx, "--pgherd-listen=owner", f"--pgherd-server={kind}", "-v", "-rp"]
    # A path as an argument would have to be below a directory that is copied to the workers.
    what += ["-o", f"testpaths={' '.join(paths)}", "-p", "no:cacheprovider"]
    [said] = machines.all_of([*owner, *machines.python("pytest", *what)])
    assert {"[gw0]", "[gw1]"} <= set(said.split())
    [number] = re.findall(r"2 workers \[(\d+) items\]", said)
    assert set(passed(said).values()) == {1}
    assert len(passed(said)) == int(number)
    if server:
        [template] = machines.sql(server, DATABASES)
        log = machines.docker("logs", server)
        assert log.count(f'CREATE DATABASE "{template}"') == 1
    siblings = ["--filter=label=pgherd.run", f"--filter=network={machines.project.name}"]
    assert machines.docker("ps", "--all", "--quiet", *siblings) == ""


def test_a_container_in_the_network_of_another(machines: Machines):
    """As `network_mode: service:…` makes it, and development containers: theirs is joined."""
    socket = os.environ.get("DOCKER_SOCKET", "/var/run/docker.sock")
    image = f"{machines.project.name}-tests"
    other = machines.docker(*machines.options("--detach"), "--entrypoint=sleep", image, "120")
    label = f"--label=com.docker.compose.project={machines.project.name}"
    own = ["run", "--rm", label, f"--network=container:{other}"]
    own += [f"--volume={socket}:/var/run/docker.sock", "--env=PGHERD_IMAGE"]
    what = ["pytest", "--pgherd-server=docker", "-p", "no:cacheprovider", *FEW]
    said = machines.docker(*own, *machines.python(*what))
    assert re.search(
        r"^pgherd: docker \S+ \(PostgreSQL [\d.]+\) at [\d.]+:5432, ", said, re.MULTILINE
    )


HOLD = """
import sys, time
from pgherd.postgres import connections
from pgherd.postgres.address import Address
from pgherd.run.liveness import Liveness
connections._SETTINGS |= {"tcp_keepalives_idle = 1": 0, "tcp_keepalives_interval = 1": 0}
Liveness(Address.from_url(sys.argv[1]), "0123abcd")
print("held", flush=True)
time.sleep(60)
"""


def test_a_machine_that_is_lost_lets_go_of_its_lock(machines: Machines):
    """The server finds out by itself that a machine is gone, and the next run can sweep."""
    server = machines.postgres()
    url = machines.kinds["Secret"]["stringData"]["url"]
    what = ["--entrypoint=python", f"{machines.project.name}-tests", "-c", HOLD, url]
    lost = machines.docker(*machines.options("--detach"), *what)
    wait_until(lambda: "held" in machines.docker("logs", lost))
    locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
    assert machines.sql(server, locks) == ["1"]
    machines.docker("network", "disconnect", "--force", machines.project.name, lost)
    # The server believes in it for no longer.
    wait_until(lambda: machines.sql(server, locks) == ["0"], 20)
