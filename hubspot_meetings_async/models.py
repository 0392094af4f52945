"""Everything HubSpot sends or takes about meetings, as msgspec Structs.

This module knows the fields and their forms. It must not know URLs, status codes, or how anything travels.
Property keys stay as HubSpot spells them; all other names are HubSpot's in snake case. "Not given" is `UNSET`;
`None` is HubSpot's null. Fields that HubSpot adds later are ignored on purpose.

HubSpot: https://developers.hubspot.com/docs/api-reference/crm-meetings-v3/guide
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime
from enum import Enum
from typing import Any, Generic, TypeVar, cast

from msgspec import UNSET, Struct, UnsetType

from .errors import InvalidRecord

__all__ = [
    "AssociatedId",
    "AssociatedIds",
    "Association",
    "AssociationType",
    "BatchError",
    "BatchResponse",
    "Meeting",
    "MeetingProperties",
    "NextPage",
    "Notice",
    "ObjectId",
    "Page",
    "Paging",
    "PropertyValue",
    "PropertyVersion",
    "UpsertedMeeting",
    "property_values",
    "to_company",
    "to_contact",
    "to_deal",
    "to_ticket",
]

T = TypeVar("T")

PropertyValue = str | int | float | bool | datetime | date | Enum | None
"""What one property of a plain dict may hold. Datetimes must be aware; `None` and `""` both clear a property."""


class _Sent(Struct, frozen=True, rename="camel", omit_defaults=True):
    """What goes to HubSpot: camelCase, and nothing that was not given."""


class _Received(Struct, frozen=True, rename="camel", kw_only=True):
    """What comes from HubSpot: camelCase, unknown fields ignored."""


# ---- what goes out ------------------------------------------------------------------------------------------------


class ObjectId(_Sent, frozen=True):
    """The id of a record: a string of digits on the wire."""

    id: str


class AssociationType(_Sent, frozen=True):
    """Which kind of link: HubSpot's number for the type, in the direction *meeting → other*, and its category.

    Categories: `HUBSPOT_DEFINED`, `USER_DEFINED`, `INTEGRATOR_DEFINED`, `WORK`.
    """

    association_category: str
    association_type_id: int


class Association(_Sent, frozen=True):
    """One record that a new meeting is linked to, and by which types. `to_contact(101)` makes the usual one."""

    to: ObjectId
    types: tuple[AssociationType, ...]


def _maker(object_type: str, type_id: int) -> Callable[[str | int], Association]:
    types = (AssociationType("HUBSPOT_DEFINED", type_id),)

    def make(object_id: str | int) -> Association:
        return Association(ObjectId(_id_text(object_type, object_id)), types)

    make.__name__ = make.__qualname__ = f"to_{object_type}"
    make.__doc__ = f"Link a new meeting to the {object_type} with this id (HubSpot's association type {type_id})."
    return make


def _id_text(object_type: str, object_id: object) -> str:
    if isinstance(object_id, int) and not isinstance(object_id, bool) and 0 <= object_id < 10**20:
        return str(object_id)
    if isinstance(object_id, str) and object_id.isascii() and object_id.isdigit() and len(object_id) <= 20:
        return object_id
    shown = repr(object_id[:40]) if isinstance(object_id, str) else _kind(object_id)
    raise InvalidRecord(f"a {object_type} id is a number, not {shown}")


# HubSpot: https://developers.hubspot.com/docs/api-reference/crm-associations-v4/guide (association type ids)
to_contact = _maker("contact", 200)
to_company = _maker("company", 188)
to_deal = _maker("deal", 212)
to_ticket = _maker("ticket", 226)


class MeetingProperties(Struct, kw_only=True, omit_defaults=True):
    """The documented properties of a meeting that can be written, typed.

    Subclass it with the account's own properties, each with the default `UNSET`.
    A field left `UNSET` is not sent; `None` and `""` clear it. Datetimes must be aware; they travel as UTC with
    milliseconds. Enumerations take a string too, since accounts add values of their own. Tuples travel joined by `;`.

    HubSpot: https://developers.hubspot.com/docs/api-reference/crm-meetings-v3/guide (properties)
    """

    hs_timestamp: datetime | UnsetType | None = UNSET
    hs_meeting_title: str | UnsetType | None = UNSET
    hubspot_owner_id: str | int | UnsetType | None = UNSET
    hs_meeting_body: str | UnsetType | None = UNSET
    hs_internal_meeting_notes: str | UnsetType | None = UNSET
    hs_meeting_external_url: str | UnsetType | None = UNSET
    hs_meeting_location: str | UnsetType | None = UNSET
    hs_meeting_location_type: str | UnsetType | None = UNSET
    hs_meeting_start_time: datetime | UnsetType | None = UNSET
    hs_meeting_end_time: datetime | UnsetType | None = UNSET
    hs_meeting_outcome: str | UnsetType | None = UNSET
    hs_activity_type: str | UnsetType | None = UNSET
    hs_attachment_ids: tuple[str, ...] | UnsetType | None = UNSET
    hs_attendee_owner_ids: tuple[str, ...] | UnsetType | None = UNSET
    hs_guest_emails: tuple[str, ...] | UnsetType | None = UNSET


def property_values(properties: Mapping[str, Any] | Struct) -> Mapping[str, Any]:
    """`properties` in the form HubSpot takes: a mapping of strings, numbers, booleans and None.

    A mapping that is in that form already is handed back untouched, not copied.

    Raises: InvalidRecord naming the property, for a naive datetime, NaN, or a type that JSON or HubSpot does not know.
    """
    if isinstance(properties, Struct):
        # The encoded names: a subclass may call a field what it likes, with `msgspec.field(name=…)`.
        fields = zip(properties.__struct_encode_fields__, properties.__struct_fields__, strict=True)
        given = ((name, getattr(properties, field)) for name, field in fields)
        return {name: _plain(name, value) for name, value in given if value is not UNSET}
    if not isinstance(properties, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidRecord(f"properties are a mapping or a Struct, not {_kind(properties)}")
    try:
        # One pass in C settles the ordinary case: join refuses anything that is no string.
        "".join(properties.values())
    except TypeError:
        return {name: _plain(name, value) for name, value in properties.items() if value is not UNSET}
    return properties


def _kind(value: object) -> str:
    return "None" if value is None else f"a {type(value).__name__}"


def _plain(name: str, value: object) -> str | int | float | bool | None:
    if isinstance(value, Enum):  # before str: a StrEnum is both
        return _plain(name, value.value)
    if value is None or isinstance(value, (str, int)):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise InvalidRecord(f"property {name!r} is {value}, which JSON can not say; leave it out or send None")
        return value
    if isinstance(value, datetime):
        if value.utcoffset() is None:
            raise InvalidRecord(f"property {name!r} is a datetime without a time zone; give it one, e.g. tzinfo=UTC")
        try:
            value = value.astimezone(UTC)
        except OverflowError:
            raise InvalidRecord(f"property {name!r} is {value.isoformat()}, which has no form in UTC") from None
        return value.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, (tuple, list, set, frozenset)):
        return ";".join(_listed(name, item) for item in cast("Iterable[object]", value))
    raise InvalidRecord(
        f"property {name!r} is a {type(value).__name__}; HubSpot takes strings, numbers, booleans, dates and None"
    )


def _listed(name: str, item: object) -> str:
    """One item of a multiple value."""
    if item is None or isinstance(item, bool):
        # As text they would read "None" and "True", which no option of HubSpot's is called.
        raise InvalidRecord(f"property {name!r} is a list that holds {item}; leave it out, or write it as a string")
    return str(_plain(name, item))


# ---- what comes back ----------------------------------------------------------------------------------------------


class NextPage(_Received, frozen=True, kw_only=True):
    """Where the next page begins. `after` is opaque; the `link` that HubSpot adds is never followed."""

    after: str


class Paging(_Received, frozen=True, kw_only=True):
    """The `paging` member of a list answer; absent on the last page."""

    next: NextPage | None = None


class Page(_Received, Generic[T], frozen=True, kw_only=True):
    """One page of a list."""

    results: tuple[T, ...]
    paging: Paging | None = None

    @property
    def after(self) -> str | None:
        """The cursor of the next page, or None on the last one."""
        return self.paging.next.after if self.paging is not None and self.paging.next is not None else None


class AssociatedId(_Received, frozen=True, kw_only=True):
    """An associated record; `type` is the association's name, for example `meeting_event_to_contact`."""

    id: str
    type: str = ""


class AssociatedIds(_Received, frozen=True, kw_only=True):
    """The first associated records of one object type; more may be behind `paging`."""

    results: tuple[AssociatedId, ...] = ()
    paging: Paging | None = None


class PropertyVersion(_Received, frozen=True, kw_only=True):
    """One former value of a property, newest first in its list."""

    value: str | None = None
    timestamp: datetime | None = None
    source_type: str | None = None
    source_id: str | None = None
    source_label: str | None = None
    updated_by_user_id: int | None = None


class Notice(_Received, frozen=True, kw_only=True):
    """An entry of a record's `warnings`. Loosely typed: a notice must not make the record beside it unreadable."""

    category: str | None = None
    message: str | None = None
    context: Any = None


class Meeting(_Received, frozen=True, kw_only=True):
    """A meeting as HubSpot knows it.

    `properties` maps names to strings or None, as HubSpot sends them. `associations` (by plural object name) and
    `properties_with_history` are there only when the request asked for them. `archived_at` is set on archived ones.
    """

    id: str
    properties: dict[str, str | None] = {}
    created_at: datetime | None = None
    updated_at: datetime | None = None
    archived: bool = False
    archived_at: datetime | None = None
    associations: dict[str, AssociatedIds] | None = None
    properties_with_history: dict[str, tuple[PropertyVersion, ...]] | None = None
    object_write_trace_id: str | None = None
    url: str | None = None
    warnings: tuple[Notice, ...] = ()


class UpsertedMeeting(Meeting, frozen=True, kw_only=True):
    """A meeting as an upsert answers it: `new` tells whether it was created (None: HubSpot did not say)."""

    new: bool | None = None


class BatchError(_Received, frozen=True, kw_only=True):
    """One entry of `errors` in a batch answer. Every field is optional; `context` ties it to the inputs.

    Loosely typed: an odd entry must not make the results beside it unreadable.
    """

    status: Any = None
    category: str | None = None
    sub_category: Any = None
    message: str | None = None
    context: Any = None
    errors: Any = None
    id: Any = None


class BatchResponse(_Received, Generic[T], frozen=True, kw_only=True):
    """The answer of a batch call, 200, 201 and 207 alike.

    `results` come in no promised order and may be fewer than the inputs; `errors` name inputs by their ids or trace
    ids. What neither names is unknown. `status` is `COMPLETE` in all answers seen.
    """

    status: str
    results: tuple[T, ...]
    num_errors: int | None = None
    errors: tuple[BatchError, ...] = ()
    started_at: datetime | None = None
    completed_at: datetime | None = None
