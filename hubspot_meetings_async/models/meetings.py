"""The meetings object: what a meeting is when it is read, and what can be written.

This module knows the fields and their forms. It must not know URLs, status codes, or how anything travels.
Property keys stay as HubSpot spells them; all other names are HubSpot's in snake case. "Not given" is `UNSET`;
`None` is HubSpot's null. Fields that HubSpot adds later are ignored on purpose.

HubSpot: https://developers.hubspot.com/docs/api-reference/crm-meetings-v3/guide
"""

from __future__ import annotations

import sys
from datetime import datetime
from enum import StrEnum
from typing import Any, Generic, cast

from msgspec import UNSET, Struct, UnsetType

from .associations import AssociatedIds
from .forms import Received

if sys.version_info >= (3, 13):
    from typing import TypeVar
else:
    from typing_extensions import TypeVar

__all__ = [
    "LocationType",
    "Meeting",
    "MeetingOutcome",
    "MeetingProperties",
    "Notice",
    "PlainProperties",
    "PropertyVersion",
    "UpsertedMeeting",
]

PlainProperties = dict[str, str | None]
"""Properties as HubSpot sends them: strings, and None for no value."""

P = TypeVar("P", default=PlainProperties)

# ---- what goes out ------------------------------------------------------------------------------------------------


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


class Meeting(Received, Generic[P], frozen=True, kw_only=True, gc=False):
    """A meeting as HubSpot knows it.

    `properties` maps names to strings or None, as HubSpot sends them; where a call was given `into=MyMeeting`, it is a
    `MyMeeting` (and the meeting a `Meeting[MyMeeting]`). `associations` (by plural object name) and
    `properties_with_history` are there only when the request asked for them. `archived_at` is set on archived ones.
    """

    # `gc=False`: what JSON holds makes no circles; of a million meetings kept, the collector need not look at one.

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
