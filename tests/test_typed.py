"""Typed properties: from HubSpot's strings into a Struct of the user's, and back without a loss."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET, UnsetType

from hubspot_meetings_async.errors import ConfigurationError, UnexpectedResponse
from hubspot_meetings_async.models import (
    LocationType,
    Meeting,
    MeetingOutcome,
    MeetingProperties,
    property_names,
    property_values,
    read_as,
    read_properties,
)


class Tier(Enum):
    GOLD = "gold"
    TIN = "tin"


class Booking(MeetingProperties, kw_only=True):
    booking_ref: str | UnsetType | None = UNSET
    seats: int | UnsetType | None = UNSET
    price: Decimal | None = None
    rating: float = 0.0
    vip: bool | UnsetType | None = UNSET
    day: date | UnsetType | None = UNSET
    tier: Tier | UnsetType | None = UNSET
    room: Literal["red", "blue"] | None = None
    codes: list[int] | UnsetType | None = UNSET
    tags: frozenset[str] = frozenset()
    seat_name: str | UnsetType = msgspec.field(default=UNSET, name="seat name")
    anything: Any = None


NINE = datetime(2026, 11, 23, 9, tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "text", "attribute", "value"),
    [
        ("hs_timestamp", "2026-11-23T09:00:00Z", "hs_timestamp", NINE),
        ("hs_timestamp", "2026-11-23T09:00:00.500Z", "hs_timestamp", NINE + timedelta(milliseconds=500)),
        ("hs_timestamp", "1795424400000", "hs_timestamp", NINE),
        ("hs_timestamp", "", "hs_timestamp", None),
        ("hs_timestamp", None, "hs_timestamp", None),
        ("hs_meeting_title", "", "hs_meeting_title", ""),
        ("hs_meeting_outcome", "NO_SHOW", "hs_meeting_outcome", MeetingOutcome.NO_SHOW),
        ("hs_meeting_outcome", "OUR_OWN", "hs_meeting_outcome", "OUR_OWN"),
        ("hs_meeting_location_type", "PHONE", "hs_meeting_location_type", LocationType.PHONE),
        ("hs_attachment_ids", "7;8", "hs_attachment_ids", ("7", "8")),
        ("hubspot_owner_id", "41629779", "hubspot_owner_id", "41629779"),
        ("seats", "3", "seats", 3),
        ("seats", "", "seats", None),
        ("price", "12.50", "price", Decimal("12.50")),
        ("rating", "4.5", "rating", 4.5),
        ("rating", None, "rating", 0.0),
        ("vip", "true", "vip", True),
        ("vip", "false", "vip", False),
        ("day", "2026-11-23", "day", date(2026, 11, 23)),
        ("day", "1795392000000", "day", date(2026, 11, 23)),
        ("tier", "gold", "tier", Tier.GOLD),
        ("room", "red", "room", "red"),
        ("codes", "1;2;3", "codes", [1, 2, 3]),
        ("tags", "a;b;a", "tags", frozenset({"a", "b"})),
        ("seat name", "12B", "seat_name", "12B"),
        ("anything", "x", "anything", "x"),
    ],
)
def test_each_kind_of_value_is_read(name: str, text: str | None, attribute: str, value: object) -> None:
    """HubSpot's string becomes the field's own kind; no value becomes None, or the default where None does not fit."""
    read = getattr(read_properties({name: text}, Booking), attribute)
    assert read == value
    assert type(read) is type(value)


def test_what_hubspot_left_out_keeps_its_default() -> None:
    """A property that was not asked for or does not exist is UNSET, not None."""
    read = read_properties({}, Booking)
    assert read.hs_meeting_title is UNSET
    assert read.price is None


@pytest.mark.parametrize(
    ("name", "text"),
    [("seats", "many"), ("vip", "perhaps"), ("tier", "lead"), ("room", "green"), ("day", "soon"), ("codes", "1;x")],
)
def test_a_value_that_does_not_fit_names_its_property(name: str, text: str) -> None:
    """What the field can not be is an error that names the property, the value and the field."""
    with pytest.raises(UnexpectedResponse, match=rf"'{name}' holds '{text}'.*Booking\.{name}"):
        read_properties({name: text}, Booking)


def test_the_properties_to_ask_for_are_the_fields() -> None:
    """`properties=` follows from the Struct, by the names on the wire."""
    names = property_names(Booking)
    assert {"hs_timestamp", "booking_ref", "seat name"} <= set(names)
    assert "seat_name" not in names


def test_classes_that_hold_no_properties_are_refused() -> None:
    """A class that is no Struct, or has a field no property can be, is refused at once."""

    class Nested(msgspec.Struct):
        inner: MeetingProperties

    for wrong in (dict, Booking(), "Booking", Nested):
        with pytest.raises(ConfigurationError):
            property_names(wrong)  # type: ignore[arg-type]


def test_a_required_field_that_hubspot_left_out_is_named() -> None:
    """A field without default needs its property."""

    class Strict(msgspec.Struct):
        booking_ref: str

    with pytest.raises(UnexpectedResponse, match="booking_ref"):
        read_properties({}, Strict)


def test_a_meeting_is_read_whole() -> None:
    """Only the properties change their form; id, times and links stay."""
    meeting = Meeting(id="501", properties={"seats": "3"}, created_at=NINE, archived=True)
    typed = read_as(meeting, Booking)
    assert (typed.id, typed.created_at, typed.archived, typed.properties.seats) == ("501", NINE, True, 3)


_text = st.text(st.characters(codec="utf-8", exclude_characters=";"), min_size=1, max_size=20)
_moments = st.datetimes(
    datetime(1980, 1, 1),  # noqa: DTZ001 - the time zone is drawn apart
    datetime(2100, 1, 1),  # noqa: DTZ001
    timezones=st.just(timezone(timedelta(hours=5))),
).map(lambda moment: moment.replace(microsecond=moment.microsecond // 1000 * 1000))


@given(
    st.builds(
        Booking,
        hs_timestamp=_moments | st.none() | st.just(UNSET),
        hs_meeting_title=_text | st.none() | st.just(UNSET),
        hs_meeting_outcome=st.sampled_from(MeetingOutcome) | st.just("OUR_OWN"),
        hs_attachment_ids=st.lists(_text, min_size=1, max_size=4).map(tuple) | st.none(),
        seats=st.integers() | st.none(),
        vip=st.booleans() | st.none(),
        day=st.dates(date(1980, 1, 1)) | st.none(),
        tier=st.sampled_from(Tier) | st.none(),
        rating=st.floats(allow_nan=False, allow_infinity=False),
    )
)
def test_what_is_written_is_read_back(booking: Booking) -> None:
    """Write a Struct, let HubSpot store strings, read it back: equal, times to the millisecond."""

    sent = property_values(booking)
    # What was cleared reads as null.
    back = read_properties({name: value or None for name, value in sent.items()}, Booking)
    for field in Booking.__struct_fields__:
        written = getattr(booking, field)
        if field in ("price", "room", "tags", "anything", "codes"):
            continue
        assert getattr(back, field) == written, field
