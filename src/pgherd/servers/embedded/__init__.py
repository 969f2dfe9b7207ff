"""A throwaway PostgreSQL from binaries on this machine."""

from pgherd.servers.embedded.server import server

__all__ = ["server"]
