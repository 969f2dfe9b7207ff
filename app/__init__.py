"""The worked example: a service for users, roles, teams and tasks, as a small company runs it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from flask import Flask

from app import (
    audit,
    claims,
    comments,
    db,
    errors,
    invitations,
    roles,
    search,
    tasks,
    teams,
    users,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["create_app"]


def create_app(config: Mapping[str, object] | None = None) -> Flask:
    """Make the service.

    ``DATABASE_URL`` is taken from ``config``, else from the environment.
    Peewee's models are bound to one database, so the application made last decides which.

    Raises:
        app.db.DatabaseURLError: there is no ``DATABASE_URL``, or it is not PostgreSQL's.

    """
    app = Flask(__name__, static_folder=None)
    app.config["DATABASE_URL"] = os.environ.get("DATABASE_URL")
    app.config.from_mapping(config)
    db.init_app(app)
    errors.init_app(app)
    for feature in (users, roles, teams, invitations, tasks, claims, comments, search, audit):
        app.register_blueprint(feature.blueprint)
    return app
