"""Measure the reset beside its alternatives, by the number of tables and of seeded rows.

Every round measures all candidates in turn, so that other load on the machine slows all of them
alike. Slow candidates are measured in every tenth round only.
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import time
from collections import defaultdict
from contextlib import ExitStack, closing
from functools import partial
from typing import TYPE_CHECKING

from stages import timed

from pgherd import clones, options
from pgherd.postgres import naming
from pgherd.reset import generator
from pgherd.reset.resetter import Resetter
from pgherd.servers import Run, choose
from pgherd.template.build import build

if TYPE_CHECKING:
    from psycopg2.extensions import cursor

    from pgherd.postgres.address import Address, Database

WRITE = "; ".join(f"INSERT INTO t{number} (name) VALUES ('x')" for number in range(3))  # noqa: S608 (numbers)
SLOW_EVERY = 10
"""Of this many rounds, one also measures the slow candidates."""
OTHER_TESTS = 0.1
"""How long other tests take between two tests that replace the clone, in seconds."""
LIMITS = {20: 0.3, 100: 0.6, 500: 2.0}
"""The goal for a reset without writes, in milliseconds, by the number of tables."""


def create(tables: int, rows: int, database: Database) -> None:
    """Create tables with a serial key, a foreign key and an index; the last one has the rows."""
    with closing(database.connect()) as connection, connection, connection.cursor() as cursor:
        for number in range(tables):
            cursor.execute(
                f"CREATE TABLE t{number} (id serial PRIMARY KEY, name text,"
                f" parent int REFERENCES t{max(number - 1, 0)})"
            )
        cursor.execute(
            f"INSERT INTO t{tables - 1} (name)"  # noqa: S608 (a number)
            " SELECT 'seed' FROM generate_series(1, %s)",
            [rows],
        )


def show(figures: dict[str, list[float]]) -> None:
    """Print the median and the 99th percentile of each candidate."""
    for name, values in figures.items():
        median, p99 = percentile(values, 50), percentile(values, 99)
        print(f"  {name:<24}{median:9.3f} ms {p99:9.3f} ms  n={len(values)}")


def percentile(values: list[float], percent: int) -> float:
    """Return a percentile; of a single value, this value."""
    if len(values) == 1:
        return values[0]
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def rolled_back(cursor: cursor) -> float:
    """Write in a transaction, and measure its rollback."""
    cursor.execute(f"BEGIN; {WRITE}")
    return timed(lambda: cursor.execute("ROLLBACK"))


def compare(one: Database, other: Database, name: str, tables: int, rounds: int) -> float:
    """Measure all candidates in turn, and return the median of a reset without writes."""
    all_tables = [f"t{number}" for number in range(tables)]
    truncate = f"TRUNCATE {', '.join(all_tables)}"
    # Delete from referencing tables before those that they reference, in one request.
    delete = "; ".join(f"DELETE FROM {table}" for table in reversed(all_tables))  # noqa: S608 (names from above)
    third = partial(clones.make, one.server, name, f"{other.name}_third")
    figures = defaultdict(list)
    with ExitStack() as stack:
        resetter = stack.enter_context(closing(Resetter(one)))
        opened = [stack.enter_context(closing(database.connect())) for database in (one, other)]
        for connection in opened:
            connection.autocommit = True
        if not resetter.reset():
            print(
                "  an unchanged clone counts as changed, so pgherd would replace it after each test"
            )
            return math.inf
        cursor, other_cursor = (connection.cursor() for connection in opened)
        for number in range(rounds):
            figures["reset, nothing written"].append(timed(resetter.reset))
            cursor.execute(WRITE)
            figures["reset, three tables"].append(timed(resetter.reset))
            figures["rollback, three tables"].append(rolled_back(cursor))
            resetter.reset()  # a rollback does not reset the sequences
            if number % SLOW_EVERY == 0:
                for candidate, statement in {
                    "DELETE all": delete,
                    "TRUNCATE all": truncate,
                }.items():
                    other_cursor.execute(WRITE)
                    figures[candidate].append(timed(partial(other_cursor.execute, statement)))
                figures["new clone"].append(timed(third))
    show(figures)
    return statistics.median(figures["reset, nothing written"])


def age(database: Database, number: int) -> None:
    """Compare the first resets of a clone with its last ones, each after writes to three tables."""
    with closing(Resetter(database)) as resetter, closing(database.connect()) as connection:
        connection.autocommit = True
        cursor, spent = connection.cursor(), []
        for _ in range(number):
            cursor.execute(WRITE)
            spent.append(timed(resetter.reset))
    first, last = spent[:100], spent[-100:]
    show({"resets 1-100": first, f"the last 100 of {number}": last})
    ratio = statistics.median(last) / statistics.median(first)
    print(f"  the last took {ratio:.2f} x as long as the first (goal: 1.2)")


def replace(database: Database, name: str, rounds: int) -> None:
    """Measure how long a test waits for a clone that was prepared in the background."""
    figures = defaultdict(list)
    with closing(clones.Spares(database, name)) as spares:
        spares.prefetch()
        for _ in range(rounds):
            time.sleep(OTHER_TESTS)
            figures["connect"].append(timed(lambda: database.connect().close()))
            figures["replace by a spare"].append(timed(spares.replace))
    show(figures)
    p95 = percentile(figures["replace by a spare"], 95)
    print(f"  p95 of the wait: {p95:.2f} ms (goal: 3.00)")


def main() -> None:
    """Start a server, and measure each size on it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--tables", type=int, nargs="+", default=[10, 20, 100, 500])
    parser.add_argument("--rows", type=int, nargs="+", default=[0, 100, 10_000, 100_000])
    parser.add_argument("--resets", type=int, default=10_000)
    parser.add_argument("--image", default=options.Options().image)
    chosen = parser.parse_args()
    run_id = naming.new_run_id()
    with choose.start(options.Options(image=chosen.image), Run(run_id), print) as server:
        print(f"{server.description} {server.version}; load {os.getloadavg()[0]:.1f}; p50, p99")
        for tables in chosen.tables:
            for rows in chosen.rows:
                print(f"{tables} tables, {rows} seeded rows")
                one, two, name = make(server.address, run_id, tables, rows)
                median = compare(one, two, name, tables, chosen.rounds)
                if tables in LIMITS and rows == 0:
                    print(f"  {median:.3f} ms (goal: {LIMITS[tables]})")
        print("20 tables, 100 seeded rows, many resets of one clone")
        one, _, name = make(server.address, run_id, 20, 100)
        age(one, chosen.resets)
        print("20 tables, 100 seeded rows, a clone for each test")
        replace(one, name, chosen.rounds)


def make(server: Address, run_id: str, tables: int, rows: int) -> tuple[Database, Database, str]:
    """Build a template of this size, and create two clones of it."""
    name = naming.template(run_id, str(tables), str(rows))
    build(server, name, partial(create, tables, rows), generator.install)
    one, two = (clones.make(server, name, naming.clone(run_id, worker)) for worker in ("1", "2"))
    return one, two, name


if __name__ == "__main__":
    main()
