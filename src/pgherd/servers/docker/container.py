"""The container: start it, wait until PostgreSQL answers, remove it."""

from __future__ import annotations

import logging
import secrets
from contextlib import closing, contextmanager, suppress
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from pgherd.errors import NotHereError, ServerError
from pgherd.servers import Server, readiness, tuning
from pgherd.servers.docker import engine, image
from pgherd.servers.docker.engine import reason
from pgherd.servers.docker.entrypoint import SCRIPT
from pgherd.servers.docker.lifeline import Lifeline
from pgherd.servers.docker.network import PORT, Network

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from testcontainers.core.container import DockerContainer

    from pgherd.options import Options
    from pgherd.postgres.address import Address
    from pgherd.servers import Run

log = logging.getLogger("pgherd")

_DATA = "/pgherd"
_LABEL = "pgherd.run"
_ABANDONED_AFTER = timedelta(minutes=1)


@contextmanager
def server(options: Options, run: Run, say: Callable[[str], None]) -> Iterator[Server]:
    """Start a container that cannot outlive this process; remove it at the end."""
    with engine.connected() as client:
        _remove_unstarted(client, _LABEL, datetime.now(timezone.utc) - _ABANDONED_AFTER)
        image.provide(client, options.image, say)
        network = Network(client, run.host)
        password = secrets.token_hex(16)
        settings = tuning.settings(run.workers, options.settings)
        container = _container(options.image, run, password, network, settings)
        try:
            _start(container, options.image)
            with closing(Lifeline(container)) as lifeline:
                address = readiness.throwaway_address(*network.locate(container), password)
                version = _wait(address, lifeline, options.image)
                log.info("started container %s of %s", _id(container), options.image)
                yield Server(address, f"docker {options.image}", version)
        finally:
            _remove(container)


def _remove_unstarted(client: Any, label: str, before: datetime) -> None:
    """Remove containers that were created but never started.

    If the owner is killed after it creates a container and before it starts it, the container
    stays: it has no lifeline yet, and the engine removes by itself only a container that has run.
    """
    import docker.errors

    with suppress(docker.errors.DockerException, OSError):
        found = client.api.containers(all=True, filters={"label": label, "status": "created"})
        for container in found:
            if container["Created"] < before.timestamp():
                client.api.remove_container(container["Id"], v=True)
                log.info("removed container %s, which had never started", container["Id"][:12])


def _container(
    image: str, run: Run, password: str, network: Network, settings: dict[str, str]
) -> DockerContainer:
    from testcontainers.core.container import DockerContainer

    container = (
        DockerContainer(image)
        .with_name(f"pgherd-{run.id}")
        .with_env("POSTGRES_PASSWORD", password)
        .with_env("POSTGRES_INITDB_ARGS", "--no-sync")
        .with_env("PGDATA", f"{_DATA}/data")
        # UTC is the default, but without TZ initdb reads a file for each time zone.
        .with_env("TZ", "Etc/UTC")
        .with_tmpfs_mount(_DATA)
        .with_kwargs(
            entrypoint=["sh", "-c", SCRIPT, "pgherd"],
            stdin_open=True,
            auto_remove=True,
            shm_size="256m",
            labels={_LABEL: run.id},
            network=network.name,
        )
        .with_command(
            [
                "postgres",
                *(f"-c{key}={value}" for key, value in settings.items()),
            ]
        )
    )
    if not network.name:
        # docker-py takes a pair to publish on one interface; testcontainers' types do not know it.
        container.ports = {f"{PORT}/tcp": network.publish}  # type: ignore[dict-item]
    return container


def _start(container: DockerContainer, image: str) -> None:
    """Start the container without Ryuk, testcontainers' clean-up: the lifeline replaces it.

    Other containers of this process keep their Ryuk.
    """
    import docker.errors
    from testcontainers.core.config import testcontainers_config

    before = testcontainers_config.ryuk_disabled
    testcontainers_config.ryuk_disabled = True
    try:
        container.start()
    except (docker.errors.DockerException, OSError) as error:
        raise ServerError(
            f"the engine cannot start a container of {image!r}: {reason(error)}. "
            "If the image is the reason, use one like the official postgres image: --pgherd-image"
        ) from error
    finally:
        testcontainers_config.ryuk_disabled = before


def _wait(address: Address, lifeline: Lifeline, image: str) -> str:
    """Wait until a query is answered; return the server's version."""
    try:
        _, version = readiness.wait(lambda: address, lifeline.ended.is_set)
    except readiness.NotReadyError as error:
        last = "\n".join(f"    {line}" for line in lifeline.lines) or "    (nothing)"
        if not lifeline.ended.is_set():
            raise NotHereError(
                f"the container of {image!r} cannot be reached from here at {address.host}:"
                f"{address.port}: {error}\nIts last lines:\n{last}\n"
                "If this process runs in a container, use a server that it reaches: --pgherd-url",
                "its container cannot be reached from here",
            ) from error
        raise ServerError(
            f"the container of {image!r} ended before PostgreSQL answered. Its last lines:\n"
            f"{last}\n"
            "pgherd needs an image that works like the official postgres image (--pgherd-image)"
        ) from error
    return version


def _remove(container: DockerContainer) -> None:
    """Remove the container, unless it is gone or being removed."""
    import docker.errors

    name = _id(container)
    with suppress(docker.errors.DockerException, OSError):
        container.stop()
    log.info("removed container %s", name)


def _id(container: DockerContainer) -> str:
    with suppress(Exception):
        return container.get_container_id()[:12]
    return "(not created)"
