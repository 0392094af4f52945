"""Times as people type and read them."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from hubspot_meetings_async.cli.clocks import length, moment, on_clock, person_zone
from hubspot_meetings_async.errors import ConfigurationError
from hubspot_meetings_async.moments import Zone

BERLIN = Zone("Europe/Berlin", ZoneInfo("Europe/Berlin"))
BEIRUT = Zone("Asia/Beirut", ZoneInfo("Asia/Beirut"))


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("2026-11-24", datetime(2026, 11, 23, 23, tzinfo=UTC)),
        ("2026-11-24 16:00", datetime(2026, 11, 24, 15, tzinfo=UTC)),
        ("2026-07-24t16:00", datetime(2026, 7, 24, 14, tzinfo=UTC)),
        (" 2026-11-24T16:00:30 ", datetime(2026, 11, 24, 15, 0, 30, tzinfo=UTC)),
        ("2026-11-24 16:00+05:30", datetime(2026, 11, 24, 10, 30, tzinfo=UTC)),
        ("2026-11-24T15:00Z", datetime(2026, 11, 24, 15, tzinfo=UTC)),
        ("2026-10-25 02:30+01:00", datetime(2026, 10, 25, 1, 30, tzinfo=UTC)),
    ],
)
def test_a_time_is_the_persons_unless_it_has_an_offset(typed: str, meant: datetime) -> None:
    found = moment("--start", typed, BERLIN)
    assert found.astimezone(UTC) == meant
    assert found.tzinfo is BERLIN.tz


def test_days_have_names_too() -> None:
    today = moment("--since", "today", BERLIN)
    assert (today.hour, today.minute, today.second) == (0, 0, 0)
    assert today <= moment("--since", "now", BERLIN)
    assert moment("--since", "Tomorrow", BERLIN).date() == today.date() + timedelta(days=1)
    assert moment("--since", "yesterday", BERLIN).date() == today.date() - timedelta(days=1)


def test_a_day_whose_midnight_is_skipped_begins_with_its_first_moment() -> None:
    """In Beirut the clocks of 29 March 2026 go from midnight to one."""
    assert moment("--since", "2026-03-29", BEIRUT).isoformat() == "2026-03-29T01:00:00+03:00"


@pytest.mark.parametrize(
    "typed", ["", "soon", "24.11.2026", "2026-13-01", "2026-11-24 25:00", "0001-01-01 00:00+14:00"]
)
def test_what_is_no_time_is_refused_with_an_example(typed: str) -> None:
    with pytest.raises(ConfigurationError, match=r"--since takes a day \(2026-11-24\)"):
        moment("--since", typed, BERLIN)


def test_an_hour_that_the_clocks_show_twice_must_be_told_apart() -> None:
    with pytest.raises(ConfigurationError, match=r"twice; write 2026-10-25 02:30:00\+02:00 or .*\+01:00"):
        moment("--start", "2026-10-25 02:30", BERLIN)


def test_an_hour_that_the_clocks_skip_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"Europe/Berlin skip 2026-03-29 02:30"):
        moment("--start", "2026-03-29 02:30", BERLIN)


@pytest.mark.parametrize(
    ("typed", "minutes"),
    [("30", 30), ("45m", 45), ("90 min", 90), ("1h", 60), ("1h30m", 90), ("1h 30", 90), ("2 hours", 120)],
)
def test_lengths(typed: str, minutes: int) -> None:
    assert length("--duration", typed) == timedelta(minutes=minutes)


@pytest.mark.parametrize("typed", ["", "h", "m", "-5", "1.5h", "half an hour", "1d"])
def test_what_is_no_length_is_refused(typed: str) -> None:
    with pytest.raises(ConfigurationError, match="--duration takes minutes"):
        length("--duration", typed)


def test_hubspots_times_are_shown_on_the_persons_clock_and_other_texts_as_they_are() -> None:
    assert on_clock("2026-11-24T15:00:00.123Z", BERLIN) == "2026-11-24 16:00"
    assert on_clock("2026-11-24T15:00:00Z", BERLIN) == "2026-11-24 16:00"
    for text in ("", "2026-11-24", "9999-12-31T23:59:59Z", "2026-99-24T15:00:00Z", "Kick-off"):
        assert on_clock(text, BERLIN) == text


class TestZone:
    @pytest.mark.parametrize("value", ["America/New_York", ":America/New_York", "/usr/share/zoneinfo/America/New_York"])
    def test_the_machines_is_taken_from_tz(self, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TZ", value)
        assert person_zone(None).name == "America/New_York"

    def test_else_from_its_local_time(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("TZ", raising=False)
        monkeypatch.setattr(os.path, "realpath", lambda _: "/usr/share/zoneinfo/posix/Asia/Kolkata")
        assert person_zone(None).name == "Asia/Kolkata"

    def test_one_without_a_name_is_utc_and_that_is_said(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("TZ", "<-03>3")
        assert person_zone(None) == Zone("UTC", UTC)
        assert "--timezone" in capsys.readouterr().err

    def test_an_unknown_name_is_refused(self) -> None:
        with pytest.raises(ConfigurationError, match="--timezone takes a name such as Europe/Berlin, not 'Mars/Base'"):
            person_zone("Mars/Base")
