"""The URLs of the views."""

from django.urls import path

from library import views

urlpatterns = [path("books/", views.books), path("books/add/", views.add)]
