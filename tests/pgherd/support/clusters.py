"""PostgreSQL servers and poolers for tests, from the programs on this machine."""

from __future__ import annotations

import atexit
import ctypes
import functools
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import mock

import psycopg2
import pytest

from pgherd import Address
from pgherd.errors import NotHereError
from pgherd.servers.embedded import binaries, supervisor

if TYPE_CHECKING:
    from collections.abc import Iterator

HOST = "127.0.0.1"
SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
}
PR_SET_PDEATHSIG = 1
ROOM = 2**30
"""The free space that shared memory must have to be used, in bytes."""


def program(name: str) -> str:
    """Return the path of a program of PostgreSQL, or of a pooler, or skip the test."""
    with suppress(NotHereError):
        if (path := _binaries() / name).exists():
            return str(path)
    found = shutil.which(name, path=f"{os.environ['PATH']}{os.pathsep}/usr/sbin")
    if found is None:
        pytest.skip(f"there is no {name} on this machine")
    return found


@functools.cache
def _binaries() -> Path:
    """Return a directory of binaries that `server_user` can run. It may be a copy."""
    found = binaries.find("")
    order = {"bin": str(found.directory), "root": str(found.root), "parts": found.parts}
    stack = ExitStack()
    atexit.register(stack.close)
    # The supervisor checks its pipe from the owner, so this process gives it one.
    reading, writing = os.pipe()
    with mock.patch.object(supervisor, "_OWNER", reading):
        directory = supervisor.programs(order, supervisor.User(), stack)
    os.close(reading)
    os.close(writing)
    return directory


def server_user() -> dict[str, object]:
    """Return the arguments of `subprocess.run` that run a program that refuses root."""
    return {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.geteuid() == 0 else {}


@contextmanager
def directory() -> Iterator[Path]:
    """Create a directory that belongs to `server_user`; remove it at the end."""
    memory = "/dev/shm"  # noqa: S108
    roomy = os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > ROOM
    parent = memory if roomy else None
    created = Path(tempfile.mkdtemp(prefix="pgherd-test-", dir=parent))
    try:
        give(created)
        yield created
    finally:
        shutil.rmtree(created, ignore_errors=True)


def give(*paths: Path) -> None:
    """Make `server_user` the owner of these files."""
    for path in paths:
        if os.geteuid() == 0:
            shutil.chown(path, "nobody", "nogroup")


def initialise(parent: Path) -> Path:
    """Create a cluster whose superuser needs no password, and return its directory."""
    data = parent / "data"
    command = [program("initdb"), "-D", str(data), "-U", "postgres", "-A", "trust", "--no-sync"]
    subprocess.run(
        [*command, "-E", "UTF8", "--locale=C"],
        check=True,
        capture_output=True,
        cwd=parent,
        **server_user(),
    )
    return data


@contextmanager
def running(data: Path, **settings: object) -> Iterator[Address]:
    """Run a server with these settings until the end of the context, and yield its address."""
    port = free_port()
    chosen = {**SETTINGS, "port": port, **settings}
    command = [program("postgres"), "-D", str(data)]
    command += [f"-c{name}={value}" for name, value in chosen.items()]
    address = Address(HOST, port, "postgres", "")
    with followed(command, data.parent / "log", signal.SIGQUIT):
        until = time.monotonic() + 20
        while True:
            try:
                address.database("postgres").connect().close()
                break
            except psycopg2.OperationalError:
                output = (data.parent / "log").read_text()
                if "SSL is not supported by this build" in output:
                    pytest.skip("PostgreSQL on this machine was built without TLS")
                assert time.monotonic() < until, output
                time.sleep(0.01)
        yield address


@contextmanager
def pooled(server: Address, directory: Path, mode: str) -> Iterator[Address]:
    """Run pgbouncer in front of a server until the end of the context, and yield its address."""
    port = free_port()
    users, config = directory / f"users-{mode}", directory / f"{mode}.ini"
    users.write_text(f'"{server.user}" "{server.password}"\n')
    config.write_text(
        f"[databases]\n* = host={server.host} port={server.port}\n"
        f"[pgbouncer]\nlisten_addr={HOST}\nlisten_port={port}\nunix_socket_dir=\n"
        f"auth_type=trust\nauth_file={users}\npool_mode={mode}\n"
    )
    give(users, config)
    with followed([program("pgbouncer"), str(config)], directory / f"{mode}.log", signal.SIGKILL):
        until = time.monotonic() + 10
        while True:
            with closing(socket.socket()) as probe:
                if probe.connect_ex((HOST, port)) == 0:
                    break
            assert time.monotonic() < until, (directory / f"{mode}.log").read_text()
            time.sleep(0.01)
        yield Address(HOST, port, server.user, server.password)


@contextmanager
def followed(command: list[str], log: Path, end: signal.Signals) -> Iterator[None]:
    """Run a program until the end of the context. It does not outlive this process."""
    libc = ctypes.CDLL(None)
    with log.open("ab") as file:
        process = subprocess.Popen(
            command,
            stdout=file,
            stderr=file,
            cwd=log.parent,
            preexec_fn=lambda: libc.prctl(PR_SET_PDEATHSIG, end),  # noqa: PLW1509
            **server_user(),
        )
    try:
        yield
    finally:
        process.send_signal(end)
        process.wait(10)


def free_port() -> int:
    """Return a port that is free now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return probe.getsockname()[1]
