"""The worked example: a service for the users, roles, teams and tasks of a small company."""

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
    """Create the service.

    ``DATABASE_URL`` comes from ``config``, or else from the environment.
    The models share one database. A second call connects them to the database of the new service.

    Raises:
        app.db.DatabaseURLError: ``DATABASE_URL`` is missing, or is not a PostgreSQL URL.

    """
    app = Flask(__name__, static_folder=None)
    app.config["DATABASE_URL"] = os.environ.get("DATABASE_URL")
    app.config.from_mapping(config)
    db.init_app(app)
    errors.init_app(app)
    for feature in (users, roles, teams, invitations, tasks, claims, comments, search, audit):
        app.register_blueprint(feature.blueprint)
    return app
