"""The views: list the books, add a book."""

from functools import partial

from django.db import transaction
from django.http import HttpResponse, JsonResponse
from django.views.decorators.http import require_GET, require_POST

from library.models import Book, Genre, book_added


@require_GET
def books(request):
    """List the titles of all books."""
    titles = Book.objects.order_by("title").values_list("title", flat=True)
    return JsonResponse({"books": list(titles)})


@require_POST
@transaction.atomic
def add(request):
    """Add a book, and send a signal after the commit."""
    genre = Genre.objects.get(name=request.POST["genre"])
    book = Book.objects.create(title=request.POST["title"], genre=genre)
    transaction.on_commit(partial(book_added.send, Book, title=book.title))
    return HttpResponse(status=201)
