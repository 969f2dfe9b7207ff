"""The lifeline of a container: the owner's socket to its standard input and output."""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING

from pgherd.errors import ServerError
from pgherd.servers.docker.engine import reason
from pgherd.servers.docker.entrypoint import HELLO

if TYPE_CHECKING:
    from testcontainers.core.container import DockerContainer

log = logging.getLogger("pgherd")

_LAST_LINES = 15
_LOG_ENDS_WITHIN = 5.0
"""How long `close` waits for the end of the container's log, in seconds."""

_CONTAINER_ENDED = (404, 409)
"""The engine's status codes for attaching to a container that has been removed, or has stopped."""


class Lifeline:
    """The socket that the owner holds as long as the container should run.

    The container ends as soon as the socket is closed; see `entrypoint`.

    Args:
        container: a started container.

    Raises:
        ServerError: the engine refuses to attach.
    """

    def __init__(self, container: DockerContainer) -> None:
        import docker.errors

        self.lines: deque[str] = deque(maxlen=_LAST_LINES)
        """The last lines of the container's log."""
        self.ended = threading.Event()
        client = container.get_docker_client().client
        streams = dict.fromkeys(("stdin", "stdout", "stderr", "stream", "logs"), 1)
        try:
            self._file = client.api.attach_socket(container.get_container_id(), streams)
        except docker.errors.APIError as error:
            if error.status_code not in _CONTAINER_ENDED:
                raise ServerError(
                    f"the engine refuses to attach to the container: {reason(error)}. If a "
                    "proxy is between pgherd and the engine, let it allow that. Or use an existing "
                    "server: --pgherd-url"
                ) from error
            self._file = None
            self.ended.set()
            return
        self._socket = getattr(self._file, "_sock", self._file)
        self._socket.settimeout(None)
        # A process created with os.fork could outlive this one, and must not keep the socket open.
        os.register_at_fork(after_in_child=self._close_in_child)
        self._socket.sendall(HELLO)
        self._reader = threading.Thread(target=self._read, name="pgherd-lifeline", daemon=True)
        self._reader.start()

    def _close_in_child(self) -> None:
        with suppress(OSError):
            os.close(self._socket.fileno())

    def _read(self) -> None:
        """Read the container's log: if nobody reads it, the container blocks when it writes."""
        from docker.utils.socket import frames_iter

        with suppress(OSError, ValueError):
            for _, text in frames_iter(self._file, tty=False):
                for line in text.decode(errors="replace").splitlines():
                    self.lines.append(line)
                    log.debug("server: %s", line)
        self.ended.set()

    def close(self) -> None:
        """Close the socket; then the container ends."""
        if self._file is not None:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
            self._reader.join(_LOG_ENDS_WITHIN)
            self._file._response.close()  # noqa: SLF001 (docker-py keeps it there, and open)
            self._socket.close()
