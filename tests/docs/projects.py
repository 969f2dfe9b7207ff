"""What the sections of the documentation leave out, so that their code is a whole project.

Each section gets these files beside its own; a file of the same name is continued.
"""

from __future__ import annotations

USERS = """
import pgherd


@pytest.fixture(scope="session")
def pg_migrations():
    return pgherd.sql_files("users.sql")
"""
USERS_SQL = "CREATE TABLE users (id serial PRIMARY KEY, name text NOT NULL);"

COUNTS_USERS = """
import psycopg2


def users(database):
    connection = psycopg2.connect(database.url)
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT name FROM users ORDER BY id")
            return [name for (name,) in cursor.fetchall()]
    finally:
        connection.close()
"""

FLASK = """
from contextlib import closing

import psycopg2
from flask import Flask


def create_app(config):
    app = Flask(__name__)
    if "DATABASE_URL" in config:
        where = {"dsn": config["DATABASE_URL"]}
    else:
        names = {"DB_HOST": "host", "DB_PORT": "port", "DB_NAME": "dbname", "DB_USER": "user"}
        names["DB_PASSWORD"] = "password"
        where = {names[name]: value for name, value in config.items()}

    @app.post("/users/<name>")
    def add(name):
        with closing(psycopg2.connect(**where)) as connection, connection:
            connection.cursor().execute("INSERT INTO users (name) VALUES (%s)", [name])
        return name, 201

    return app
"""
TWO_REQUESTS = (
    COUNTS_USERS
    + """
import pytest


@pytest.mark.parametrize("name", ["ada", "bob"])
def test_request_commits_and_is_undone(client, pg, name):
    assert client.post(f"/users/{name}").status_code == 201
    assert users(pg) == [name]
"""
)
APPLICATION = {
    "conftest.py": USERS,
    "users.sql": USERS_SQL,
    "my_app.py": FLASK,
    "test_app.py": TWO_REQUESTS,
}

CHANGES_THE_SCHEMA = """
@pytest.mark.pg(isolation="clone")
def test_replaced(pg):
    with pg.connect() as connection, connection.cursor() as cursor:
        cursor.execute("ALTER TABLE users ADD email text")
"""

SESSION = """
import pytest
from sqlalchemy import text


@pytest.mark.parametrize("name", ["ada", "bob"])
def test_session(session, name):
    session.execute(text("INSERT INTO users (name) VALUES (:name)"), {"name": name})
    session.commit()
    assert session.scalars(text("SELECT name FROM users")).all() == [name]


@pytest.mark.pg(isolation="clone")
def test_the_clone_is_replaced(session):
    session.execute(text("DROP TABLE users"))
    session.commit()


def test_engine_goes_on(session):
    assert session.scalars(text("SELECT name FROM users")).all() == []
"""

PEEWEE_MODELS = """
import peewee

database = peewee.PostgresqlDatabase(None)


class Model(peewee.Model):
    class Meta:
        database = database


class User(Model):
    name = peewee.TextField()


class UserRole(Model):
    user = peewee.ForeignKeyField(User)
    role = peewee.TextField()
"""
PEEWEE_TABLES = """
from pgherd.peewee import create_tables


@pytest.fixture(scope="session")
def pg_migrations():
    return create_tables(my_app.database, [my_app.User, my_app.UserRole])
"""

SECTIONS: dict[tuple[str, str], dict[str, str]] = {
    ("fixtures", "Connect your application"): APPLICATION,
    ("fixtures", "Settings without a URL"): APPLICATION,
    ("fixtures", "Close connections that your code keeps"): {
        "conftest.py": USERS,
        "users.sql": USERS_SQL,
        "my_app.py": """
import psycopg2


class Pool:
    def __init__(self, url):
        self.url, self.kept, self.closed = url, None, 0

    def query(self, statement):
        if self.kept is None:
            self.kept = psycopg2.connect(self.url)
            self.kept.autocommit = True
        with self.kept.cursor() as cursor:
            cursor.execute(statement)

    def close_all_connections(self):
        self.closed += 1
        self.close()

    def close(self):
        if self.kept:
            self.kept.close()
        self.kept = None
""",
        "test_pool.py": """
import pytest


@pytest.mark.pg(isolation="clone")
def test_change(pool):
    pool.query("DROP TABLE users")


def test_pool_connects_again(pool):
    assert pool.closed == 1
    pool.query("SELECT FROM users")


def test_pg_is_automatic(request):
    assert "pg" in request.fixturenames
""",
    },
    ("fixtures", "Rows that every test needs"): {
        "conftest.py": USERS,
        "users.sql": USERS_SQL,
        "test_ada.py": """
def test_ada_is_the_first(ada):
    assert ada == 1


def test_ada_is_the_first_again(ada):
    assert ada == 1
""",
    },
    ("fixtures", "Tests that change the schema"): {
        "conftest.py": "import pytest" + USERS,
        "users.sql": USERS_SQL,
        "test_schema.py": """

def test_table_is_back(pg):
    with pg.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT FROM users")
""",
    },
    ("fixtures", "Several databases in one test"): {},
    ("migrations", "SQL files"): {
        "schema.sql": USERS_SQL,
        "seeds/1.sql": "INSERT INTO users (name) VALUES ('ada');",
        "seeds/2.sql": "INSERT INTO users (name) VALUES ('bob');",
        "test_users.py": COUNTS_USERS
        + """

def test_seeds_are_there_in_order(pg):
    assert users(pg) == ["ada", "bob"]
""",
    },
    ("migrations", "A command"): {
        "alembic.ini": "[alembic]\nscript_location = migrations\n",
        "migrations/env.py": """
import os

from alembic import context
from sqlalchemy import create_engine, make_url

url = make_url(os.environ["DATABASE_URL"]).set(drivername="postgresql+psycopg2")
with create_engine(url).connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
""",
        "migrations/versions/0001_users.py": f"""
from alembic import op

revision = "0001"
down_revision = None


def upgrade():
    op.execute({USERS_SQL!r})
""",
        "test_users.py": COUNTS_USERS
        + """

def test_table_is_there(pg):
    assert users(pg) == []
""",
    },
    ("migrations", "A dump"): {
        "dump.sql": f"{USERS_SQL}\nCOPY users (id, name) FROM stdin;\n1\tada\n2\tbob\n\\.\n",
        "test_users.py": COUNTS_USERS
        + """

def test_rows_of_the_dump_are_there(pg):
    assert users(pg) == ["ada", "bob"]
""",
    },
    ("migrations", "Your own"): {
        "schema.sql": USERS_SQL,
        "test_users.py": COUNTS_USERS
        + """

def test_table_is_there(pg):
    assert users(pg) == []
""",
    },
    ("migrations", "Test the migrations themselves"): {
        "schema.sql": USERS_SQL,
        "conftest.py": "import pytest" + USERS.replace("users.sql", "schema.sql"),
        "test_users.py": COUNTS_USERS
        + """

def test_other_directories_have_the_tables(pg):
    assert users(pg) == []
""",
    },
    ("sqlalchemy", "Engine and session"): {
        "conftest.py": USERS,
        "users.sql": USERS_SQL,
        "my_app.py": """
from sqlalchemy.orm import scoped_session, sessionmaker

scoped = scoped_session(sessionmaker())
""",
        "test_session.py": SESSION
        + """

def test_a_session_is_left(engine):
    from my_app import scoped

    scoped(bind=engine).execute(text("SELECT FROM users"))
""",
    },
    ("sqlalchemy", "Drivers"): {
        "test_driver.py": """
def test_driver(engine):
    assert engine.driver == "psycopg2"
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT 1").scalar() == 1
""",
    },
    ("sqlalchemy", "Flask-SQLAlchemy"): {
        "conftest.py": USERS,
        "users.sql": USERS_SQL,
        "my_app.py": """
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import text

db = SQLAlchemy()


def create_app(config):
    app = Flask(__name__)
    app.config.update(config)
    db.init_app(app)

    @app.post("/users/<name>")
    def add(name):
        db.session.execute(text("INSERT INTO users (name) VALUES (:name)"), {"name": name})
        db.session.commit()
        return name, 201

    return app
""",
        "test_app.py": TWO_REQUESTS
        + CHANGES_THE_SCHEMA
        + """

def test_pool_connects_again(client, pg):
    assert client.post("/users/cleo").status_code == 201
    assert users(pg) == ["cleo"]
""",
    },
    ("sqlalchemy", "An engine that is created at import"): {
        "conftest.py": USERS,
        "users.sql": USERS_SQL,
        "my_app.py": """
import os

from sqlalchemy import create_engine

engine = create_engine(os.environ.get("URL", "postgresql+psycopg2://nobody:x@127.0.0.1:1/nowhere"))
""",
        "test_engine.py": """
import pytest
from my_app import engine
from sqlalchemy import text


@pytest.mark.parametrize("name", ["ada", "bob"])
def test_engine_is_on_the_clone(pg, name):
    with engine.begin() as connection:
        assert connection.scalar(text("SELECT current_database()")) == pg.name
        connection.execute(text("INSERT INTO users (name) VALUES (:name)"), {"name": name})
        assert connection.scalars(text("SELECT name FROM users")).all() == [name]


@pytest.mark.pg(isolation="clone")
def test_the_clone_is_replaced(pg):
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE users"))


def test_engine_goes_on(pg):
    with engine.begin() as connection:
        assert connection.scalars(text("SELECT name FROM users")).all() == []
""",
    },
    ("peewee", "Bind your database"): {
        "my_app.py": PEEWEE_MODELS,
        "conftest.py": PEEWEE_TABLES,
        "test_users.py": """
import pytest
from my_app import User


@pytest.mark.parametrize("name", ["ada", "bob"])
def test_user(name):
    assert User.create(name=name).id == 1
""",
    },
    ("peewee", "If your application connects by itself"): {
        "my_app.py": PEEWEE_MODELS
        + """

def create_app(config):
    from flask import Flask

    app = Flask(__name__)
    database.init(config["DATABASE_URL"])

    @app.post("/users/<name>")
    def add(name):
        return str(User.create(name=name).id), 201

    return app
""",
        "conftest.py": PEEWEE_TABLES,
        "test_app.py": """
import pytest


def test_user(client):
    assert client.post("/users/ada").text == "1"


@pytest.mark.pg(isolation="clone")
def test_the_connection_stays_open(client):
    assert client.post("/users/ada").text == "1"


def test_user_again(client):
    assert client.post("/users/ada").text == "1"
""",
    },
    ("peewee", "Migrations"): {
        "migrations/001_users.py": f"""
def migrate(migrator, database, fake=False):
    migrator.sql({USERS_SQL!r})
""",
        "test_users.py": COUNTS_USERS
        + """

def test_table_is_there(pg):
    assert users(pg) == []
""",
    },
    ("peewee", "Tables from models"): {
        "my_app.py": PEEWEE_MODELS,
        "test_tables.py": """
def test_tables_are_there(pg):
    with pg.connect() as connection, connection.cursor() as cursor:
        cursor.execute('SELECT FROM "user" JOIN userrole ON user_id = "user".id')
""",
    },
    ("peewee", "with_test_db"): {"my_app.py": PEEWEE_MODELS},
}
