"""Where a server and a database are, as URL and as connection string."""

from __future__ import annotations

import asyncio
import dataclasses
import re
import socket
import tempfile
import threading
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
import dj_database_url
import psycopg2
import pytest
import sqlalchemy
from playhouse import db_url
from psycopg2.extensions import parse_dsn

from pgherd import Address, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

ODD = "p@ss:w/rd?#%&=+ é'\"\\"
ODD_QUOTED = "p%40ss%3Aw%2Frd%3F%23%25%26%3D%2B%20%C3%A9%27%22%5C"


def test_a_database_has_a_url():
    """The URL has user, password, host, port and name."""
    server = Address("localhost", 5433, "ada", "s3cret")
    assert server.database("shop").url == "postgresql://ada:s3cret@localhost:5433/shop"


def test_a_database_has_a_dsn():
    """The connection string has the same parts under libpq's names."""
    server = Address("localhost", 5433, "ada", "s3cret")
    assert parse_dsn(server.database("shop").dsn) == {
        "host": "localhost",
        "port": "5433",
        "user": "ada",
        "password": "s3cret",
        "dbname": "shop",
    }


def test_a_database_knows_where_it_is():
    """Host, port and name can be read one by one."""
    database = Address("db.example.com", 5433, "ada", "").database("shop")
    assert (database.host, database.port, database.name) == ("db.example.com", 5433, "shop")


def test_no_password_is_left_out():
    """Without a password there is none in the URL and the DSN, so libpq looks in its own places."""
    database = Address("localhost", 5432, "ada", "").database("shop")
    assert database.url == "postgresql://ada@localhost:5432/shop"
    assert "password" not in parse_dsn(database.dsn)


def test_special_characters_are_quoted_in_the_url():
    """Every character that means something in a URL is quoted, in each of its parts."""
    database = Address("localhost", 5432, ODD, ODD).database("a?b c")
    assert database.url == (f"postgresql://{ODD_QUOTED}:{ODD_QUOTED}@localhost:5432/a%3Fb%20c")


@pytest.mark.parametrize("form", ["url", "dsn"])
@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("localhost", "shop"),
        ("127.0.0.1", "a b/c?d=é%20"),
        ("::1", "shop"),
        ("fe80::1%eth0", "shop"),
        ("/var/run/x", "shop"),
        ("/tmp/a b:c", "it's"),  # noqa: S108
        ("@abstract", "shop"),
    ],
)
def test_libpq_reads_back_what_was_meant(form: str, host: str, name: str):
    """Names, IPv6 addresses, socket directories and odd passwords are the same after libpq."""
    database = Address(host, 5433, ODD, ODD).database(name)
    assert parse_dsn(getattr(database, form)) == {
        "host": host,
        "port": "5433",
        "user": ODD,
        "password": ODD,
        "dbname": name,
    }


def test_an_ipv6_address_stands_in_brackets():
    """The colons of an IPv6 address are not taken for the port's."""
    database = Address("::1", 5432, "ada", "").database("shop")
    assert database.url == "postgresql://ada@[::1]:5432/shop"


def test_parameters_are_kept():
    """Further parameters are in the URL's query part and in the DSN, their values quoted."""
    server = Address(
        "localhost", 5432, "ada", "", parameters=(("options", "-c a=b"), ("sslmode", "prefer"))
    )
    database = server.database("shop")
    assert database.url == (
        "postgresql://ada@localhost:5432/shop?options=-c%20a%3Db&sslmode=prefer"
    )
    for form in (database.url, database.dsn):
        told = parse_dsn(form)
        assert (told["options"], told["sslmode"]) == ("-c a=b", "prefer")


@pytest.fixture
def _variables(monkeypatch):
    """Take libpq's variables away, if whoever runs the tests has them."""
    for name in ("PGHOST", "PGPORT", "PGUSER", "PGPASSWORD", "PGDATABASE"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("_variables")
@pytest.mark.parametrize(
    ("url", "address"),
    [
        (
            "postgresql://ada:s3cret@db.example.com:5433/shop",
            Address("db.example.com", 5433, "ada", "s3cret", "shop"),
        ),
        ("postgres://ada@db", Address("db", 5432, "ada", "", "postgres")),
        ("postgresql://ada@[::1]:5433/shop", Address("::1", 5433, "ada", "", "shop")),
        ("postgresql://%2Fvar%2Frun%2Fx/shop", Address("/var/run/x", 5432, "postgres", "", "shop")),
        ("postgresql:///shop?host=/var/run/x", Address("/var/run/x", 5432, "postgres", "", "shop")),
        ("host=db user=ada password='a b'", Address("db", 5432, "ada", "a b", "postgres")),
        (
            "postgresql://ada@db/shop?sslmode=require&connect_timeout=3",
            Address(
                "db",
                5432,
                "ada",
                "",
                "shop",
                parameters=(("sslmode", "require"), ("connect_timeout", "3")),
            ),
        ),
        (f"postgresql://ada:{ODD_QUOTED}@db/", Address("db", 5432, "ada", ODD, "postgres")),
    ],
)
def test_a_url_is_read(url: str, address: Address):
    """A URL or a libpq connection string is read; what it leaves out has PostgreSQL's defaults."""
    read = Address.from_url(url)
    assert dataclasses.replace(read, parameters=()) == dataclasses.replace(address, parameters=())
    assert sorted(read.parameters) == sorted(address.parameters)


@pytest.mark.usefixtures("_variables")
def test_what_a_url_leaves_out_is_in_the_environment(monkeypatch):
    """As with psql, variables say the rest; what the URL says they do not change."""
    monkeypatch.setenv("PGHOST", "db.example.com")
    monkeypatch.setenv("PGPORT", "5433")
    monkeypatch.setenv("PGPASSWORD", "s3cret")
    monkeypatch.setenv("PGUSER", "")
    assert Address.from_url("postgresql:///shop") == Address(
        "db.example.com", 5433, "postgres", "s3cret", "shop"
    )
    assert Address.from_url("postgresql://ada:b@one:5434") == Address("one", 5434, "ada", "b")


@pytest.mark.parametrize("scheme", ["postgresql+psycopg2", "http"])
def test_another_scheme_is_told(scheme: str):
    """SQLAlchemy's URLs name a driver, which is not for us."""
    with pytest.raises(UsageError, match=f"begins with {re.escape(scheme)}://, but has to begin"):
        Address.from_url(f"{scheme}://ada@localhost/shop")


@pytest.mark.parametrize("url", ["service=prod", "postgresql://?service=prod"])
def test_a_service_is_not_looked_up(url: str):
    """A URL that leaves everything to a file is told, and not taken for one that says nothing."""
    with pytest.raises(UsageError, match=r"service 'prod'.* postgresql://user:password@host"):
        Address.from_url(url)


def test_a_url_that_was_written_is_read():
    """What `url` writes `from_url` reads, for an address with everything in it."""
    server = Address("/var/run/x", 5433, ODD, ODD, "shop", (("sslmode", "prefer"),))
    assert Address.from_url(server.database("shop").url) == server


@pytest.mark.parametrize(
    "url",
    [
        "nonsense",
        "mysql://ada@db/shop",
        "postgresql://ada@db/shop?sslmod=require",
        "postgresql://ada:a%ZZb@db/shop",
        "postgresql://ada@[::1/shop",
        "postgresql://ada@db:port/shop",
        "postgresql://ada@one:5432,two:5433/shop",
        "host=db port=",
    ],
)
def test_a_url_that_cannot_be_read(url: str):
    """Bad input is told with the form it should have."""
    with pytest.raises(UsageError, match="postgresql://user:password@host:port/database"):
        Address.from_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ada:s3cret@db:port/shop",
        "postgresql://ada:s3cret@[::1/shop",
        "postgresql://ada:s3cret%ZZ@db/shop",
        "ada:s3cret@db/shop",
        "host=db password=a s3cret",
    ],
)
def test_an_error_does_not_repeat_the_password(url: str):
    """A URL that cannot be read is not repeated, because it may have a password in it."""
    with pytest.raises(UsageError) as caught:
        Address.from_url(url)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("url", ["postgresql://db/shop?sslmod=require", "host=db sslmod=require"])
def test_an_error_names_the_parameter(url: str):
    """A parameter that libpq does not know is named."""
    with pytest.raises(UsageError, match='"sslmod"'):
        Address.from_url(url)


def test_repr_hides_the_password():
    """Neither an address nor a database shows its password where it is printed."""
    server = Address("localhost", 5432, "ada", "s3cret")
    assert "s3cret" not in repr(server)
    assert "s3cret" not in repr(server.database("shop"))
    assert "s3cret" not in str(server)


def test_addresses_are_values():
    """An address cannot be changed, and equals another with the same parts."""
    server = Address("localhost", 5432, "ada", "s3cret")
    assert {server, Address("localhost", 5432, "ada", "s3cret")} == {server}
    with pytest.raises(dataclasses.FrozenInstanceError):
        server.port = 1


def test_connect_opens_a_connection(pg_server: Address):
    """`connect` gives a connection to the very database."""
    with closing(pg_server.database("template1").connect()) as link, link.cursor() as cursor:
        cursor.execute("SELECT current_database()")
        assert cursor.fetchall() == [("template1",)]


@pytest.fixture
def directory(pg_server: Address) -> Iterator[str]:
    """Give a directory with a socket that leads to the run's server."""
    with tempfile.TemporaryDirectory() as place, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(Path(place) / ".s.PGSQL.5433"))
        listener.listen()
        threading.Thread(target=_forward, args=[listener, pg_server], daemon=True).start()
        yield place
        listener.shutdown(socket.SHUT_RDWR)


def _forward(listener: socket.socket, server: Address) -> None:
    """Connect whoever comes with the server, until the listener is shut down."""
    while True:
        try:
            near, _ = listener.accept()
        except OSError:
            return
        far = socket.create_connection((server.host, server.port))
        pumps = [threading.Thread(target=_pump, args=pair) for pair in ((near, far), (far, near))]
        for pump in pumps:
            pump.start()
        for pump in pumps:
            pump.join()
        near.close()
        far.close()


def _pump(source: socket.socket, target: socket.socket) -> None:
    while data := source.recv(65536):
        target.sendall(data)
    target.shutdown(socket.SHUT_WR)


@pytest.mark.parametrize("form", ["url", "dsn"])
def test_a_socket_directory_is_connected_to(pg_server: Address, directory: str, form: str):
    """A host that is a directory is reached by its socket, with the URL as with the DSN."""
    server = dataclasses.replace(pg_server, host=directory, port=5433)
    database = server.database(server.maintenance)
    with closing(psycopg2.connect(getattr(database, form))) as link:
        assert link.info.host == directory
        assert link.info.dbname == pg_server.maintenance


def by_asyncpg(url: str) -> str:
    """Ask through asyncpg, which has its own parser of URLs."""

    async def ask() -> str:
        link = await asyncpg.connect(url)
        try:
            return await link.fetchval("SELECT current_database()")
        finally:
            await link.close()

    return asyncio.run(ask())


def by_peewee(url: str) -> str:
    """Ask through peewee's db_url."""
    with closing(db_url.connect(url)) as database:
        return database.execute_sql("SELECT current_database()").fetchone()[0]


def by_sqlalchemy(url: str) -> str:
    """Ask through SQLAlchemy."""
    engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool)
    with engine.connect() as link:
        return link.scalar(sqlalchemy.text("SELECT current_database()"))


def by_django(url: str) -> str:
    """Ask with the settings that Django would be given."""
    read = dj_database_url.parse(url)
    link = psycopg2.connect(
        dbname=read["NAME"], user=read["USER"], password=read["PASSWORD"], **read["OPTIONS"]
    )
    with closing(link), link.cursor() as cursor:
        cursor.execute("SELECT current_database()")
        return cursor.fetchone()[0]


@pytest.mark.parametrize("ask", [by_asyncpg, by_peewee, by_sqlalchemy, by_django])
def test_drivers_read_a_socket_directory(pg_server: Address, directory: str, ask):
    """Not only libpq understands a URL with a directory in it."""
    server = dataclasses.replace(pg_server, host=directory, port=5433)
    assert ask(server.database("postgres").url) == "postgres"
