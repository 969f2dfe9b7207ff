"""A throwaway PostgreSQL in a container, started through testcontainers."""

from __future__ import annotations

import errno
import logging
import os
import queue
import re
import secrets
import socket
import threading
import time
from collections import deque
from contextlib import closing, contextmanager, suppress
from datetime import datetime, timedelta, timezone
from ipaddress import ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import psycopg2

from pgherd import admin, settings
from pgherd.errors import NotHereError, ServerError
from pgherd.lifeline import CONTAINER_SCRIPT, HELLO
from pgherd.servers import Server, is_hopeless, throwaway

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from testcontainers.core.container import DockerContainer

    from pgherd.address import Address
    from pgherd.options import Options
    from pgherd.servers import Run

log = logging.getLogger("pgherd")

_PORT = 5432
_DATA = "/pgherd"
_READY_WITHIN = 60.0
_ASK_EVERY = 0.01
_LAST_LINES = 15
_ABANDONED_AFTER = timedelta(minutes=1)
_USUAL_SOCKET = "unix:///var/run/docker.sock"
_FILES = (".testcontainers.properties", ".docker/config.json")
_ANSWERS_WITHIN = 10
_PROGRESS_WITHIN = 10.0
_LAST_WORDS_WITHIN = 5.0
_ENDED = (404, 409)
"""What the engine answers who attaches to a container that is gone, or runs no more."""


@contextmanager
def server(options: Options, run: Run, say: Callable[[str], None]) -> Iterator[Server]:
    """Start a container that cannot outlive this process; stop it at the end."""
    with _engine() as engine:
        _remove_unstarted(engine, "pgherd.run", datetime.now(timezone.utc) - _ABANDONED_AFTER)
        _have_image(engine, options.image, say)
        place = _Place(engine, run.host)
        password = secrets.token_hex(16)
        container = _container(options.image, run, password, place)
        try:
            _start(container, options.image)
            with closing(_Lifeline(container)) as lifeline:
                address = throwaway(*place.of(container), password)
                version = _wait(address, lifeline, options.image)
                log.info("started container %s of %s", _id(container), options.image)
                yield Server(address, f"docker {options.image}", version)
        finally:
            _stop(container)


@contextmanager
def _engine() -> Iterator[Any]:
    """Lend a client of the engine that testcontainers would use."""
    _look_for_the_usual_socket()
    import docker.errors
    from docker.constants import DEFAULT_TIMEOUT_SECONDS
    from testcontainers.core.docker_client import DockerClient, get_docker_host

    try:
        client = DockerClient(timeout=_ANSWERS_WITHIN).client
        client.ping()
    except (docker.errors.DockerException, OSError) as error:
        raise _no_engine(get_docker_host() or "its usual socket", error) from error
    client.api.timeout = DEFAULT_TIMEOUT_SECONDS  # to start a container may take longer
    with closing(client):
        yield client


def _look_for_the_usual_socket() -> None:
    """Raise what is certain without the 0.5 s that importing testcontainers takes.

    An engine elsewhere is named by DOCKER_HOST, or by one of the files and variables below.
    """
    host = os.environ.get("DOCKER_HOST", "")
    named = any(name in os.environ for name in ("DOCKER_CONTEXT", "DOCKER_CONFIG"))
    # By os.path, which says no where it may not look, or where nobody knows what home is.
    files = [os.path.expanduser(f"~/{name}") for name in _FILES]  # noqa: PTH111
    if any(os.path.exists(name) for name in files) or (named and not host):  # noqa: PTH110
        return
    scheme, _, path = (host or _USUAL_SOCKET).partition("://")
    if scheme == "unix":
        try:
            with socket.socket(socket.AF_UNIX) as probe:
                probe.settimeout(_ANSWERS_WITHIN)
                probe.connect(path)
        except OSError as error:
            raise _no_engine(host or "its usual socket", error) from error


def _no_engine(place: str, error: Exception) -> NotHereError:
    reason = _reason(error)
    forbidden = os.strerror(errno.EACCES) in reason
    return NotHereError(
        f"no Docker engine answers at {place} ({reason}). Start Docker and see that you may use it "
        "(`docker info`), or use PostgreSQL's own binaries (--pgherd-server=embedded), or a server "
        "that you have: --pgherd-url=postgresql://user:password@host:port/database",
        "you may not use the Docker engine" if forbidden else "no Docker engine answers",
    )


def _remove_unstarted(engine: Any, label: str, before: datetime) -> None:
    """Remove containers that were created but never started.

    They are what an owner leaves that is killed between the two: such a container has no lifeline
    yet, and the engine removes by itself only what has run.
    """
    import docker.errors

    with suppress(docker.errors.DockerException, OSError):
        found = engine.api.containers(all=True, filters={"label": label, "status": "created"})
        for container in found:
            if container["Created"] < before.timestamp():
                engine.api.remove_container(container["Id"], v=True)
                log.info("removed container %s, which had never started", container["Id"][:12])


def _have_image(engine: Any, image: str, say: Callable[[str], None]) -> None:
    import docker.errors

    try:
        with suppress(docker.errors.ImageNotFound):
            engine.images.get(image)
            return
        say(f"pulling {image}, which is not on this machine yet")
        for event in _progress(engine, *_repository_and_tag(image)):
            if "error" in event:
                raise _no_image(image, event["error"])
    except (docker.errors.DockerException, OSError) as error:
        raise _no_image(image, _reason(error)) from error
    except queue.Empty:
        raise _no_image(image, f"no progress for {_PROGRESS_WITHIN:.0f} s") from None


def _progress(engine: Any, repository: str, tag: str | None) -> Iterator[dict[str, Any]]:
    """Pull, and give what the engine tells, for as long as it tells something in time.

    A thread reads it, so that the wait has an end, also by Ctrl-C. When we end, so does the pull.

    Raises:
        queue.Empty: there was no progress.
    """
    told: queue.Queue[dict[str, Any] | Exception | None] = queue.Queue()

    def read() -> None:
        try:
            for event in engine.api.pull(repository, tag=tag, stream=True, decode=True):
                # An engine counts down aloud to its next try, a minute long in all.
                if not event.get("status", "").startswith("Retrying"):
                    told.put(event)
            told.put(None)
        except Exception as error:  # noqa: BLE001 (it is raised by the thread that waits)
            told.put(error)

    threading.Thread(target=read, name="pgherd-pull", daemon=True).start()
    while (event := told.get(timeout=_PROGRESS_WITHIN)) is not None:
        if isinstance(event, Exception):
            raise event
        yield event


def _no_image(image: str, reason: str) -> NotHereError:
    return NotHereError(
        f"the image {image!r} is not on this machine and cannot be pulled: {reason.rstrip('.')}. "
        "Correct its name (--pgherd-image), or pull, load or build it here",
        f"the image {image} is not here and cannot be pulled",
    )


def _repository_and_tag(image: str) -> tuple[str, str | None]:
    """Split `repository:tag`; without a tag it is `latest`, and a digest is left as it is."""
    repository, colon, tag = image.rpartition(":")
    if "@" in image:
        return image, None
    return (repository, tag) if colon and "/" not in tag else (image, "latest")


class _Place:
    """Where this process is, as the engine sees it, and so where a container is reached.

    In a container, its sibling is joined to the same network and reached by its address there; so
    is a container from a machine that has the engine's bridge, which saves each statement the way
    through a proxy. Elsewhere (Docker Desktop has its bridge inside a virtual machine) a port is
    published: on loopback, or, if the engine is on another machine, where that machine's name
    reaches it.

    Workers on other machines reach no bridge here: for them the port is published where they reach
    this machine. If this machine is a container, they are in its network.
    """

    def __init__(self, engine: Any, host: str = "") -> None:
        url = urlsplit(_told_by_ssh() or engine.api.base_url)
        remote = url.scheme in {"http", "https", "ssh"} and url.hostname not in {None, "localhost"}
        remote = remote and not str(url.hostname).startswith("127.")
        self.host = str(url.hostname) if remote else host or "127.0.0.1"
        self.publish = ("0.0.0.0" if remote else socket.gethostbyname(self.host), None)  # noqa: S104
        self.network = _own_network(engine) or (None if remote or host else _own_bridge(engine))

    def of(self, container: DockerContainer) -> tuple[str, int]:
        """Give the host and port where this process reaches the container's server.

        One that has ended already has none: the port is 0, and the wait will tell why.
        """
        import docker.errors

        inner = container.get_wrapped_container()
        with suppress(docker.errors.NotFound):
            inner.reload()
        seen = inner.attrs["NetworkSettings"]
        if self.network:
            joined = seen["Networks"].get(self.network, {}).get("IPAddress")
            return (joined, _PORT) if joined else (self.host, 0)
        published = seen["Ports"].get(f"{_PORT}/tcp") or [{"HostPort": "0"}]
        return self.host, int(published[0]["HostPort"])


def _told_by_ssh() -> str | None:
    """Give the URL of an engine behind ssh, which its client does not tell."""
    from testcontainers.core.docker_client import get_docker_host

    told = get_docker_host() or ""
    return told if told.startswith("ssh://") else None


def _own_network(engine: Any) -> str | None:
    """Find the network of the container that this process runs in; None outside of any."""
    import docker.errors

    if not Path("/.dockerenv").exists():
        return None
    for name in _own_names():
        with suppress(docker.errors.NotFound):
            own = engine.containers.get(name)
            shared, _, other = own.attrs["HostConfig"]["NetworkMode"].partition(":")
            if shared == "container":  # it has the network of another, as by compose's `service:…`
                own = engine.containers.get(other)
            networks: list[str] = list(own.attrs["NetworkSettings"]["Networks"])
            return networks[0] if networks and networks[0] not in {"host", "none"} else None
    return None


def _own_bridge(engine: Any) -> str | None:
    """Find the network that the engine joins containers to; None if its bridge is not here."""
    import docker.errors

    with suppress(docker.errors.DockerException, OSError):
        network = engine.networks.get("bridge")
        for place in network.attrs["IPAM"]["Config"] or ():
            # The engine's first start leaves out which address of the network the bridge has: it is
            # the first. Only an address of this machine can be bound.
            first = next(ip_network(place["Subnet"]).hosts())
            with socket.socket() as probe:
                probe.bind((place.get("Gateway") or str(first), 0))
                return str(network.name)
    return None


def _own_names() -> list[str]:
    """List what this container may be called.

    Docker mounts `…/containers/<id>/hostname` into it, which shows under cgroup v1 and v2 alike; a
    cgroup's path has the id only under v1; the host name is the short id unless somebody set it.
    """
    text = "".join(
        Path(file).read_text(errors="replace")
        for file in ("/proc/self/mountinfo", "/proc/self/cgroup")
        if Path(file).exists()
    )
    return [*re.findall(r"/(?:containers|docker)/([0-9a-f]{64})\b", text), socket.gethostname()]


def _container(image: str, run: Run, password: str, place: _Place) -> DockerContainer:
    from testcontainers.core.container import DockerContainer

    sized = settings.sized(run.workers).items()
    container = (
        DockerContainer(image)
        .with_name(f"pgherd-{run.id}")
        .with_env("POSTGRES_PASSWORD", password)
        .with_env("POSTGRES_INITDB_ARGS", "--no-sync")
        .with_env("PGDATA", f"{_DATA}/data")
        # What initdb would choose anyway, after reading a file for each time zone there is.
        .with_env("TZ", "Etc/UTC")
        .with_tmpfs_mount(_DATA)
        .with_kwargs(
            entrypoint=["sh", "-c", CONTAINER_SCRIPT, "pgherd"],
            stdin_open=True,
            auto_remove=True,
            shm_size="256m",
            labels={"pgherd.run": run.id},
            network=place.network,
        )
        .with_command(["postgres", *(f"-c{name}={value}" for name, value in sized)])
    )
    if not place.network:
        # docker-py publishes on one interface by a pair; testcontainers' types know none.
        container.ports = {f"{_PORT}/tcp": place.publish}  # type: ignore[dict-item]
    return container


def _start(container: DockerContainer, image: str) -> None:
    """Start the container without Ryuk, which others of this process keep: it has a lifeline."""
    import docker.errors
    from testcontainers.core.config import testcontainers_config

    before = testcontainers_config.ryuk_disabled
    testcontainers_config.ryuk_disabled = True
    try:
        container.start()
    except (docker.errors.DockerException, OSError) as error:
        raise ServerError(
            f"the engine cannot start a container of {image!r}: {_reason(error)}. "
            "pgherd needs an image that is made like the official postgres"
        ) from error
    finally:
        testcontainers_config.ryuk_disabled = before


class _Lifeline:
    """The container's standard input and output, held for as long as the server may live."""

    def __init__(self, container: DockerContainer) -> None:
        import docker.errors

        self.lines: deque[str] = deque(maxlen=_LAST_LINES)
        self.ended = threading.Event()
        client = container.get_docker_client().client
        streams = dict.fromkeys(("stdin", "stdout", "stderr", "stream", "logs"), 1)
        try:
            self._file = client.api.attach_socket(container.get_container_id(), streams)
        except docker.errors.APIError as error:
            if error.status_code not in _ENDED:
                raise ServerError(
                    f"the engine does not let us attach to the container: {_reason(error)}. "
                    "What stands before it has to allow that, or name a server: --pgherd-url"
                ) from error
            self._file = None
            self.ended.set()
            return
        self._socket = getattr(self._file, "_sock", self._file)
        self._socket.settimeout(None)
        # A copy of us, a child by os.fork, could outlive us, and the lifeline would not be cut.
        os.register_at_fork(after_in_child=self._forget)
        self._socket.sendall(HELLO)
        self._listener = threading.Thread(target=self._listen, name="pgherd-lifeline", daemon=True)
        self._listener.start()

    def _forget(self) -> None:
        with suppress(OSError):
            os.close(self._socket.fileno())

    def _listen(self) -> None:
        """Read all that the server logs: an engine whose client does not read holds it up."""
        from docker.utils.socket import frames_iter

        with suppress(OSError, ValueError):
            for _, text in frames_iter(self._file, tty=False):
                for line in text.decode(errors="replace").splitlines():
                    self.lines.append(line)
                    log.debug("server: %s", line)
        self.ended.set()

    def close(self) -> None:
        """Let go: the container ends."""
        if self._file is not None:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
            self._listener.join(_LAST_WORDS_WITHIN)
            self._file._response.close()  # noqa: SLF001 (docker-py keeps it there, and open)
            self._socket.close()


def _wait(address: Address, lifeline: _Lifeline, image: str) -> str:
    """Ask until a query is answered; give the server's version.

    That a published port accepts a connection means nothing: docker-proxy does.
    """
    until = time.monotonic() + _READY_WITHIN
    problem: Exception | None = None
    while time.monotonic() < until and not lifeline.ended.is_set():
        try:
            with admin.connected(address) as link:
                settings.hash_once(link, address.password)
                return admin.version(link)
        except psycopg2.OperationalError as error:
            problem = error
            if is_hopeless(error):
                break
        time.sleep(_ASK_EVERY)
    last = "\n".join(f"    {line}" for line in lifeline.lines) or "    (nothing)"
    if not lifeline.ended.is_set():
        raise NotHereError(
            f"the container of {image!r} cannot be reached from here at {address.host}:"
            f"{address.port}: {str(problem).strip()}\nIts last lines:\n{last}\n"
            "If this process is in a container, too, name a server that it reaches: --pgherd-url",
            "its container cannot be reached from here",
        ) from problem
    raise ServerError(
        f"the container of {image!r} ended at once. Its last lines:\n{last}\n"
        "pgherd needs an image that is made like the official postgres (--pgherd-image)"
    ) from problem


def _stop(container: DockerContainer) -> None:
    """Remove the container. That it is gone already, or about to be, is as good."""
    import docker.errors

    name = _id(container)
    with suppress(docker.errors.DockerException, OSError):
        container.stop()
    log.info("removed container %s", name)


def _id(container: DockerContainer) -> str:
    with suppress(Exception):
        return container.get_container_id()[:12]
    return "(not created)"


def _reason(error: Exception) -> str:
    """Give the engine's own words, or the system's, without what clients wrapped them in."""
    told = getattr(error, "explanation", None)
    cause: BaseException | None = error
    while cause is not None and not told:
        told = getattr(cause, "strerror", None)
        cause = cause.__cause__ or cause.__context__
    return str(told or error).strip().rstrip(".")
