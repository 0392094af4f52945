"""Property definitions of an object type, as HubSpot's properties API shows them, and those a fresh account has.

Knows names, types and options. Must not know records, requests or what a value must look like (`values`).
"""

from __future__ import annotations

from typing import Literal

import msgspec

__all__ = [
    "Definition",
    "ModificationMetadata",
    "Option",
    "PropertyType",
    "contact_definitions",
    "meeting_definitions",
    "system_definitions",
]

PropertyType = Literal["string", "number", "bool", "date", "datetime", "enumeration"]


class Option(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One allowed value of an enumeration."""

    label: str
    value: str
    display_order: int = -1
    hidden: bool = False
    description: str = ""


class ModificationMetadata(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What may be changed about a property; `read_only_value` says that only HubSpot writes it."""

    archivable: bool = True
    read_only_definition: bool = False
    read_only_options: bool = False
    read_only_value: bool = False


class Definition(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One property of an object type."""

    name: str
    label: str
    type: PropertyType = "string"
    field_type: str = "text"
    group_name: str = "engagement"
    description: str = ""
    options: tuple[Option, ...] = ()
    display_order: int = -1
    has_unique_value: bool = False
    hidden: bool = False
    form_field: bool = False
    calculated: bool = False
    external_options: bool = False
    archived: bool = False
    hubspot_defined: bool = False
    data_sensitivity: str = "non_sensitive"
    referenced_object_type: str | None = None
    modification_metadata: ModificationMetadata = ModificationMetadata()
    created_at: str = "2020-01-01T00:00:00Z"
    updated_at: str = "2020-01-01T00:00:00Z"


_WRITABLE = ModificationMetadata(archivable=False, read_only_definition=True)
_READ_ONLY = ModificationMetadata(
    archivable=False, read_only_definition=True, read_only_options=True, read_only_value=True
)
_FIELD_TYPES: dict[str, str] = {
    "string": "text",
    "number": "number",
    "bool": "booleancheckbox",
    "date": "date",
    "datetime": "date",
    "enumeration": "select",
}

_OUTCOMES = ("SCHEDULED", "COMPLETED", "RESCHEDULED", "NO_SHOW", "CANCELED")
_LOCATION_TYPES = ("ADDRESS", "CUSTOM", "PHONE", "VCE")

_MEETING_WRITABLE: tuple[tuple[str, PropertyType, str], ...] = (
    ("hs_timestamp", "datetime", "Activity date"),
    ("hs_meeting_title", "string", "Meeting name"),
    ("hs_meeting_body", "string", "Meeting description"),
    ("hs_internal_meeting_notes", "string", "Internal meeting notes"),
    ("hs_meeting_external_url", "string", "External URL"),
    ("hs_meeting_location", "string", "Location"),
    ("hs_meeting_start_time", "datetime", "Meeting start time"),
    ("hs_meeting_end_time", "datetime", "Meeting end time"),
    ("hs_attachment_ids", "string", "Attached file ids"),
    ("hs_guest_emails", "string", "Guest emails"),
)

_MEETING_READ_ONLY: dict[PropertyType, str] = {
    "string": (
        "hs_engagement_source_id hs_body_preview hs_body_preview_html hs_meeting_source_id hs_unique_id hs_i_cal_uid"
        " hs_external_calendar_id hs_meeting_calendar_event_hash hs_meeting_change_id hs_meeting_created_from_link_id"
        " hs_booking_instance_id hs_timezone hs_video_conference_url hs_meeting_web_conference_meeting_id"
        " hs_meeting_ms_teams_payload hs_meeting_transcript hs_campaign_guid hs_product_name"
    ),
    "number": (
        "hs_outcome_scheduled_count hs_outcome_completed_count hs_outcome_rescheduled_count hs_outcome_no_show_count"
        " hs_outcome_canceled_count hs_meeting_notetaker_id hs_time_to_book_meeting_from_first_contact"
    ),
    "bool": "hs_body_preview_is_truncated hs_created_by_scheduling_page hs_include_description_in_reminder",
    "datetime": "hs_contact_first_outreach_date",
    "enumeration": "hs_engagement_source hs_meeting_source hs_at_mentioned_owner_ids hs_queue_membership_ids",
}

_SYSTEM: dict[PropertyType, str] = {
    "string": (
        "hs_object_source hs_object_source_id hs_object_source_label hs_object_source_detail_1"
        " hs_object_source_detail_2 hs_object_source_detail_3"
    ),
    "number": (
        "hs_object_id hs_object_source_user_id hs_created_by hs_created_by_user_id hs_modified_by hs_updated_by_user_id"
    ),
    "bool": "hs_gdpr_deleted hs_read_only hs_was_imported",
    "datetime": "hs_createdate hs_lastmodifieddate hubspot_owner_assigneddate",
    "enumeration": (
        "hs_merged_object_ids hs_all_owner_ids hs_all_team_ids hs_all_accessible_team_ids hs_shared_team_ids"
        " hs_all_assigned_business_unit_ids hs_user_ids_of_all_owners hs_shared_user_ids hubspot_team_id"
        " hs_user_ids_of_all_notification_followers hs_user_ids_of_all_notification_unfollowers"
    ),
}


def _label(name: str) -> str:
    return name.removeprefix("hs_").replace("_", " ").capitalize()


def _read_only(table: dict[PropertyType, str]) -> list[Definition]:
    return [
        Definition(
            name=name,
            label=_label(name),
            type=type_,
            field_type=_FIELD_TYPES[type_],
            hubspot_defined=True,
            calculated=name.endswith("_count"),
            modification_metadata=_READ_ONLY,
        )
        for type_, names in table.items()
        for name in names.split()
    ]


def _options(values: tuple[str, ...]) -> tuple[Option, ...]:
    return tuple(
        Option(label=value.replace("_", " ").capitalize(), value=value, display_order=place)
        for place, value in enumerate(values)
    )


def _owner(name: str, label: str, field_type: str) -> Definition:
    # Owners live outside the property: no options of its own, any id is taken.
    return Definition(
        name=name,
        label=label,
        type="enumeration",
        field_type=field_type,
        external_options=True,
        referenced_object_type="OWNER",
        hubspot_defined=True,
        modification_metadata=_WRITABLE,
    )


def system_definitions() -> list[Definition]:
    """What every object type has, whatever else it is."""
    unique_key = Definition(
        name="hs_unique_creation_key",
        label="Unique creation key",
        has_unique_value=True,
        hubspot_defined=True,
        modification_metadata=_READ_ONLY,
    )
    return [*_read_only(_SYSTEM), unique_key, _owner("hubspot_owner_id", "Owner", "select")]


def meeting_definitions() -> list[Definition]:
    """The meetings properties of a fresh account.

    `hs_activity_type` has no options until the account defines its meeting types, and then takes any value; see
    `values.check_for`.
    """
    plain = [
        Definition(
            name=name,
            label=label,
            type=type_,
            field_type=_FIELD_TYPES[type_],
            hubspot_defined=True,
            modification_metadata=_WRITABLE,
        )
        for name, type_, label in _MEETING_WRITABLE
    ]
    choices = [
        Definition(
            name=name,
            label=label,
            type="enumeration",
            field_type="select",
            options=_options(values),
            hubspot_defined=True,
            modification_metadata=_WRITABLE,
        )
        for name, label, values in (
            ("hs_meeting_outcome", "Meeting outcome", _OUTCOMES),
            ("hs_meeting_location_type", "Location type", _LOCATION_TYPES),
            ("hs_activity_type", "Call and meeting type", ()),
        )
    ]
    attendees = _owner("hs_attendee_owner_ids", "Attendee owners", "checkbox")
    return [*plain, *choices, attendees, *_read_only(_MEETING_READ_ONLY), *system_definitions()]


def contact_definitions() -> list[Definition]:
    """The few properties of contacts that bookings fill; an email belongs to one contact only."""
    named = [
        Definition(
            name=name,
            label=label,
            group_name="contactinformation",
            has_unique_value=name == "email",
            hubspot_defined=True,
            modification_metadata=_WRITABLE,
        )
        for name, label in (("email", "Email"), ("firstname", "First name"), ("lastname", "Last name"))
    ]
    return [*named, *system_definitions()]
