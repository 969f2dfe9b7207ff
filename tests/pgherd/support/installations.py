"""Directories that look like an installation of PostgreSQL."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def program(path: Path, text: str) -> None:
    """Write a shell script that can be run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def installation(directory: Path, version: str) -> Path:
    """Write a `postgres` that knows only its version, and an `initdb` that fails."""
    program(directory / "initdb", "echo 'could not write: No space left on device'; exit 1")
    program(directory / "postgres", f"echo 'postgres (PostgreSQL) {version} (Debian)'")
    return directory
