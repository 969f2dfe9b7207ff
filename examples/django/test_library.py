"""Each test starts without books and with the migrations' genres, although the views commit."""

from threading import Thread
from urllib.request import urlopen

import pytest
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction

from library.models import Book, Genre, book_added

pytestmark = pytest.mark.django_db


@pytest.fixture
def novel():
    """Return a genre that the migrations added."""
    return Genre.objects.get(name="novel")


@pytest.fixture
def sent_titles():
    """Return the titles that the signal `book_added` was sent with."""
    titles = []

    def listen(title, **_):
        titles.append(title)

    book_added.connect(listen)
    yield titles
    book_added.disconnect(listen)


@pytest.mark.parametrize("time", range(2))
def test_book_is_added(client, sent_titles, time):
    """Both parameters of this test can add the same title, and `on_commit` runs its function."""
    response = client.post("/books/add/", {"title": "Emma", "genre": "novel"})
    assert response.status_code == 201
    assert client.get("/books/").json() == {"books": ["Emma"]}
    assert sent_titles == ["Emma"]


def test_title_is_unique(client, sent_titles, novel):
    """A second book with the same title is refused, and no signal is sent."""
    Book.objects.create(title="Emma", genre=novel)
    with pytest.raises(IntegrityError):
        client.post("/books/add/", {"title": "Emma", "genre": "novel"})
    assert sent_titles == []


def test_all_genres_are_deleted():
    """This test deletes rows of a migration; the next test finds them again."""
    Genre.objects.all().delete()
    assert not Genre.objects.exists()


def test_genres_of_the_migration_exist():
    """The genres are there, whichever test ran before; a flush would have removed them."""
    assert [genre.name for genre in Genre.objects.order_by("id")] == ["novel", "poetry"]


def test_live_server_sees_committed_rows(live_server, novel):
    """The live server runs in another thread, and finds the book that the test committed."""
    Book.objects.create(title="Emma", genre=novel)
    with urlopen(f"{live_server}/books/") as response:
        assert response.read() == b'{"books": ["Emma"]}'


def test_concurrent_requests_take_turns(novel):
    """Two threads, each with its own connection, lock the genre one after the other."""

    def add():
        with transaction.atomic():
            genre = Genre.objects.select_for_update().get(name="novel")
            Book.objects.create(title=f"Volume {genre.book_set.count() + 1}", genre=genre)
        connection.close()

    threads = [Thread(target=add) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {book.title for book in novel.book_set.all()} == {"Volume 1", "Volume 2"}


@pytest.mark.pg(isolation="clone")
@pytest.mark.parametrize("time", range(3))  # on 2 workers, one database is replaced twice
def test_migrations_are_reversible(novel, time):
    """The migrations can be reversed, even if the tables have rows.

    This changes the schema, so the mark lets pgherd replace the database afterwards.
    """
    Book.objects.create(title="Emma", genre=novel)
    call_command("migrate", "library", "zero", verbosity=0)
    assert "library_book" not in connection.introspection.table_names()
