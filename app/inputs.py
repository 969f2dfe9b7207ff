"""Input from requests: pydantic models validate the body and the query string."""

from __future__ import annotations

from typing import Annotated, TypeVar

from flask import request
from pydantic import BaseModel, ConfigDict, StringConstraints

# PostgreSQL's text cannot contain NUL. Check for it here, where the error can name the field.
WITHOUT_NUL = r"^[^\x00]*$"
Name = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=80, pattern=WITHOUT_NUL),
]
Text = Annotated[str, StringConstraints(max_length=10_000, pattern=WITHOUT_NUL)]
Email = Annotated[
    str,
    StringConstraints(
        strip_whitespace=True, max_length=254, pattern=r"^[^@\s\x00]+@[^@\s\x00]+\.[^@\s\x00]+$"
    ),
]


class Strict(BaseModel):
    """A model that rejects unknown fields, so that a typing mistake causes an error."""

    model_config = ConfigDict(extra="forbid")


M = TypeVar("M", bound=Strict)


def read_body(model: type[M]) -> M:
    """Return the JSON body of the request."""
    return model.model_validate(request.get_json())


def read_query(model: type[M]) -> M:
    """Return the query parameters of the request."""
    return model.model_validate(request.args.to_dict())
