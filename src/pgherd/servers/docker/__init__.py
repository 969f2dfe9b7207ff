"""A throwaway PostgreSQL in a container, started through testcontainers."""

from pgherd.servers.docker.container import server

__all__ = ["server"]
