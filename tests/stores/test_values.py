"""HubSpot's texts as values: nothing is lost, and what is no such value is told."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubspot_meetings_async.stores import Column
from hubspot_meetings_async.stores.values import (
    Shape,
    boolean,
    day,
    exact_float,
    integer_or_float,
    iso,
    iso_day,
    iso_moment,
    milliseconds,
    moment,
    number,
)

HALF_PAST = datetime(2026, 5, 14, 12, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("reader", "text", "value"),
    [
        (iso_moment, "2026-05-14T12:30:00Z", "2026-05-14T12:30:00.000Z"),
        (iso_moment, "2026-05-14T12:30:00.000Z", "2026-05-14T12:30:00.000Z"),
        (iso_moment, "2026-05-14T14:30:00+02:00", "2026-05-14T12:30:00.000Z"),
        (iso_moment, "1778761800000", "2026-05-14T12:30:00.000Z"),
        (moment, "2026-05-14T12:30:00Z", HALF_PAST),
        (milliseconds, "2026-05-14T12:30:00.001Z", 1778761800001),
        (milliseconds, "-1", -1),
        (day, "2026-05-14", date(2026, 5, 14)),
        (iso_day, "1778716800000", "2026-05-14"),
        (boolean, "TRUE", True),
        (boolean, "false", False),
        (number, "12.50", Decimal("12.50")),
        (number, "-1e3", Decimal("-1e3")),
        (exact_float, "0.1", 0.1),
        (exact_float, "1e300", 1e300),
        (integer_or_float, "12", 12),
        (integer_or_float, "-9223372036854775808", -(2**63)),
        (integer_or_float, "1e3", 1000),
        (integer_or_float, "12.5", 12.5),
        (integer_or_float, "12.0", 12.0),
    ],
)
def test_a_value_is_read(reader: Callable[[str], Any], text: str, value: object) -> None:
    read = reader(text)
    assert (read, type(read)) == (value, type(value))


@pytest.mark.parametrize(
    ("reader", "texts"),
    [
        (iso_moment, ["soon", "2026-13-14T12:30:00.000Z", "99999999999999999", "2026-05-14X12:30:00.000Z?"]),
        (milliseconds, ["", "9" * 5000, "2026-02-30T00:00:00Z"]),
        (day, ["2026-02-30", "tomorrow"]),
        (boolean, ["yes", "1", "ja"]),
        (number, ["1_000", "1,5", "NaN", "inf", "٣", " 1", "0x10", "1e999999", "9" * 1001]),
        (exact_float, ["12345678901234567890123", "0.12345678901234567891", "1e999", "1e-999", "Infinity"]),
        (integer_or_float, ["9223372036854775809", "1_0", "-"]),
    ],
)
def test_what_is_no_such_value_is_refused(reader: Callable[[str], Any], texts: list[str]) -> None:
    for text in texts:
        with pytest.raises((ValueError, ArithmeticError)):
            reader(text)


@given(st.decimals(allow_nan=False, allow_infinity=False) | st.integers().map(Decimal))
def test_numbers_that_are_taken_keep_every_digit(given_: Decimal) -> None:
    """In a double or a 64-bit integer as much as in a decimal; what would lose one is refused."""
    for reader in (number, exact_float, integer_or_float):
        try:
            read = reader(str(given_))
        except (ValueError, ArithmeticError):
            continue
        assert Decimal(repr(read)) == given_ if isinstance(read, float) else read == given_


@given(st.datetimes(), st.datetimes())
def test_texts_of_moments_sort_as_the_moments_do(one: datetime, other: datetime) -> None:
    one, other = (at.replace(microsecond=at.microsecond // 1000 * 1000, tzinfo=UTC) for at in (one, other))
    assert (iso(one) < iso(other)) == (one < other)
    assert moment(iso(one)) == one


def test_a_row_has_a_value_for_each_column_and_tells_what_does_not_fit() -> None:
    columns = [Column("title", "title"), Column("seats", "seats", "number"), Column("paid", "paid", "bool")]
    shape = Shape(columns, {"number": number, "bool": boolean})
    assert shape.row({"title": "", "seats": "", "paid": None}) == (["", None, None], {})
    assert shape.row({"seats": "3", "paid": "maybe", "more": "x"}) == ([None, Decimal(3), None], {"paid": "maybe"})
