"""`Address.from_url` reads URLs and libpq's connection strings, and explains what it refuses."""

from __future__ import annotations

import dataclasses
import re

import pytest

from pgherd import Address, UsageError
from tests.pgherd.support.addresses import ODD, ODD_QUOTED


@pytest.fixture
def _no_variables(monkeypatch):
    """Remove libpq's variables from the environment."""
    for name in ("PGHOST", "PGPORT", "PGUSER", "PGPASSWORD", "PGDATABASE"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("_no_variables")
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
def test_urls_and_connection_strings_are_read(url: str, address: Address):
    """A missing part has PostgreSQL's default."""
    read = Address.from_url(url)
    assert dataclasses.replace(read, parameters=()) == dataclasses.replace(address, parameters=())
    assert sorted(read.parameters) == sorted(address.parameters)


@pytest.mark.usefixtures("_no_variables")
def test_missing_parts_come_from_the_environment(monkeypatch):
    """As with psql, libpq's variables supply them; the parts of the URL take precedence."""
    monkeypatch.setenv("PGHOST", "db.example.com")
    monkeypatch.setenv("PGPORT", "5433")
    monkeypatch.setenv("PGPASSWORD", "s3cret")
    monkeypatch.setenv("PGUSER", "")
    assert Address.from_url("postgresql:///shop") == Address(
        "db.example.com", 5433, "postgres", "s3cret", "shop"
    )
    assert Address.from_url("postgresql://ada:b@one:5434") == Address("one", 5434, "ada", "b")


@pytest.mark.parametrize("scheme", ["postgresql+psycopg2", "http"])
def test_another_scheme_is_refused(scheme: str):
    """SQLAlchemy's URLs name a driver after a plus sign, which libpq does not understand."""
    with pytest.raises(UsageError, match=f"begins with {re.escape(scheme)}://, but has to begin"):
        Address.from_url(f"{scheme}://ada@localhost/shop")


@pytest.mark.parametrize("url", ["service=prod", "postgresql://?service=prod"])
def test_a_service_is_refused(url: str):
    """Neither a service file nor a default supplies the missing parts."""
    with pytest.raises(UsageError, match=r"service 'prod'.* postgresql://user:password@host"):
        Address.from_url(url)


def test_a_url_of_pgherd_is_read():
    """An address with all parts is equal to the one that `from_url` reads from its URL."""
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
def test_an_unreadable_url_is_refused(url: str):
    """The message shows the form that a URL has."""
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
    """An unreadable URL can contain a password, so the message does not quote it."""
    with pytest.raises(UsageError) as caught:
        Address.from_url(url)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("url", ["postgresql://db/shop?sslmod=require", "host=db sslmod=require"])
def test_an_error_names_the_parameter(url: str):
    """If libpq does not know a parameter, the message contains its name."""
    with pytest.raises(UsageError, match='"sslmod"'):
        Address.from_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ada:s3/cret@db/shop",
        "postgresql://ada:s3@cret@db/shop",
        "postgresql://ada:s3?c@ret@db/shop",
        "postgresql://ada:s3:cret/@db/shop",
        "postgresql://ada:s3#cret/@db/shop",
        "postgresql://ada:s3cret@db:s3cret/shop",
        "host=db port=s3cret",
        "postgresql://s3/cret@db",
    ],
)
def test_no_part_of_an_unquoted_password_is_shown(url: str):
    """A password with a delimiter is refused, and no message shows a part of it."""
    with pytest.raises(UsageError, match="the URL of the server cannot be read") as raised:
        Address.from_url(url)
    assert "s3" not in str(raised.value)
    assert "cret" not in str(raised.value)
    assert "ret@" not in str(raised.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://a:b%40@db/x",
        "postgresql:///x?host=@abstract",
        "postgresql://ada@db/x?application_name=a@b",
        "postgresql://ada:a?b@db/x",
    ],
)
def test_quoted_delimiters_and_abstract_sockets_are_read(url: str):
    """A percent-encoded delimiter, and one in the query, are no mistake."""
    assert Address.from_url(url).maintenance == "x"
