"""Errors as problem+json (RFC 9457): the status, a sentence, and the invalid fields."""

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
    """An HTTP error that explains the client's mistake."""

    def __init__(self, code: int, detail: str, fields: dict[str, str] | None = None) -> None:
        """Create the error.

        Args:
            code: the HTTP status.
            detail: what went wrong, in one sentence.
            fields: the invalid fields, each with what is wrong with it.

        """
        super().__init__(detail)
        self.code = code
        self.fields = fields or {}


def found(row: T | None, what: str) -> T:
    """Return the row, or answer 404 if it is None."""
    if row is None:
        raise Problem(404, f"There is no such {what}.")
    return row


def allow(condition: object, detail: str) -> None:
    """Answer 403 unless the condition is true."""
    if not condition:
        raise Problem(403, detail)


def init_app(app: Flask) -> None:
    """Answer every error as problem+json."""
    app.register_error_handler(HTTPException, answer)
    app.register_error_handler(ValidationError, answer_invalid)
    app.register_error_handler(IntegrityError, answer_integrity)


def answer(error: HTTPException) -> Response:
    """Answer an HTTP error, and keep its own headers, such as Allow."""
    response = error.get_response()
    if response.status_code < HTTPStatus.BAD_REQUEST:  # a redirect is not an error
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
    """Answer 400 with the name of each field that pydantic rejected."""
    fields = {
        ".".join(str(part) for part in item["loc"]) or "body": item["msg"]
        for item in error.errors()
    }
    return answer(Problem(400, "The request is not valid.", fields))


def answer_integrity(error: IntegrityError) -> Response:
    """Answer 409 or 400 when a constraint rejects a row.

    The service does not look for the row first: another request could insert it after the check.
    """
    cause = error.__context__
    if isinstance(cause, postgres.UniqueViolation):
        return answer(Problem(409, "A row with this value already exists.", taken_field(cause)))
    if isinstance(cause, postgres.ForeignKeyViolation):
        return answer(Problem(409, "Other rows still refer to this row."))
    if isinstance(cause, postgres.CheckViolation):
        name = cause.diag.constraint_name
        return answer(Problem(400, f"The row violates the constraint {name}."))
    raise error


def taken_field(violation: postgres.UniqueViolation) -> dict[str, str]:
    """Return the field of a unique constraint, which PostgreSQL names <table>_<field>_key."""
    constraint = violation.diag.constraint_name or ""
    if not constraint.endswith("_key"):
        return {}
    field = constraint.removeprefix(f"{violation.diag.table_name}_").removesuffix("_key")
    return {field: "is taken"}
