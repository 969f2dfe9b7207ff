"""The compose file and the manifest repeat the flags of `NOT_DURABLE`, and have no others."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from pgherd.servers.tuning import NOT_DURABLE

PROJECT = Path(__file__).parents[2]
SERVERS_IN = {
    "docker-compose.test.yml": 1,
    "docker/kubernetes/postgres.yaml": 1,
    "docker/kubernetes/tests.yaml": 0,
}
CAPACITY = {"max_connections", "max_locks_per_transaction", "dynamic_shared_memory_type"}
"""Settings that depend on the number of workers or on the machine, so each file has its own."""


def servers(file: str) -> list[dict[str, str]]:
    """Return the settings of each server that a file starts: its arguments `-cname=value`."""
    documents = yaml.safe_load_all((PROJECT / file).read_text())
    commands = [each for document in documents for each in lists(document) if each[0] == "postgres"]
    return [dict(re.findall(r"^-c(\w+)=(.*)$", "\n".join(each), re.MULTILINE)) for each in commands]


def lists(node: object) -> list[list[str]]:
    """Return every list in a document that has only texts."""
    if isinstance(node, list) and node and all(isinstance(each, str) for each in node):
        return [node]
    inside = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    return [found for each in inside for found in lists(each)]


def test_every_manifest_is_compared():
    """A new manifest has to be listed above."""
    manifests = {path.relative_to(PROJECT).as_posix() for path in PROJECT.glob("docker/**/*.yaml")}
    assert manifests == {file for file in SERVERS_IN if file.startswith("docker/")}


@pytest.mark.parametrize("file", SERVERS_IN)
def test_flags_are_those_of_a_server_that_pgherd_starts(file: str):
    """The files have the same flags as `NOT_DURABLE`."""
    found = servers(file)
    assert len(found) == SERVERS_IN[file]
    for settings in found:
        flags = {name: value for name, value in settings.items() if name not in CAPACITY}
        assert flags == NOT_DURABLE
