"""Errors as problem+json (RFC 9457): the status, what went wrong, and the fields to blame."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING, TypeVar

from peewee import IntegrityError
from psycopg2 import errors as postgres
from pydantic import ValidationError
from werkzeug.exceptions import HTTPException

if TYPE_CHECKING:
    from flask import Flask
    from werkzeug.wrappers import Response

T = TypeVar("T")


class Problem(HTTPException):
    """An answer that tells the client what it did wrong."""

    def __init__(self, code: int, detail: str, fields: dict[str, str] | None = None) -> None:
        """Make the answer.

        Args:
            code: the HTTP status.
            detail: what went wrong, in a sentence.
            fields: what is wrong with each field to blame.

        """
        super().__init__(detail)
        self.code = code
        self.fields = fields or {}


def found(row: T | None, what: str) -> T:
    """Give the row, or answer 404."""
    if row is None:
        raise Problem(404, f"There is no such {what}.")
    return row


def allow(condition: object, detail: str) -> None:
    """Answer 403 unless the condition holds."""
    if not condition:
        raise Problem(403, detail)


def init_app(app: Flask) -> None:
    """Answer every error as problem+json."""
    app.register_error_handler(HTTPException, answer)
    app.register_error_handler(ValidationError, answer_invalid)
    app.register_error_handler(IntegrityError, answer_integrity)


def answer(error: HTTPException) -> Response:
    """Answer an HTTP error; its own headers, such as Allow, are kept."""
    response = error.get_response()
    if response.status_code < HTTPStatus.BAD_REQUEST:  # a redirect is no error
        return response
    problem: dict[str, object] = {
        "type": "about:blank",
        "title": error.name,
        "status": response.status_code,
        "detail": error.description,
    }
    if isinstance(error, Problem) and error.fields:
        problem["fields"] = error.fields
    response.data = json.dumps(problem)
    response.content_type = "application/problem+json"
    return response


def answer_invalid(error: ValidationError) -> Response:
    """Answer 400 to what pydantic refused, with each field by its name."""
    fields = {
        ".".join(str(part) for part in item["loc"]) or "body": item["msg"]
        for item in error.errors()
    }
    return answer(Problem(400, "The request is not valid.", fields))


def answer_integrity(error: IntegrityError) -> Response:
    """Answer 409 or 400 to what a constraint refused.

    The constraint decides, not a look beforehand: between look and insert another could insert.
    """
    cause = error.__context__
    if isinstance(cause, postgres.UniqueViolation):
        return answer(Problem(409, "There is one already.", taken_field(cause)))
    if isinstance(cause, postgres.ForeignKeyViolation):
        return answer(Problem(409, "It is still in use."))
    if isinstance(cause, postgres.CheckViolation):
        return answer(Problem(400, f"{cause.diag.constraint_name} refuses it."))
    raise error


def taken_field(violation: postgres.UniqueViolation) -> dict[str, str]:
    """Name the field of a unique constraint, which PostgreSQL calls <table>_<field>_key."""
    constraint = violation.diag.constraint_name or ""
    if not constraint.endswith("_key"):
        return {}
    field = constraint.removeprefix(f"{violation.diag.table_name}_").removesuffix("_key")
    return {field: "is taken"}
