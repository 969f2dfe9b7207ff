"""The network: how this process reaches the container."""

from __future__ import annotations

import re
import socket
from contextlib import suppress
from ipaddress import ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pgherd import unpatched

if TYPE_CHECKING:
    from testcontainers.core.container import DockerContainer

PORT = 5432
"""The port on which PostgreSQL listens in the container."""


class Network:
    """The network of the container, and the port to publish if there is none to join.

    - If this process runs in a container, the new container joins the same network, and is reached
      at its address there.
    - If this machine has the engine's bridge, this process reaches the container at its address on
      the bridge, without a proxy in between.
    - Otherwise, the container's port is published. With Docker Desktop, for example, the bridge is
    in
      a virtual machine. With an engine on this machine, the port is published on loopback. With an
      engine on another machine, it is published on all interfaces of that machine.

    If workers run on other machines, the port is published at the host where they reach this
    machine. If pgherd runs in a container, all workers must be in the same Docker network.

    Args:
        engine: the client of the engine.
        host: the host at which workers on other machines reach this one; empty if there are none.
    """

    def __init__(self, engine: Any, host: str = "") -> None:
        url = urlsplit(_ssh_url() or engine.api.base_url)
        remote = url.scheme in {"http", "https", "ssh"} and url.hostname not in {None, "localhost"}
        remote = remote and not str(url.hostname).startswith("127.")
        self.host = str(url.hostname) if remote else host or "127.0.0.1"
        local = socket.gethostbyname(host) if host else "127.0.0.1"
        self.publish = ("0.0.0.0" if remote else local, None)  # noqa: S104
        self.name = _own_network(engine) or (None if remote or host else _own_bridge(engine))

    def locate(self, container: DockerContainer) -> tuple[str, int]:
        """Return the host and port at which this process reaches the container's server.

        A container that has ended already has none: the port is 0.
        """
        import docker.errors

        inner = container.get_wrapped_container()
        with suppress(docker.errors.NotFound):
            inner.reload()
        settings = inner.attrs["NetworkSettings"]
        if self.name:
            address = settings["Networks"].get(self.name, {}).get("IPAddress")
            return (address, PORT) if address else (self.host, 0)
        published = settings["Ports"].get(f"{PORT}/tcp") or [{"HostPort": "0"}]
        return self.host, int(published[0]["HostPort"])


def _ssh_url() -> str | None:
    """Return the URL of an engine behind ssh, which docker-py hides."""
    from testcontainers.core.docker_client import get_docker_host

    url = get_docker_host() or ""
    return url if url.startswith("ssh://") else None


def _own_network(engine: Any) -> str | None:
    """Return the network of the container that this process runs in; None outside a container."""
    import docker.errors

    if not Path("/.dockerenv").exists():
        return None
    for name in _own_names():
        with suppress(docker.errors.DockerException):
            own = engine.containers.get(name)
            shared, _, other = own.attrs["HostConfig"]["NetworkMode"].partition(":")
            if shared == "container":  # it shares another container's network
                own = engine.containers.get(other)
            networks: list[str] = list(own.attrs["NetworkSettings"]["Networks"])
            return networks[0] if networks and networks[0] not in {"host", "none"} else None
    return None


def _own_names() -> list[str]:
    """List the names that this container may have.

    Docker mounts `…/containers/<id>/hostname` into it, which shows under cgroup v1 and v2 alike. A
    cgroup's path contains the id only under v1. The host name is the short id unless somebody set
    another.
    """
    text = "".join(
        Path(file).read_text(errors="replace")
        for file in ("/proc/self/mountinfo", "/proc/self/cgroup")
        if Path(file).exists()
    )
    return [*re.findall(r"/(?:containers|docker)/([0-9a-f]{64})\b", text), socket.gethostname()]


def _own_bridge(engine: Any) -> str | None:
    """Return the engine's default network; None if its bridge is not on this machine."""
    import docker.errors

    with suppress(docker.errors.DockerException, OSError):
        network = engine.networks.get("bridge")
        for config in network.attrs["IPAM"]["Config"] or ():
            # A new engine may not report the bridge's address, which is the first of the subnet.
            # Binding succeeds only if the address belongs to this machine.
            first = next(ip_network(config["Subnet"]).hosts())
            with unpatched.opened_socket() as probe:
                probe.bind((config.get("Gateway") or str(first), 0))
                return str(network.name)
    return None
