"""The library really commits; each test finds the shelf empty, and the genres there."""

from threading import Thread
from urllib.request import urlopen

import pytest
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction

from library.models import Book, Genre, book_added

pytestmark = pytest.mark.django_db


@pytest.fixture
def novel():
    """Give a genre that the migrations have brought."""
    return Genre.objects.get(name="novel")


@pytest.fixture
def told():
    """Give the titles of which the signal told."""
    titles = []

    def listen(title, **_):
        titles.append(title)

    book_added.connect(listen)
    yield titles
    book_added.disconnect(listen)


@pytest.mark.parametrize("time", range(2))
def test_book_is_added(client, told, time):
    """The title is unique, and yet each of these tests can add it; `on_commit` tells of it."""
    response = client.post("/books/add/", {"title": "Emma", "genre": "novel"})
    assert response.status_code == 201
    assert client.get("/books/").json() == {"books": ["Emma"]}
    assert told == ["Emma"]


def test_title_is_unique(client, told, novel):
    """A second book of the title is refused, and nobody is told."""
    Book.objects.create(title="Emma", genre=novel)
    with pytest.raises(IntegrityError):
        client.post("/books/add/", {"title": "Emma", "genre": "novel"})
    assert told == []


def test_genres_can_go():
    """All rows of the migrations are deleted here; a flush would keep them from other tests."""
    Genre.objects.all().delete()
    assert not Genre.objects.exists()


def test_genres_are_there():
    """The other tests find them as the migrations left them."""
    assert [genre.name for genre in Genre.objects.order_by("id")] == ["novel", "poetry"]


def test_other_threads_see_it(live_server, novel):
    """The live server answers with what the test committed."""
    Book.objects.create(title="Emma", genre=novel)
    with urlopen(f"{live_server}/books/") as response:
        assert response.read() == b'{"books": ["Emma"]}'


def test_one_waits_for_the_other(novel):
    """Two add to a genre that one has locked: that takes two connections."""

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
@pytest.mark.parametrize("time", range(3))  # of two workers, one has its clone replaced twice
def test_migrations_can_be_taken_back(novel, time):
    """A change of the schema is gone with the clone, and the pool knows the next one."""
    Book.objects.create(title="Emma", genre=novel)
    call_command("migrate", "library", "zero", verbosity=0)
    assert "library_book" not in connection.introspection.table_names()
