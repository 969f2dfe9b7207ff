"""The image: make sure that it is on this machine, or pull it."""

from __future__ import annotations

import queue
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from pgherd.errors import NotHereError
from pgherd.servers.docker.engine import reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PROGRESS_WITHIN = 10.0
"""How long a pull may go without progress, in seconds."""


def provide(engine: Any, image: str, say: Callable[[str], None]) -> None:
    """Pull the image, unless it is on this machine.

    Raises:
        NotHereError: the image is not here and cannot be pulled.
    """
    import docker.errors

    try:
        with suppress(docker.errors.ImageNotFound):
            engine.images.get(image)
            return
        say(f"pulling {image}, which is not on this machine yet")
        for event in _pull(engine, *_repository_and_tag(image)):
            if "error" in event:
                raise _no_image(image, event["error"])
    except (docker.errors.DockerException, OSError) as error:
        raise _no_image(image, reason(error)) from error
    except queue.Empty:
        raise _no_image(image, f"no progress for {PROGRESS_WITHIN:.0f} s") from None


def _pull(engine: Any, repository: str, tag: str | None) -> Iterator[dict[str, Any]]:
    """Pull an image; yield the engine's events while it makes progress.

    A thread reads the events, so that the wait can end by a time-out or by Ctrl-C. The engine ends
    the pull when this process ends.

    Raises:
        queue.Empty: there was no progress in time.
    """
    events: queue.Queue[dict[str, Any] | Exception | None] = queue.Queue()

    def read() -> None:
        try:
            for event in engine.api.pull(repository, tag=tag, stream=True, decode=True):
                # `Retrying` events are no progress: the engine only counts down.
                if not event.get("status", "").startswith("Retrying"):
                    events.put(event)
            events.put(None)
        except Exception as error:  # noqa: BLE001 (raised below, in the thread that waits)
            events.put(error)

    threading.Thread(target=read, name="pgherd-pull", daemon=True).start()
    while (event := events.get(timeout=PROGRESS_WITHIN)) is not None:
        if isinstance(event, Exception):
            raise event
        yield event


def _no_image(image: str, why: str) -> NotHereError:
    return NotHereError(
        f"the image {image!r} is not on this machine and cannot be pulled: {why.rstrip('.')}. "
        "Correct its name (--pgherd-image), or pull, load or build it on this machine",
        f"the image {image} is not here and cannot be pulled",
    )


def _repository_and_tag(image: str) -> tuple[str, str | None]:
    """Split `repository:tag`. The default tag is `latest`; an image with a digest has no tag."""
    repository, colon, tag = image.rpartition(":")
    if "@" in image:
        return image, None
    return (repository, tag) if colon and "/" not in tag else (image, "latest")
