"""The endpoints for property definitions: `/crm/v3/properties/meetings` and its dated twins.

Must not know HTTP beyond a `Call` and its `Answer`.
"""

from __future__ import annotations

import re

import msgspec

from .bodies import decoder, parse
from .calls import Answer, Call, crm_of
from .definitions import Definition, Option, PropertyType
from .portal import Portal
from .refusals import Refusal, validation
from .times import iso

__all__ = ["create", "get", "list_all"]

_NAME = re.compile(r"[a-z][a-z0-9_]*")


class NewProperty(msgspec.Struct, rename="camel"):
    """The body of a create."""

    name: str
    label: str
    type: PropertyType
    field_type: str
    group_name: str
    description: str = ""
    options: list[Option] = []
    has_unique_value: bool = False
    hidden: bool = False
    form_field: bool = False
    display_order: int = -1


_new = decoder(NewProperty)


def list_all(portal: Portal, call: Call) -> Answer:
    """`GET /properties/{objectType}`."""
    archived = call.flag("archived")
    return Answer(200, {"results": [known for known in crm_of(portal, call).book if known.archived is archived]})


def get(portal: Portal, call: Call) -> Answer:
    """`GET /properties/{objectType}/{name}`."""
    crm = crm_of(portal, call)
    name = call.captures["name"]
    known = crm.book.get(name)
    if known is None:
        raise Refusal(404, f'Property "{name}" does not exist', category="OBJECT_NOT_FOUND")
    return Answer(200, known)


def create(portal: Portal, call: Call) -> Answer:
    """`POST /properties/{objectType}`: a custom property, unique if asked, which can not be changed later."""
    crm = crm_of(portal, call)
    given = parse(_new, call.body)
    if not _NAME.fullmatch(given.name) or len(given.name) > 100:
        raise validation(
            f"Property name {given.name!r} must start with a lower-case letter and hold only lower-case letters,"
            " digits and underscores"
        )
    if given.name.startswith("hs_"):
        raise validation(f"Property name {given.name!r} must not start with hs_")
    if given.has_unique_value and given.type not in ("string", "number"):
        raise validation(f"A property of type {given.type} can not have unique values")
    now = iso(call.now_ms, portal.behaviour.always_milliseconds)
    definition = Definition(
        name=given.name,
        label=given.label,
        type=given.type,
        field_type=given.field_type,
        group_name=given.group_name,
        description=given.description,
        options=tuple(given.options),
        has_unique_value=given.has_unique_value,
        hidden=given.hidden,
        form_field=given.form_field,
        display_order=given.display_order,
        created_at=now,
        updated_at=now,
    )
    return Answer(201, portal.define(crm, definition))
