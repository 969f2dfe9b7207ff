"""Recovery: whether an error means that the server restarts after one of its processes crashed."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psycopg2

WITHIN = 30.0
"""How long to wait for a server that recovers, in seconds."""

_STARTING = (
    "the database system is starting up",
    "the database system is in recovery mode",
    "the database system is not yet accepting connections",
)
_CRASHED = (
    *_STARTING,
    "because of crash of another server process",
    "server closed the connection unexpectedly",
    "connection already closed",
)


def is_starting(error: psycopg2.Error) -> bool:
    """Whether the server refused a connection only because it is starting or recovering."""
    return any(text in str(error) for text in _STARTING)


def has_crashed(error: psycopg2.Error) -> bool:
    """Whether a connection was lost in a way that a crash explains, so the server may recover."""
    ended = "due to administrator command" in str(error)  # pg_terminate_backend, or a shutdown
    return not ended and any(text in str(error) for text in _CRASHED)
