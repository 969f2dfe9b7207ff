"""Measure the reset beside its alternatives, by the number of tables and of seeded rows.

Every round takes all candidates in turn, so that whatever else the machine does meets them alike.
What takes a server long is asked less often.
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
SELDOM = 10
OTHER_TESTS = 0.1
"""How long other tests take before one wants a clone of its own again, in seconds."""
LIMITS = {20: 0.3, 100: 0.6, 500: 2.0}


def create(tables: int, rows: int, database: Database) -> None:
    """Make tables with a serial key, a reference and an index; the last one has the rows."""
    with closing(database.connect()) as link, link, link.cursor() as run:
        for number in range(tables):
            run.execute(
                f"CREATE TABLE t{number} (id serial PRIMARY KEY, name text,"
                f" parent int REFERENCES t{max(number - 1, 0)})"
            )
        run.execute(
            f"INSERT INTO t{tables - 1} (name)"  # noqa: S608 (a number)
            " SELECT 'seed' FROM generate_series(1, %s)",
            [rows],
        )


def show(figures: dict[str, list[float]]) -> None:
    """Print the median and the 99th percentile of each candidate."""
    for name, values in figures.items():
        p99 = statistics.quantiles(values, n=100, method="inclusive")[98]
        print(f"  {name:<24}{statistics.median(values):9.3f} ms {p99:9.3f} ms  n={len(values)}")


def rolled_back(run: cursor) -> float:
    """Write in a transaction, and measure its rollback."""
    run.execute(f"BEGIN; {WRITE}")
    return timed(lambda: run.execute("ROLLBACK"))


def compare(one: Database, other: Database, name: str, tables: int, rounds: int) -> float:
    """Measure all ways back, in turn; give the median of a clean reset."""
    all_tables = [f"t{number}" for number in range(tables)]
    truncate = f"TRUNCATE {', '.join(all_tables)}"
    # Referring tables first, and in one statement to the server.
    delete = "; ".join(f"DELETE FROM {table}" for table in reversed(all_tables))  # noqa: S608 (ours)
    third = partial(clones.make, one.server, name, f"{other.name}_third")
    figures = defaultdict(list)
    with ExitStack() as stack:
        resetter = stack.enter_context(closing(Resetter(one)))
        links = [stack.enter_context(closing(database.connect())) for database in (one, other)]
        for link in links:
            link.autocommit = True
        if not resetter.reset():
            print("  a clean clone counts as changed, and would be replaced after each test")
            return math.inf
        run, other_run = (link.cursor() for link in links)
        for number in range(rounds):
            figures["reset, nothing written"].append(timed(resetter.reset))
            run.execute(WRITE)
            figures["reset, three tables"].append(timed(resetter.reset))
            figures["rollback, three tables"].append(rolled_back(run))
            resetter.reset()  # a rollback leaves the sequences where they are
            if number % SELDOM == 0:
                for way, statement in {"DELETE all": delete, "TRUNCATE all": truncate}.items():
                    other_run.execute(WRITE)
                    figures[way].append(timed(partial(other_run.execute, statement)))
                figures["new clone"].append(timed(third))
    show(figures)
    return statistics.median(figures["reset, nothing written"])


def age(database: Database, number: int) -> None:
    """Compare the first resets of a clone with its last ones, three tables written before each."""
    with closing(Resetter(database)) as resetter, closing(database.connect()) as link:
        link.autocommit = True
        run, spent = link.cursor(), []
        for _ in range(number):
            run.execute(WRITE)
            spent.append(timed(resetter.reset))
    first, last = spent[:100], spent[-100:]
    show({"resets 1-100": first, f"the last 100 of {number}": last})
    ratio = statistics.median(last) / statistics.median(first)
    print(f"  the last are {ratio:.2f} x the first (to reach: 1.2)")


def replace(database: Database, name: str, rounds: int) -> None:
    """Measure how long a test waits for a clone of its own that was made ahead."""
    figures = defaultdict(list)
    with closing(clones.Spares(database, name)) as spares:
        spares.prefetch()
        for _ in range(rounds):
            time.sleep(OTHER_TESTS)
            figures["connect"].append(timed(lambda: database.connect().close()))
            figures["replace, made ahead"].append(timed(spares.replace))
    show(figures)
    p95 = statistics.quantiles(figures["replace, made ahead"], n=20, method="inclusive")[18]
    print(f"  p95 of the wait: {p95:.2f} ms (to reach: 3.00)")


def main() -> None:
    """Start a server, and measure each size on it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--tables", type=int, nargs="+", default=[10, 20, 100, 500])
    parser.add_argument("--rows", type=int, nargs="+", default=[0, 100, 10_000, 100_000])
    parser.add_argument("--resets", type=int, default=10_000)
    parser.add_argument("--image", default=options.Options().image)
    chosen = parser.parse_args()
    run = naming.new_run_id()
    with choose.start(options.Options(image=chosen.image), Run(run), print) as server:
        print(f"{server.description} {server.version}; load {os.getloadavg()[0]:.1f}; p50, p99")
        for tables in chosen.tables:
            for rows in chosen.rows:
                print(f"{tables} tables, {rows} seeded rows")
                one, two, name = made(server.address, run, tables, rows)
                median = compare(one, two, name, tables, chosen.rounds)
                if tables in LIMITS and rows == 0:
                    print(f"  to reach: {LIMITS[tables]} ms; it is {median:.3f} ms")
        print("20 tables, 100 seeded rows, as they age")
        one, _, name = made(server.address, run, 20, 100)
        age(one, chosen.resets)
        print("20 tables, 100 seeded rows, a clone for each test")
        replace(one, name, chosen.rounds)


def made(server: Address, run: str, tables: int, rows: int) -> tuple[Database, Database, str]:
    """Build a template of this size, and two clones of it."""
    name = naming.template(run, str(tables), str(rows))
    build(server, name, partial(create, tables, rows), generator.install)
    one, two = (clones.make(server, name, naming.clone(run, worker)) for worker in ("1", "2"))
    return one, two, name


if __name__ == "__main__":
    main()
