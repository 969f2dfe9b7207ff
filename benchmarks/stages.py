"""Measure each stage of a database's life beside its alternatives, in one run.

The schema is that of app/. Each figure is a median. Every round measures all candidates in turn, so
that other load on the machine slows all of them alike.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import defaultdict
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from psycopg2 import sql

from pgherd import clones, options
from pgherd.peewee import PeeweeMigrations
from pgherd.postgres import naming
from pgherd.reset import generator
from pgherd.reset.resetter import Resetter
from pgherd.servers import Run, choose
from pgherd.template.build import build

if TYPE_CHECKING:
    from collections.abc import Callable

    from pgherd.postgres.address import Database

MIGRATIONS = PeeweeMigrations(Path(__file__).parents[1] / "app" / "migrations")
WRITE = """
INSERT INTO "user" (email, name) VALUES ('ada@example.com', 'Ada');
INSERT INTO team (name, owner_id) SELECT 'Engines', id FROM "user";
INSERT INTO user_role SELECT u.id, r.id FROM "user" u, role r WHERE r.name = 'basic'
"""


def timed(action: Callable[[], object]) -> float:
    """Return how many milliseconds an action takes."""
    began = time.perf_counter()
    action()
    return (time.perf_counter() - began) * 1000


def show(figures: dict[str, list[float]]) -> None:
    """Print the median of each candidate, and its ratio to the first."""
    first = statistics.median(next(iter(figures.values())))
    for name, values in figures.items():
        median = statistics.median(values)
        print(f"  {name:<24}{median:9.2f} ms {median / first:8.1f} x")


def resets(database: Database, other: Database, name: str, rounds: int) -> None:
    """Compare the ways to return a database to the template's state after a test."""
    with (
        closing(Resetter(database)) as resetter,
        closing(database.connect()) as connection,
        closing(other.connect()) as other_connection,
    ):
        connection.autocommit = other_connection.autocommit = True
        cursor, other_cursor = connection.cursor(), other_connection.cursor()
        cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        tables = sql.SQL(", ").join(sql.Identifier(table) for (table,) in cursor.fetchall())
        truncate = sql.SQL("TRUNCATE {} CASCADE").format(tables)
        make_third = partial(clones.make, database.server, name, f"{other.name}_third")
        figures = defaultdict(list)
        for _ in range(rounds):
            figures["reset, nothing written"].append(timed(resetter.reset))
            cursor.execute(WRITE)
            figures["reset, three tables"].append(timed(resetter.reset))
            other_cursor.execute(WRITE)
            figures["truncate all tables"].append(timed(lambda: other_cursor.execute(truncate)))
            figures["new clone"].append(timed(make_third))
        show(figures)


def main() -> None:
    """Start a server, and measure each stage on it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--image", default=options.Options().image)
    chosen = parser.parse_args()
    began = time.perf_counter()
    run_id = naming.new_run_id()
    with choose.start(options.Options(image=chosen.image), Run(run_id), print) as server:
        print(f"{server.description}: ready after {time.perf_counter() - began:.2f} s")
        name = naming.template(run_id)
        steps = [lambda database: MIGRATIONS.apply(database.url), generator.install]
        spent = timed(partial(build, server.address, name, *steps))
        print(f"template migrated, reset generated, template frozen: {spent:.0f} ms")
        one, two = (clones.make(server.address, name, naming.clone(run_id, n)) for n in ("1", "2"))
        show({"connect": [timed(lambda: one.connect().close()) for _ in range(chosen.rounds)]})
        resets(one, two, name, chosen.rounds)


if __name__ == "__main__":
    main()
