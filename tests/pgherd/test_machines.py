"""A suite on several machines; containers on a network of their own stand for the machines.

The tests run the manifests of docker/kubernetes, as closely as possible without a cluster.
"""

from __future__ import annotations

import os
import re
import uuid
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.pgherd.support import compose, machines
from tests.pgherd.support.machines import DATABASES, Machines, passed
from tests.pgherd.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow

# All of tests/app takes twice as long: PGHERD_WHOLE_SUITE=1.
WHOLE = ["tests/app"] if "PGHERD_WHOLE_SUITE" in os.environ else []
SOME = WHOLE or ["tests/app/test_roles.py", "tests/app/test_teams.py", "tests/app/test_db.py"]
FEW = WHOLE or ["tests/app/test_roles.py"]


@pytest.fixture(scope="session")
def suite_image() -> Iterator[str]:
    """Build the suite's image once."""
    with compose.suite_image() as name:
        yield name


@pytest.fixture
def network(suite_image: str) -> Iterator[Machines]:
    """A network for the machines of this test alone."""
    with machines.network(suite_image) as network:
        yield network


def test_shards_share_a_server_and_a_template(network: Machines):
    """The shards of the Job run each test once, on one template, and leave none of their clones."""
    server = network.postgres()
    job = {"controller-uid": str(uuid.uuid4())}
    shards = [
        [
            *network.options(f"--env=JOB_COMPLETION_INDEX={index}"),
            *network.pod("Job", **job),
            *("-rp", *SOME),
        ]
        for index in range(network.kinds["Job"]["spec"]["completions"])
    ]
    parts = [passed(output) for output in network.run_all(*shards)]
    assert all(parts)
    assert sum(parts, Counter()) == network.collected(SOME)
    [template] = network.sql(server, DATABASES)
    assert template.startswith("pgherd_template_")
    log = network.docker("logs", server)
    assert log.count(f'CREATE DATABASE "{template}"') == 1
    run_ids = re.findall(r'CREATE DATABASE "pgherd_([0-9a-f]{8})_gw0" ', log)
    assert len(set(run_ids)) == 3


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
def test_workers_on_other_machines_use_the_server_of_the_owner(
    network: Machines, tmp_path: Path, kind: str, way: str, paths: list[str]
):
    """Two remote workers run each test once on the owner's server, and leave no clone there."""
    if way == "ssh":
        network.install_ssh(tmp_path)
    server = network.postgres() if kind == "external" else ""
    workers = ["worker0", "worker1"]
    for name in workers:
        network.worker(name, way)
    socket = os.environ.get("DOCKER_SOCKET", "/var/run/docker.sock")
    options = {
        "external": [f"--env=PGHERD_URL={network.kinds['Secret']['stringData']['url']}"],
        "embedded": ["--user=1000:1000"],
        "docker": [f"--volume={socket}:/var/run/docker.sock", "--env=PGHERD_IMAGE"],
    }
    port = ":8888" if way == "socket" else ""
    tx = [f"--tx={way}={name}{port}//chdir=/suite" for name in workers]
    owner = network.options("--network-alias=owner", "--hostname=owner", *options[kind])
    arguments = ["-d", *tx, "--pgherd-listen=owner", f"--pgherd-server={kind}", "-v", "-rp"]
    # A path as an argument would have to be below a directory that is copied to the workers.
    arguments += ["-o", f"testpaths={' '.join(paths)}", "-p", "no:cacheprovider"]
    [output] = network.run_all([*owner, *network.python("pytest", *arguments)])
    assert {"[gw0]", "[gw1]"} <= set(output.split())
    [number] = re.findall(r"2 workers \[(\d+) items\]", output)
    assert set(passed(output).values()) == {1}
    assert len(passed(output)) == int(number)
    if server:
        [template] = network.sql(server, DATABASES)
        log = network.docker("logs", server)
        assert log.count(f'CREATE DATABASE "{template}"') == 1
    siblings = ["--filter=label=pgherd.run", f"--filter=network={network.project.name}"]
    assert network.docker("ps", "--all", "--quiet", *siblings) == ""


def test_run_in_the_network_of_another_container_joins_that_network(network: Machines):
    """If the run's container uses another container's network, as `service:…` does, it is found.

    Development containers use this mode, too.
    """
    socket = os.environ.get("DOCKER_SOCKET", "/var/run/docker.sock")
    options = network.options("--detach")
    other = network.docker(*options, "--entrypoint=sleep", network.image, "120")
    label = f"--label=com.docker.compose.project={network.project.name}"
    own = ["run", "--rm", label, f"--network=container:{other}"]
    own += [f"--volume={socket}:/var/run/docker.sock", "--env=PGHERD_IMAGE"]
    pytest_ = ["pytest", "--pgherd-server=docker", "-p", "no:cacheprovider", *FEW]
    output = network.docker(*own, *network.python(*pytest_))
    assert re.search(
        r"^pgherd: docker \S+ \(PostgreSQL [\d.]+\) at [\d.]+:5432, ", output, re.MULTILINE
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


def test_server_releases_the_lock_of_a_lost_machine(network: Machines):
    """If a machine disappears, the server ends its session, so that the next run can sweep."""
    server = network.postgres()
    url = network.kinds["Secret"]["stringData"]["url"]
    command = ["--entrypoint=python", network.image, "-c", HOLD, url]
    lost = network.docker(*network.options("--detach"), *command)
    wait_until(lambda: "held" in network.docker("logs", lost))
    locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
    assert network.sql(server, locks) == ["1"]
    network.docker("network", "disconnect", "--force", network.project.name, lost)
    # The server closes a session whose client has been silent for some seconds.
    wait_until(lambda: network.sql(server, locks) == ["0"], 20)
