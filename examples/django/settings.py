"""Django's settings. The variable DATABASE_URL names the database."""

import os

import dj_database_url

SECRET_KEY = os.environ.get("SECRET_KEY", "for development only")
ALLOWED_HOSTS = ["localhost"]
ROOT_URLCONF = "library.urls"
STATIC_URL = "static/"
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "library"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

DATABASES = {"default": dj_database_url.config(default="postgresql:///bookshelf")}
DATABASES["default"]["OPTIONS"] = {"pool": {"min_size": 0, "max_size": 4}}
