"""An address and a database as URL, as connection string and as libpq's variables."""

from __future__ import annotations

import dataclasses
import socket
from contextlib import closing

import psycopg2
import pytest
from psycopg2.extensions import parse_dsn

from pgherd import Address
from tests.pgherd.support.addresses import ODD, ODD_QUOTED


def test_the_url_has_all_parts():
    """User, password, host, port and database name are in the URL."""
    server = Address("localhost", 5433, "ada", "s3cret")
    assert server.database("shop").url == "postgresql://ada:s3cret@localhost:5433/shop"


def test_the_connection_string_has_all_parts():
    """The same parts are in it, under libpq's names."""
    server = Address("localhost", 5433, "ada", "s3cret")
    assert parse_dsn(server.database("shop").dsn) == {
        "host": "localhost",
        "port": "5433",
        "user": "ada",
        "password": "s3cret",
        "dbname": "shop",
    }


def test_a_database_has_host_port_and_name():
    """Each of them is an attribute."""
    database = Address("db.example.com", 5433, "ada", "").database("shop")
    assert (database.host, database.port, database.name) == ("db.example.com", 5433, "shop")


def test_an_empty_password_is_omitted():
    """Neither the URL nor the connection string has one, so libpq looks for it in other places."""
    database = Address("localhost", 5432, "ada", "").database("shop")
    assert database.url == "postgresql://ada@localhost:5432/shop"
    assert "password" not in parse_dsn(database.dsn)


def test_special_characters_are_quoted_in_the_url():
    """User, password and database name may contain each character that has a meaning in a URL."""
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
def test_libpq_reads_the_same_parts(form: str, host: str, name: str):
    """This holds for odd names and passwords, IPv6 addresses, and directories of sockets."""
    database = Address(host, 5433, ODD, ODD).database(name)
    assert parse_dsn(getattr(database, form)) == {
        "host": host,
        "port": "5433",
        "user": ODD,
        "password": ODD,
        "dbname": name,
    }


def test_an_ipv6_address_stands_in_brackets():
    """Otherwise, the last colon of the address would begin the port."""
    database = Address("::1", 5432, "ada", "").database("shop")
    assert database.url == "postgresql://ada@[::1]:5432/shop"


def test_further_parameters_are_kept():
    """The URL and the connection string contain them, with their values quoted."""
    server = Address(
        "localhost", 5432, "ada", "", parameters=(("options", "-c a=b"), ("sslmode", "prefer"))
    )
    database = server.database("shop")
    assert database.url == (
        "postgresql://ada@localhost:5432/shop?options=-c%20a%3Db&sslmode=prefer"
    )
    for form in (database.url, database.dsn):
        parts = parse_dsn(form)
        assert (parts["options"], parts["sslmode"]) == ("-c a=b", "prefer")


def test_the_password_is_not_printed():
    """`repr` and `str` of an address and of a database leave it out."""
    server = Address("localhost", 5432, "ada", "s3cret")
    assert "s3cret" not in repr(server)
    assert "s3cret" not in repr(server.database("shop"))
    assert "s3cret" not in str(server)


def test_addresses_are_values():
    """Addresses with the same parts are equal, and an address cannot be changed."""
    server = Address("localhost", 5432, "ada", "s3cret")
    assert {server, Address("localhost", 5432, "ada", "s3cret")} == {server}
    with pytest.raises(dataclasses.FrozenInstanceError):
        server.port = 1


def test_connect_connects_to_the_database(pg_server: Address):
    """The connection's current database is the one that `connect` was called on."""
    with (
        closing(pg_server.database("template1").connect()) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute("SELECT current_database()")
        assert cursor.fetchall() == [("template1",)]


def test_environ_has_all_parts():
    """Host, port, user, password and database name are in libpq's variables."""
    server = Address("db.example.com", 5433, "ada", ODD)
    assert server.database("a?b c").environ() == {
        "PGHOST": "db.example.com",
        "PGPORT": "5433",
        "PGUSER": "ada",
        "PGPASSWORD": ODD,
        "PGDATABASE": "a?b c",
    }


def test_environ_omits_an_empty_password():
    """Without PGPASSWORD, libpq looks for the password in other places."""
    environ = Address("localhost", 5432, "ada", "").database("shop").environ()
    assert sorted(environ) == ["PGDATABASE", "PGHOST", "PGPORT", "PGUSER"]


@pytest.mark.parametrize(
    ("parameter", "variable"),
    [
        ("application_name", "PGAPPNAME"),
        ("channel_binding", "PGCHANNELBINDING"),
        ("client_encoding", "PGCLIENTENCODING"),
        ("connect_timeout", "PGCONNECT_TIMEOUT"),
        ("gssencmode", "PGGSSENCMODE"),
        ("hostaddr", "PGHOSTADDR"),
        ("krbsrvname", "PGKRBSRVNAME"),
        ("options", "PGOPTIONS"),
        ("passfile", "PGPASSFILE"),
        ("require_auth", "PGREQUIREAUTH"),
        ("requirepeer", "PGREQUIREPEER"),
        ("ssl_max_protocol_version", "PGSSLMAXPROTOCOLVERSION"),
        ("ssl_min_protocol_version", "PGSSLMINPROTOCOLVERSION"),
        ("sslcert", "PGSSLCERT"),
        ("sslcertmode", "PGSSLCERTMODE"),
        ("sslcrl", "PGSSLCRL"),
        ("sslcrldir", "PGSSLCRLDIR"),
        ("sslkey", "PGSSLKEY"),
        ("sslmode", "PGSSLMODE"),
        ("sslnegotiation", "PGSSLNEGOTIATION"),
        ("sslrootcert", "PGSSLROOTCERT"),
        ("sslsni", "PGSSLSNI"),
        ("target_session_attrs", "PGTARGETSESSIONATTRS"),
    ],
)
def test_environ_has_further_parameters(parameter: str, variable: str):
    """A parameter of the URL is in the variable that libpq has for it."""
    server = Address("localhost", 5432, "ada", "", parameters=((parameter, "value"),))
    assert server.database("shop").environ()[variable] == "value"


def test_environ_omits_parameters_without_a_variable():
    """For keep-alives, libpq has no variable."""
    server = Address("localhost", 5432, "ada", "", parameters=(("keepalives_idle", "20"),))
    assert sorted(server.database("shop").environ()) == [
        "PGDATABASE",
        "PGHOST",
        "PGPORT",
        "PGUSER",
    ]


def test_libpq_connects_by_environ_alone(pg_server: Address, monkeypatch):
    """With the variables in the environment, an empty connection string leads to the database."""
    parameters = (("application_name", "of environ"),)
    server = dataclasses.replace(pg_server, parameters=parameters)
    for variable, value in server.database("template1").environ().items():
        monkeypatch.setenv(variable, value)
    with closing(psycopg2.connect("")) as connection:
        assert connection.info.dbname == "template1"
        assert (connection.info.host, connection.info.port) == (pg_server.host, pg_server.port)
        assert connection.info.parameter_status("application_name") == "of environ"


def test_environ_leads_to_the_address_of_the_host(pg_server: Address, monkeypatch):
    """If the URL has a `hostaddr`, libpq connects to it and does not look up the host's name."""
    address = socket.gethostbyname(pg_server.host)
    server = dataclasses.replace(
        pg_server, host="host.invalid", parameters=(("hostaddr", address),)
    )
    for variable, value in server.database("template1").environ().items():
        monkeypatch.setenv(variable, value)
    with closing(psycopg2.connect("")) as connection:
        assert connection.info.dbname == "template1"
