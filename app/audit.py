"""The audit trail: who changed which row. The database's triggers write it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from flask import Blueprint

from app.auth import acting_admin
from app.inputs import read_query
from app.models import AuditEntry
from app.pagination import PageQuery, page

if TYPE_CHECKING:
    from flask.typing import ResponseReturnValue

blueprint = Blueprint("audit", __name__)


class AuditQuery(PageQuery):
    """The query parameters of the audit trail."""

    table: Literal["user", "team", "task"] | None = None


@blueprint.get("/audit")
def list_entries() -> ResponseReturnValue:
    """List the changes, oldest first."""
    acting_admin()
    wanted = read_query(AuditQuery)
    entries = AuditEntry.select()
    if wanted.table is not None:
        entries = entries.where(AuditEntry.table_name == wanted.table)
    return page(entries, (AuditEntry.id,), wanted)
