"""The containers that runs start."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from docker import DockerClient

CLONE = re.compile(r"pgherd_([0-9a-f]{8})_")


def containers(engine: DockerClient, run_id: str, *states: str) -> list[str]:
    """List the ids of a run's containers in these states, or in any state, even after their end."""
    filters = {"label": f"pgherd.run={run_id}", "status": list(states)}
    return [found["Id"] for found in engine.api.containers(all=True, filters=filters)]


def run_id_in(text: str) -> str:
    """Return the id of the one run whose clones the text names."""
    (run_id,) = set(CLONE.findall(text))
    return run_id
