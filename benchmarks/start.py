"""Measure how long a run waits for its first clone: server, template and clone, from nothing.

Each start happens in a process of its own, as in a run. The schema is that of app/. Every round
measures all candidates in turn, so that other load on the machine slows all of them alike.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

from pgherd import clones, options
from pgherd.peewee import PeeweeMigrations
from pgherd.postgres import naming
from pgherd.reset import generator
from pgherd.servers import Run, choose
from pgherd.template.build import build

MIGRATIONS = Path(__file__).parents[1] / "app" / "migrations"


def measure(kind: str, image_or_bin: str) -> None:
    """Start a server in this process; print its description, version, and the seconds each took."""
    chosen = {"server": kind, "image" if kind == "docker" else "bin": image_or_bin}
    run_id, migrations = naming.new_run_id(), PeeweeMigrations(MIGRATIONS)
    times = [time.perf_counter()]
    with choose.start(options.Options(**chosen), Run(run_id, workers=2), print) as server:
        times.append(time.perf_counter())
        name = naming.template(run_id)
        build(server.address, name, lambda new: migrations.apply(new.url), generator.install)
        times.append(time.perf_counter())
        clones.make(server.address, name, naming.clone(run_id, "gw0"))
        times.append(time.perf_counter())
    times.append(time.perf_counter())
    parts = [end - start for start, end in pairwise(times)]
    print(server.description, server.version, *parts, sep="|")


def in_another_process(kind: str, image_or_bin: str) -> list[str]:
    """Call `measure` in a new process, and return what it printed."""
    command = [sys.executable, __file__, "--measure", kind, image_or_bin]
    result = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)  # noqa: S603
    return result.stdout.splitlines()[-1].split("|")


def compare(candidates: list[tuple[str, str]], rounds: int) -> None:
    """Measure each candidate in turn, and print the medians of its parts."""
    figures = defaultdict(list)
    for _ in range(rounds):
        for candidate in candidates:
            description, version, *parts = in_another_process(*candidate)
            figures[f"{description} ({version})"].append([float(part) for part in parts])
    print(f"medians of {rounds} in seconds: the server answers a query, the template is frozen,")
    print("the first clone exists, the sum of these, the highest sum, and the server is stopped")
    for name, starts in figures.items():
        sums = [sum(parts[:3]) for parts in starts]
        medians = [statistics.median(each) for each in zip(*starts, strict=True)]
        row = [*medians[:3], statistics.median(sums), max(sums), medians[3]]
        print(f"  {name:<60}", *(f"{value:6.2f}" for value in row))


def main() -> None:
    """Read the arguments, and measure the candidates that they name."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--image", action="append", default=[], help="can be given several times")
    parser.add_argument("--bin", action="append", default=[], help="can be given several times")
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.measure:
        measure(*chosen.measure)
        return
    candidates = [("docker", image) for image in chosen.image]
    candidates += [("embedded", directory) for directory in chosen.bin]
    compare(candidates or [("docker", "postgres:17"), ("embedded", "")], chosen.rounds)


if __name__ == "__main__":
    main()
