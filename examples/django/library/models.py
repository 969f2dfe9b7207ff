"""The models: books and genres."""

from django.db import models
from django.dispatch import Signal

book_added = Signal()  # sent with the title, after the commit


class Genre(models.Model):
    """A kind of book; the migrations add some."""

    name = models.CharField(max_length=50, unique=True)

    def __str__(self):
        return self.name


class Book(models.Model):
    """A book in the library."""

    title = models.CharField(max_length=200, unique=True)
    genre = models.ForeignKey(Genre, on_delete=models.CASCADE)

    def __str__(self):
        return self.title
