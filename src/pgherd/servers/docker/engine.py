"""The Docker engine: connect to it, or say why it is not available."""

from __future__ import annotations

import errno
import os
import socket
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

from pgherd import unpatched
from pgherd.errors import NotHereError

if TYPE_CHECKING:
    from collections.abc import Iterator

ANSWERS_WITHIN = 10
"""How long the engine may take to answer at first, in seconds."""

_USUAL_SOCKET = "unix:///var/run/docker.sock"
_CONFIG_FILES = (".testcontainers.properties", ".docker/config.json")
_CONFIG_VARIABLES = ("DOCKER_CONTEXT", "DOCKER_CONFIG")


@contextmanager
def connected() -> Iterator[Any]:
    """Open a client of the engine that testcontainers would use; close it at the end.

    Raises:
        NotHereError: no engine answers.
    """
    _check_usual_socket()
    import docker.errors
    from docker.constants import DEFAULT_TIMEOUT_SECONDS
    from testcontainers.core.docker_client import DockerClient, get_docker_host

    try:
        client = DockerClient(timeout=ANSWERS_WITHIN).client
        client.ping()
    except (docker.errors.DockerException, OSError) as error:
        raise _no_engine(get_docker_host() or "its usual socket", error) from error
    client.api.timeout = DEFAULT_TIMEOUT_SECONDS  # starting a container may take longer
    with closing(client):
        yield client


def _check_usual_socket() -> None:
    """Raise early if there is certainly no engine: importing testcontainers takes 0.5 s.

    An engine elsewhere is configured by DOCKER_HOST, or by one of the files and variables above.
    """
    host = os.environ.get("DOCKER_HOST", "")
    named = any(name in os.environ for name in _CONFIG_VARIABLES)
    # os.path.exists returns False without permission, where Path.exists may raise.
    files = [os.path.expanduser(f"~/{name}") for name in _CONFIG_FILES]  # noqa: PTH111
    if any(os.path.exists(name) for name in files) or (named and not host):  # noqa: PTH110
        return
    scheme, _, path = (host or _USUAL_SOCKET).partition("://")
    if scheme == "unix":
        try:
            with unpatched.opened_socket(socket.AF_UNIX) as probe:
                probe.settimeout(ANSWERS_WITHIN)
                probe.connect(path)
        except OSError as error:
            raise _no_engine(host or "its usual socket", error) from error


def _no_engine(where: str, error: Exception) -> NotHereError:
    why = reason(error)
    forbidden = os.strerror(errno.EACCES) in why
    return NotHereError(
        f"no Docker engine answers at {where} ({why}). Start Docker and check that you may use it "
        "(`docker info`). Or use PostgreSQL's own binaries: --pgherd-server=embedded. Or use an "
        "existing server: --pgherd-url=postgresql://user:password@host:port/database",
        "you may not use the Docker engine" if forbidden else "no Docker engine answers",
    )


def reason(error: Exception) -> str:
    """Return the error text of the engine or of the system, without the clients' additions."""
    text = getattr(error, "explanation", None)
    cause: BaseException | None = error
    while cause is not None and not text:
        text = getattr(cause, "strerror", None)
        cause = cause.__cause__ or cause.__context__
    return str(text or error).strip().rstrip(".")
