"""HubSpot reads ISO times or Unix milliseconds and writes ISO in UTC."""

import pytest

from hubspot_meetings_async.emulator.times import canonical_date, canonical_datetime, iso, parse_ms


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("2026-11-23T09:00:00Z", "2026-11-23T09:00:00Z"),
        ("2026-11-23T09:00:00.000Z", "2026-11-23T09:00:00Z"),
        ("2026-11-23T09:00:00.120Z", "2026-11-23T09:00:00.120Z"),
        ("2026-11-23T10:00:00+01:00", "2026-11-23T09:00:00Z"),
        ("1795424400000", "2026-11-23T09:00:00Z"),
        ("-1", "1969-12-31T23:59:59.999Z"),
    ],
)
def test_a_datetime_comes_back_as_iso_in_utc(given: str, read: str) -> None:
    assert canonical_datetime(given) == read


@pytest.mark.parametrize(
    "given",
    [
        "tomorrow",
        "2026-11-23",
        "2026-11-23T09:00:00",
        "2026-13-01T00:00:00Z",
        "1e9",
        "",
        "2026-W47-6T09:00:00Z",
        "20261123T090000Z",
        "2026-11-23 09:00:00Z",
        "9" * 30,
        "9" * 5000,
        "٣",
    ],
)
def test_anything_else_is_no_datetime(given: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # the text is nobody's business
        canonical_datetime(given)


def test_three_digits_only_when_asked() -> None:
    assert iso(1_795_424_400_000) == "2026-11-23T09:00:00Z"
    assert iso(1_795_424_400_000, True) == "2026-11-23T09:00:00.000Z"


def test_writing_and_reading_are_inverse() -> None:
    for ms in (0, 1, 999, 1_795_424_400_123, -62_135_596_800_000, 253_402_300_799_999):
        assert parse_ms(iso(ms)) == ms


def test_a_date_is_a_day_or_its_midnight() -> None:
    assert canonical_date("2026-11-23") == "2026-11-23"
    assert canonical_date("1795392000000") == "2026-11-23"
    for given in ("1795392000001", "2026-11-23T00:00:00Z", "soon", "20261123xx"):
        with pytest.raises(ValueError):  # noqa: PT011
            canonical_date(given)
