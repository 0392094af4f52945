"""A meeting as a line of JSON, in HubSpot's own shape and nothing lost: what files are written from.

This module knows the shape. It must not know files or databases.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

import msgspec
from msgspec import Struct

from ..models import AssociatedId, Meeting, PlainProperties
from .store import number_of

__all__ = ["Line", "Linked", "line_of", "read_line", "write_line"]


class Linked(Struct, frozen=True):
    """The associated records of one object type, all of them."""

    results: tuple[AssociatedId, ...] = ()


class Line(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A meeting; `associations` by the plural name of the other object, where the copy has them."""

    id: str
    properties: PlainProperties
    created_at: datetime | None = None
    updated_at: datetime | None = None
    archived: bool
    archived_at: datetime | None = None
    associations: dict[str, Linked] | None = None


def line_of(meeting: Meeting, links_before: dict[str, Linked] | None = None) -> Line:
    """The line of a meeting; `links_before` are those of an archived one, of which HubSpot tells none any more.

    Raises: UnexpectedResponse for a link to a record whose id is no number.
    """
    links = links_before
    if meeting.associations is not None:
        links = {name: Linked(found.results) for name, found in meeting.associations.items()}
        for linked in links.values():
            for record in linked.results:
                number_of(record.id)
    return Line(
        id=meeting.id,
        properties=meeting.properties,
        created_at=meeting.created_at,
        updated_at=meeting.updated_at,
        archived=meeting.archived,
        archived_at=meeting.archived_at,
        associations=links,
    )


write_line: Final = msgspec.json.Encoder().encode
read_line: Final = msgspec.json.Decoder(Line).decode
