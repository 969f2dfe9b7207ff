"""Choose the kind of server."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING

from pgherd.errors import NotHereError, ServerError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from pgherd.options import Options
    from pgherd.servers import Run, Server, Start


def start(options: Options, run: Run, say: Callable[[str], None]) -> AbstractContextManager[Server]:
    """Start the kind of server that the options name.

    `auto` means external if a URL is set, else docker, else embedded if docker is not available.
    """
    if options.server != "auto":
        return _kind(options.server)(options, run, say)
    if options.url:
        return _kind("external")(options, run, say)
    return _docker_or_embedded(options, run, say)


def _kind(name: str) -> Start:
    # Import only the chosen kind: importing the others takes time.
    start: Start = import_module(f"pgherd.servers.{name}").server
    return start


@contextmanager
def _docker_or_embedded(options: Options, run: Run, say: Callable[[str], None]) -> Iterator[Server]:
    with ExitStack() as stack:
        try:
            server = stack.enter_context(_kind("docker")(options, run, say))
        except NotHereError as without_docker:
            try:
                server = stack.enter_context(_kind("embedded")(options, run, say))
            except NotHereError as error:
                raise ServerError(f"{without_docker}.\n\nAnd {error}") from error
            why = f"{server.description}, because {without_docker.short}"
            server = replace(server, description=why)
        yield server
