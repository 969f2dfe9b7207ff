"""PostgreSQL servers whose settings a test chooses, and poolers, from what is on this machine."""

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
ROOM = 2**30  # bytes


def program(name: str) -> str:
    """Find a program of PostgreSQL, or a pooler, or skip the test."""
    with suppress(NotHereError):
        if (own := _own() / name).exists():
            return str(own)
    found = shutil.which(name, path=f"{os.environ['PATH']}{os.pathsep}/usr/sbin")
    if found is None:
        pytest.skip(f"there is no {name} on this machine")
    return found


@functools.cache
def _own() -> Path:
    """Give the directory of binaries that whoever runs servers can run: a copy, if need be."""
    found = binaries.find("")
    order = {"bin": str(found.directory), "root": str(found.root), "parts": found.parts}
    stack = ExitStack()
    atexit.register(stack.close)
    # The supervisor looks whether its owner has ended, which is at the other end of a pipe.
    reading, writing = os.pipe()
    with mock.patch.object(supervisor, "_OWNER", reading):
        place = supervisor.programs(order, supervisor.User(), stack)
    os.close(reading)
    os.close(writing)
    return place


def as_whom() -> dict[str, object]:
    """Say as whom to run what refuses to be run by root."""
    return {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.geteuid() == 0 else {}


@contextmanager
def directory() -> Iterator[Path]:
    """Lend a directory that whoever runs a server may enter."""
    memory = "/dev/shm"  # noqa: S108
    roomy = os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > ROOM
    room = memory if roomy else None
    made = Path(tempfile.mkdtemp(prefix="pgherd-test-", dir=room))
    try:
        give(made)
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def give(*paths: Path) -> None:
    """Make files those of whoever runs servers."""
    for path in paths:
        if os.geteuid() == 0:
            shutil.chown(path, "nobody", "nogroup")


def initialise(place: Path) -> Path:
    """Make a cluster whose superuser needs no password; give its directory."""
    data = place / "data"
    command = [program("initdb"), "-D", str(data), "-U", "postgres", "-A", "trust", "--no-sync"]
    subprocess.run(
        [*command, "-E", "UTF8", "--locale=C"],
        check=True,
        capture_output=True,
        cwd=place,
        **as_whom(),
    )
    return data


@contextmanager
def running(data: Path, **settings: object) -> Iterator[Address]:
    """Run a server until the end."""
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
                said = (data.parent / "log").read_text()
                if "SSL is not supported by this build" in said:
                    pytest.skip("PostgreSQL on this machine was built without TLS")
                assert time.monotonic() < until, said
                time.sleep(0.01)
        yield address


@contextmanager
def pooled(server: Address, place: Path, mode: str) -> Iterator[Address]:
    """Run pgbouncer before a server until the end."""
    port = free_port()
    users, config = place / f"users-{mode}", place / f"{mode}.ini"
    users.write_text(f'"{server.user}" "{server.password}"\n')
    config.write_text(
        f"[databases]\n* = host={server.host} port={server.port}\n"
        f"[pgbouncer]\nlisten_addr={HOST}\nlisten_port={port}\nunix_socket_dir=\n"
        f"auth_type=trust\nauth_file={users}\npool_mode={mode}\n"
    )
    give(users, config)
    with followed([program("pgbouncer"), str(config)], place / f"{mode}.log", signal.SIGKILL):
        until = time.monotonic() + 10
        while True:
            with closing(socket.socket()) as probe:
                if probe.connect_ex((HOST, port)) == 0:
                    break
            assert time.monotonic() < until, (place / f"{mode}.log").read_text()
            time.sleep(0.01)
        yield Address(HOST, port, server.user, server.password)


@contextmanager
def followed(command: list[str], log: Path, end: signal.Signals) -> Iterator[None]:
    """Run a program until the end; it does not outlive this process, either."""
    libc = ctypes.CDLL(None)
    with log.open("ab") as file:
        process = subprocess.Popen(
            command,
            stdout=file,
            stderr=file,
            cwd=log.parent,
            preexec_fn=lambda: libc.prctl(PR_SET_PDEATHSIG, end),  # noqa: PLW1509
            **as_whom(),
        )
    try:
        yield
    finally:
        process.send_signal(end)
        process.wait(10)


def free_port() -> int:
    """Find a port that is free now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return probe.getsockname()[1]
