"""Measure how long a run waits for its first clone: server, template and clone, from nothing.

Each start is that of a process of its own, as in a run. The schema is that of app/. Every round
takes all candidates in turn, so that whatever else the machine does meets them alike.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

APP = Path(__file__).parents[1] / "app" / "migrations"
ONE = """
import sys, time
from pgherd import clone, naming, options, servers, template, undo
from pgherd.peewee import PeeweeMigrations
kind, what, migrations = sys.argv[1:]
chosen = {"server": kind, "image" if kind == "docker" else "bin": what}
run, migrations = naming.new_run_id(), PeeweeMigrations(migrations)
began = time.perf_counter()
with choose.start(options.Options(**chosen), Run(run, workers=2), print) as server:
    ready = time.perf_counter()
    name = naming.template(run)
    migrate = lambda database: migrations.apply(database.url)
    build(server.address, name, migrate, generator.install)
    built = time.perf_counter()
    clones.make(server.address, name, naming.clone(run, "gw0"))
    cloned = time.perf_counter()
    told = server.description, server.version, ready - began, built - ready, cloned - built
    ended = time.perf_counter()
print(*told, time.perf_counter() - ended, sep="|")
"""


def once(kind: str, what: str) -> list[str]:
    """Start a server in a process of its own; give what it is, and how long each part took."""
    command = [sys.executable, "-c", ONE, kind, what, str(APP)]
    ran = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)  # noqa: S603
    return ran.stdout.splitlines()[-1].split("|")


def main() -> None:
    """Measure each candidate in turn, and print the medians of its parts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--image", action="append", default=[], help="may be given several times")
    parser.add_argument("--bin", action="append", default=[], help="may be given several times")
    chosen = parser.parse_args()
    candidates = [("docker", image) for image in chosen.image]
    candidates += [("embedded", directory) for directory in chosen.bin]
    figures = defaultdict(list)
    for _ in range(chosen.rounds):
        for candidate in candidates or [("docker", "postgres:17"), ("embedded", "")]:
            what, version, *parts = once(*candidate)
            figures[f"{what} ({version})"].append([float(part) for part in parts])
    print(f"seconds, medians of {chosen.rounds}: until a query is answered, until the template is")
    print("frozen, until the first clone, all of these, the slowest of them, and the end of it")
    for name, rounds in figures.items():
        alls = [sum(parts[:3]) for parts in rounds]
        medians = [statistics.median(each) for each in zip(*rounds, strict=True)]
        row = [*medians[:3], statistics.median(alls), max(alls), medians[3]]
        print(f"  {name:<60}", *(f"{value:6.2f}" for value in row))


if __name__ == "__main__":
    main()
