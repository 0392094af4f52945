"""The meetings object: what a meeting is when it is read, and what can be written.

This module knows the fields and their forms. It must not know URLs, status codes, or how anything travels.
Property keys stay as HubSpot spells them; all other names are HubSpot's in snake case. "Not given" is `UNSET`;
`None` is HubSpot's null. Fields that HubSpot adds later are ignored on purpose.

HubSpot: https://developers.hubspot.com/docs/api-reference/crm-meetings-v3/guide
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import datetime
from enum import StrEnum
from typing import Any, Generic, cast

from msgspec import UNSET, Struct, UnsetType

from ..errors import InvalidRecord
from .forms import Paging, Received, Sent
from .values import kind_of

if sys.version_info >= (3, 13):
    from typing import TypeVar
else:
    from typing_extensions import TypeVar

__all__ = [
    "AssociatedId",
    "AssociatedIds",
    "Association",
    "AssociationType",
    "LocationType",
    "Meeting",
    "MeetingOutcome",
    "MeetingProperties",
    "Notice",
    "ObjectId",
    "PropertyVersion",
    "UpsertedMeeting",
    "to_company",
    "to_contact",
    "to_deal",
    "to_ticket",
]

P = TypeVar("P", default=dict[str, str | None])

# ---- what goes out ------------------------------------------------------------------------------------------------


class ObjectId(Sent, frozen=True):
    """The id of a record: a string of digits on the wire."""

    id: str


class AssociationType(Sent, frozen=True):
    """Which kind of link: HubSpot's number for the type, in the direction *meeting → other*, and its category.

    Categories: `HUBSPOT_DEFINED`, `USER_DEFINED`, `INTEGRATOR_DEFINED`, `WORK`.
    """

    association_category: str
    association_type_id: int


class Association(Sent, frozen=True):
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
    shown = repr(object_id[:40]) if isinstance(object_id, str) else kind_of(object_id)
    raise InvalidRecord(f"a {object_type} id is a number, not {shown}")


# HubSpot: https://developers.hubspot.com/docs/api-reference/crm-associations-v4/guide (association type ids)
to_contact = _maker("contact", 200)
to_company = _maker("company", 188)
to_deal = _maker("deal", 212)
to_ticket = _maker("ticket", 226)


class MeetingOutcome(StrEnum):
    """HubSpot's own values of `hs_meeting_outcome`; an account may have more."""

    SCHEDULED = "SCHEDULED"
    COMPLETED = "COMPLETED"
    RESCHEDULED = "RESCHEDULED"
    NO_SHOW = "NO_SHOW"
    CANCELED = "CANCELED"


class LocationType(StrEnum):
    """HubSpot's own values of `hs_meeting_location_type`; others, such as `VCE`, are seen too."""

    ADDRESS = "ADDRESS"
    CUSTOM = "CUSTOM"
    PHONE = "PHONE"


class MeetingProperties(Struct, kw_only=True, omit_defaults=True):
    """The documented properties of a meeting that can be written, typed.

    Subclass it with the account's own properties, each with the default `UNSET`.
    A field left `UNSET` is not sent; `None` and `""` clear it. Datetimes must be aware; they travel as UTC with
    milliseconds. Enumerations take a string too, since accounts add values of their own. Tuples travel joined by `;`.

    HubSpot: https://developers.hubspot.com/docs/api-reference/crm-meetings-v3/guide (properties)
    """

    hs_timestamp: datetime | UnsetType | None = UNSET
    hs_meeting_title: str | UnsetType | None = UNSET
    hubspot_owner_id: str | UnsetType | None = UNSET
    hs_meeting_body: str | UnsetType | None = UNSET
    hs_internal_meeting_notes: str | UnsetType | None = UNSET
    hs_meeting_external_url: str | UnsetType | None = UNSET
    hs_meeting_location: str | UnsetType | None = UNSET
    hs_meeting_location_type: LocationType | str | UnsetType | None = UNSET
    hs_meeting_start_time: datetime | UnsetType | None = UNSET
    hs_meeting_end_time: datetime | UnsetType | None = UNSET
    hs_meeting_outcome: MeetingOutcome | str | UnsetType | None = UNSET
    hs_activity_type: str | UnsetType | None = UNSET
    hs_attachment_ids: tuple[str, ...] | UnsetType | None = UNSET
    hs_attendee_owner_ids: tuple[str, ...] | UnsetType | None = UNSET
    hs_guest_emails: tuple[str, ...] | UnsetType | None = UNSET


# ---- what comes back ----------------------------------------------------------------------------------------------


class AssociatedId(Received, frozen=True, kw_only=True):
    """An associated record; `type` is the association's name, for example `meeting_event_to_contact`."""

    id: str
    type: str = ""


class AssociatedIds(Received, frozen=True, kw_only=True):
    """The first associated records of one object type; more may be behind `paging`."""

    results: tuple[AssociatedId, ...] = ()
    paging: Paging | None = None


class PropertyVersion(Received, frozen=True, kw_only=True):
    """One former value of a property, newest first in its list."""

    value: str | None = None
    timestamp: datetime | None = None
    source_type: str | None = None
    source_id: str | None = None
    source_label: str | None = None
    updated_by_user_id: int | None = None


class Notice(Received, frozen=True, kw_only=True):
    """An entry of a record's `warnings`. Loosely typed: a notice must not make the record beside it unreadable."""

    category: str | None = None
    message: str | None = None
    context: Any = None


class Meeting(Received, Generic[P], frozen=True, kw_only=True):
    """A meeting as HubSpot knows it.

    `properties` maps names to strings or None, as HubSpot sends them; where a call was given `into=MyMeeting`, it is a
    `MyMeeting` (and the meeting a `Meeting[MyMeeting]`). `associations` (by plural object name) and
    `properties_with_history` are there only when the request asked for them. `archived_at` is set on archived ones.
    """

    id: str
    properties: P = cast("Any", {})
    created_at: datetime | None = None
    updated_at: datetime | None = None
    archived: bool = False
    archived_at: datetime | None = None
    associations: dict[str, AssociatedIds] | None = None
    properties_with_history: dict[str, tuple[PropertyVersion, ...]] | None = None
    object_write_trace_id: str | None = None
    url: str | None = None
    warnings: tuple[Notice, ...] = ()


class UpsertedMeeting(Meeting[P], Generic[P], frozen=True, kw_only=True):
    """A meeting as an upsert answers it: `new` tells whether it was created (None: HubSpot did not say)."""

    new: bool | None = None
