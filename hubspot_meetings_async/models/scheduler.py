"""Meeting links, free slots and bookings: what HubSpot's scheduler sends and takes.

This module knows the fields and their forms. It must not know URLs, status codes, or how anything travels. HubSpot's
schema and its samples disagree here and there, so every field that a program can do without may be missing.
Enumerations are plain strings: HubSpot adds words. Fields that end in `_ms` are HubSpot's milliseconds.

HubSpot: https://developers.hubspot.com/docs/api-reference/scheduler-meetings-v3/guide
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from msgspec import Struct, field

from .forms import Page, Received, Sent
from .tolerant import Moment, Text

__all__ = [
    "AvailabilityPage",
    "BookedField",
    "BookedMeeting",
    "BookingInformation",
    "BookingRequest",
    "Branding",
    "BusyTime",
    "ConsentCheckbox",
    "ConsentResponse",
    "DisplayInfo",
    "DurationAvailability",
    "FieldOption",
    "FormField",
    "FormValue",
    "FreeTime",
    "GuestSettings",
    "LegalConsentOptions",
    "LinkAvailability",
    "LinkPage",
    "LinkSettings",
    "LinkUpdate",
    "MeetingLink",
    "MeetingsUser",
    "MinuteRange",
    "Slot",
    "UserBusyTimes",
    "UserProfile",
    "WelcomeScreen",
]

# ---- links --------------------------------------------------------------------------------------------------------


class MeetingLink(Received, frozen=True, kw_only=True):
    """A scheduling page. `type` is `PERSONAL_LINK`, `GROUP_CALENDAR` or `ROUND_ROBIN_CALENDAR`."""

    id: Text
    slug: str
    link: str | None = None
    name: str | None = None
    type: str | None = None
    organizer_user_id: Text = ""
    user_ids_of_link_members: tuple[Text, ...] = ()
    default_link: bool | None = None
    created_at: Moment | None = None
    updated_at: Moment | None = None
    payment_link_id: Text | None = None


class LinkPage(Page[MeetingLink], frozen=True, kw_only=True):
    """One page of meeting links; `total` counts the links of all pages."""

    total: int = 0


class LinkUpdate(Sent, frozen=True, kw_only=True):
    """What can be changed about a meeting link."""

    payment_link_id: str


# ---- people and their calendars -----------------------------------------------------------------------------------


class UserProfile(Received, frozen=True, kw_only=True):
    """Who somebody is."""

    email: str | None = None
    first_name: str | None = None
    last_name: str | None = None
    full_name: str | None = None


class MeetingsUser(Received, frozen=True, kw_only=True):
    """Somebody who can be met. `id` is a number of the scheduler's own; `user_id` is the user's.

    Availability pages tell the two ids and little else. `calendar_provider` is `GOOGLE`, `OFFICE365`, `EXCHANGE` or
    `UNKNOWN`.
    """

    id: Text = ""
    user_id: Text = ""
    is_sales_starter: bool | None = None
    calendar_provider: str | None = None
    user_profile: UserProfile | None = None


class BusyTime(Received, frozen=True, kw_only=True):
    """A time that somebody is taken; never to be offered."""

    start_at: Moment = field(name="start")
    end_at: Moment = field(name="end")


class UserBusyTimes(Received, frozen=True, kw_only=True):
    """One member of a link. `busy_times` is None where HubSpot does not tell them.

    `is_offline`: this member's calendar is not connected; bookings that fall to them make no event.
    """

    is_offline: bool | None = None
    meetings_user: MeetingsUser | None = None
    busy_times: tuple[BusyTime, ...] | None = None


# ---- free times ---------------------------------------------------------------------------------------------------


class FreeTime(Received, frozen=True, kw_only=True):
    """A time that can be booked. Free times overlap: one begins at every start that the link offers."""

    start_at: Moment = field(name="startMillisUtc")
    end_at: Moment = field(name="endMillisUtc")


class DurationAvailability(Received, frozen=True, kw_only=True):
    """The free times for meetings of one length."""

    meeting_duration_ms: int | None = field(default=None, name="meetingDurationMillis")
    availabilities: tuple[FreeTime, ...] = ()


class LinkAvailability(Received, frozen=True, kw_only=True):
    """The free times of one month, by the meeting's length in milliseconds; `has_more`: later months have some, too."""

    link_availability_by_duration: dict[str, DurationAvailability] = {}
    has_more: bool | None = None


class AvailabilityPage(Received, frozen=True, kw_only=True):
    """One month of a link, counted from the current one."""

    link_availability: LinkAvailability | None = None
    all_users_busy_times: tuple[UserBusyTimes, ...] | None = None


class Slot(Struct, frozen=True, order=False):
    """A time that can be booked, in the zone that was asked for.

    `duration_s` is its real length in seconds. Across a change of the clocks `end_at - start_at` is another one:
    Python subtracts what the clocks show.
    """

    start_at: datetime
    end_at: datetime
    duration_s: float


# ---- how a link is set up -----------------------------------------------------------------------------------------


class MinuteRange(Received, frozen=True, kw_only=True):
    """Working hours of a day, in minutes after midnight."""

    start: int
    end: int


class FieldOption(Received, frozen=True, kw_only=True):
    """One choice of a form field."""

    value: Text = ""
    label: str | None = None
    description: str | None = None
    display_order: int | None = None
    double_data: float | None = None
    hidden: bool | None = None
    read_only: bool | None = None


class FormField(Received, frozen=True, kw_only=True):
    """A question of a link's form. `is_custom` ones are no properties of the contact."""

    name: str
    label: str | None = None
    type: str | None = None
    field_type: str | None = None
    is_required: bool | None = None
    is_custom: bool | None = None
    options: tuple[FieldOption, ...] | None = None


class ConsentCheckbox(Received, frozen=True, kw_only=True):
    """A consent that the form asks for."""

    communication_type_id: Text = ""
    label: str | None = None
    required: bool | None = None


class LegalConsentOptions(Received, frozen=True, kw_only=True):
    """What the form says and asks about the use of the visitor's data."""

    communication_consent_checkboxes: tuple[ConsentCheckbox, ...] | None = None
    communication_consent_text: str | None = None
    is_legitimate_interest: bool | None = None
    legitimate_interest_subscription_types: tuple[int, ...] | None = None
    legitimate_interest_legal_basis: str | None = None
    privacy_policy_text: str | None = None
    processing_consent_checkbox_label: str | None = None
    processing_consent_footer_text: str | None = None
    processing_consent_text: str | None = None
    processing_consent_type: str | None = None


class GuestSettings(Received, frozen=True, kw_only=True):
    """Whether a booking may name guests, and how many."""

    can_add_guests: bool | None = None
    max_guest_count: int | None = None


class DisplayInfo(Received, frozen=True, kw_only=True):
    """Pictures of the page."""

    avatar: str | None = None
    company_avatar: str | None = None
    headline: str | None = None
    public_display_avatar_option: str | None = None


class WelcomeScreen(Received, frozen=True, kw_only=True):
    """The first screen of the page."""

    title: str | None = None
    description: str | None = None
    logo_url: str | None = None
    use_company_logo: bool | None = None
    show_welcome_screen: bool | None = None


_INCREMENTS_S: Final = {
    "FIVE": 300.0,
    "TEN": 600.0,
    "FIFTEEN": 900.0,
    "TWENTY": 1200.0,
    "THIRTY": 1800.0,
    "FORTY_FIVE": 2700.0,
    "SIXTY": 3600.0,
    "NINETY": 5400.0,
    "ONE_HUNDRED_TWENTY": 7200.0,
}


class LinkSettings(Received, frozen=True, kw_only=True):
    """How a link is set up. `availability` maps groups of days (`MON_FRI`) to working hours; see `working_hours`."""

    availability: dict[str, tuple[MinuteRange, ...] | MinuteRange] | None = None
    durations_ms: tuple[int, ...] = field(default=(), name="durations")
    form_fields: tuple[FormField, ...] | None = None
    legal_consent_enabled: bool | None = None
    legal_consent_options: LegalConsentOptions | None = None
    meeting_buffer_time_ms: int | None = field(default=None, name="meetingBufferTime")
    owner_prioritized: bool | None = None
    start_time_increment_minutes: str | None = None
    weeks_to_advertise: int | None = None
    custom_availability_starts_at: Moment | None = field(default=None, name="customAvailabilityStartDate")
    custom_availability_ends_at: Moment | None = field(default=None, name="customAvailabilityEndDate")
    display_info: DisplayInfo | None = None
    guest_settings: GuestSettings | None = None
    language: str | None = None
    locale: str | None = None
    location: str | None = None
    redirect_url: str | None = None
    welcome_screen_info: WelcomeScreen | None = None

    @property
    def durations_s(self) -> tuple[float, ...]:
        """The lengths that can be booked, in seconds, as `book()` takes them."""
        return tuple(length / 1000 for length in self.durations_ms)

    @property
    def working_hours(self) -> dict[str, tuple[MinuteRange, ...]]:
        """Working hours by groups of days; HubSpot sends one range or a list of them."""
        found = (self.availability or {}).items()
        return {days: (hours,) if isinstance(hours, MinuteRange) else hours for days, hours in found}

    @property
    def start_increment_s(self) -> float | None:
        """Seconds between two starts; None where it is the meeting's own length, or a word not known here."""
        return _INCREMENTS_S.get(self.start_time_increment_minutes or "")

    @property
    def required_fields(self) -> tuple[str, ...]:
        """Names of the form fields that a booking must answer."""
        return tuple(question.name for question in self.form_fields or () if question.is_required)


class Branding(Received, frozen=True, kw_only=True):
    """How the page looks; HubSpot sends null for most of it."""

    logo_url: str | None = None
    logo_alt_text: str | None = None
    logo_width: int | None = None
    logo_height: int | None = None
    show_marketing_ad: bool | None = None
    show_sales_ad: bool | None = None
    primary_color: str | None = None
    secondary_color: str | None = None
    accent_color: str | None = None
    accent2_color: str | None = field(default=None, name="accent2Color")
    company_name: str | None = None
    company_domain: str | None = None
    company_address_line1: str | None = field(default=None, name="companyAddressLine1")
    company_address_line2: str | None = field(default=None, name="companyAddressLine2")
    company_city: str | None = None
    company_state: str | None = None
    company_zip: str | None = None
    company_country: str | None = None
    company_avatar: str | None = None


class BookingInformation(Received, frozen=True, kw_only=True):
    """All that a booking page shows: settings, members, looks, and the free times of the current month."""

    link_id: Text = ""
    link_type: str | None = None
    is_offline: bool | None = None
    custom_params: LinkSettings = LinkSettings()
    all_users_busy_times: tuple[UserBusyTimes, ...] | None = None
    branding_metadata: Branding | None = None
    link_availability: LinkAvailability | None = None


# ---- booking ------------------------------------------------------------------------------------------------------


class FormValue(Sent, frozen=True):
    """The answer to one question of the form."""

    name: str
    value: str


class ConsentResponse(Sent, frozen=True):
    """A consent, given or withheld."""

    communication_type_id: str
    consented: bool


class BookingRequest(Sent, frozen=True, kw_only=True):
    """What a booking asks for, as it travels. HubSpot wants the first three lists even when they are empty."""

    slug: str
    first_name: str
    last_name: str
    email: str
    start_ms: int = field(name="startTime")
    duration_ms: int = field(name="duration")
    form_fields: tuple[FormValue, ...]
    legal_consent_responses: tuple[ConsentResponse, ...]
    likely_available_user_ids: tuple[str, ...]
    guest_emails: tuple[str, ...] = ()
    timezone: str | None = None
    locale: str | None = None


class BookedField(Received, frozen=True, kw_only=True):
    """An answer of the form as HubSpot keeps it. Loosely typed: it must not make the booking around it unreadable."""

    name: Any = None
    label: Any = None
    value: Any = None
    is_custom: Any = None
    field_type: Any = None
    translated_label: Any = None
    value_label: Any = None


class BookedMeeting(Received, frozen=True, kw_only=True):
    """A booking that HubSpot made. Members that HubSpot left out are None.

    `contact_id` is the contact that the visitor became or was. `duration_s` is the meeting's length in seconds.
    """

    calendar_event_id: Text | None = None
    start_at: Moment | None = field(default=None, name="start")
    end_at: Moment | None = field(default=None, name="end")
    duration_ms: int | None = field(default=None, name="duration")
    contact_id: Text | None = None
    booking_timezone: str | None = None
    locale: str | None = None
    guest_emails: tuple[Text, ...] | None = None
    subject: str | None = None
    location: str | None = None
    is_offline: bool | None = None
    form_fields: tuple[BookedField, ...] | None = None
    legal_consent_responses: Any = None
    web_conference_meeting_id: Text | None = None
    web_conference_url: str | None = None

    @property
    def duration_s(self) -> float | None:
        """The meeting's length in seconds."""
        return None if self.duration_ms is None else self.duration_ms / 1000
