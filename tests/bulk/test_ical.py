"""Calendar files as records: which events there are, when they take place, and what is no event."""

from __future__ import annotations

import io
import re
import time
from datetime import UTC, datetime
from typing import Any, BinaryIO, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hubspot_meetings_async import ConfigurationError, Record
from hubspot_meetings_async.bulk import ical, ical_lines, ical_series
from hubspot_meetings_async.bulk.sources import Broken, EventSettings, Happening, Source

YEAR = EventSettings(since=datetime(2026, 1, 1, tzinfo=UTC), until=datetime(2027, 1, 1, tzinfo=UTC))


def calendar(*parts: str, head: str = "") -> bytes:
    text = "\n".join(("BEGIN:VCALENDAR", "VERSION:2.0", *([head] if head else []), *parts, "END:VCALENDAR", ""))
    return text.replace("\n", "\r\n").encode()


def event(*lines: str, uid: str = "a@x", start: str = "DTSTART:20261101T090000Z") -> str:
    return "\n".join(("BEGIN:VEVENT", f"UID:{uid}", start, *lines, "END:VEVENT"))


def read(content: bytes, warnings: list[str] | None = None, **words: Any) -> list[Record | Broken]:
    events = EventSettings(**({"since": YEAR.since, "until": YEAR.until} | words))
    heard = warnings if warnings is not None else []
    return list(Source(io.BytesIO(content), format="ics", events=events, on_warning=heard.append))


def values(item: Record | Broken) -> dict[str, Any]:
    assert isinstance(item, Record), item
    return cast("dict[str, Any]", item.properties)


def reason_of(item: Record | Broken) -> str:
    assert isinstance(item, Broken), item
    return item.reason


def properties(*parts: str, head: str = "", **words: Any) -> list[dict[str, Any]]:
    return [values(item) for item in read(calendar(*parts, head=head), **words)]


def starts(*parts: str, head: str = "", **words: Any) -> list[str]:
    return [one["hs_meeting_start_time"] for one in properties(*parts, head=head, **words)]


def broken(*parts: str, **words: Any) -> Broken:
    (item,) = read(calendar(*parts), **words)
    assert isinstance(item, Broken), item
    return item


class TestEvent:
    def test_what_becomes_of_its_properties(self) -> None:
        (record,) = read(
            calendar(
                event(
                    "DTEND:20261101T103000Z",
                    "SUMMARY:Kick-off\\, pa",
                    " rt 1",
                    "DESCRIPTION;LANGUAGE=en:1 < 2\\nsee \\\\ you",
                    "LOCATION:Room 7",
                    "URL:https://calendar.example.com/1",
                    'ORGANIZER;CN="Lovelace; Ada":mailto:Ada@example.com',
                    "ATTENDEE;PARTSTAT=ACCEPTED:MAILTO:grace@example.com",
                    "ATTENDEE:mailto:GRACE@example.com",
                    "ATTENDEE;PARTSTAT=DECLINED:mailto:no@example.com",
                    "ATTENDEE;CUTYPE=ROOM:mailto:room7@example.com",
                    "ATTENDEE;EMAIL=urn@example.com:urn:uuid:1",
                    "ATTACH;ENCODING=BASE64;VALUE=BINARY:AAAA",
                    "BEGIN:VALARM",
                    "DESCRIPTION:not this one",
                    "END:VALARM",
                )
            ),
            owners={"ada@example.com": "77"},
        )
        assert isinstance(record, Record)
        assert record.properties == {
            "ical_uid": "a@x",
            "hs_timestamp": "2026-11-01T09:00:00.000Z",
            "hs_meeting_start_time": "2026-11-01T09:00:00.000Z",
            "hs_meeting_end_time": "2026-11-01T10:30:00.000Z",
            "hs_meeting_title": "Kick-off, part 1",
            "hs_meeting_body": "1 &lt; 2<br>see \\ you",
            "hs_meeting_location": "Room 7",
            "hs_meeting_location_type": "ADDRESS",
            "hs_meeting_external_url": "https://calendar.example.com/1",
            "hubspot_owner_id": "77",
        }
        assert record.ref == Happening(3, None, ("grace@example.com", "urn@example.com"))
        (unowned,) = read(calendar(event("ORGANIZER:mailto:Ada@example.com")))
        assert isinstance(unowned, Record)
        assert unowned.ref.attendees == ("ada@example.com",)

    @pytest.mark.parametrize(
        ("lines", "location", "kind", "url"),
        [
            (["LOCATION:https://meet.example.com/1"], "https://meet.example.com/1", "CUSTOM", None),
            (["X-GOOGLE-CONFERENCE:https://meet.example.com/2"], "https://meet.example.com/2", "CUSTOM", None),
            (
                ["LOCATION:Room 7", "CONFERENCE;VALUE=URI:https://meet.example.com/3"],
                "Room 7",
                "ADDRESS",
                "https://meet.example.com/3",
            ),
            (["LOCATION:+49 (30) 1234-567"], "+49 (30) 1234-567", "PHONE", None),
            ([], None, None, None),
        ],
    )
    def test_places_and_conferences(
        self, lines: list[str], location: str | None, kind: str | None, url: str | None
    ) -> None:
        (one,) = properties(event(*lines))
        names = ("hs_meeting_location", "hs_meeting_location_type", "hs_meeting_external_url")
        assert tuple(one.get(name) for name in names) == (location, kind, url)

    def test_a_description_that_is_html_already_is_left_alone(self) -> None:
        (one,) = properties(event("DESCRIPTION:<b>Bring</b> A &amp; B"))
        assert one["hs_meeting_body"] == "<b>Bring</b> A &amp; B"

    @pytest.mark.parametrize("status", ["STATUS:CANCELLED", "STATUS:cancelled"])
    def test_a_cancelled_one(self, status: str) -> None:
        assert [one["hs_meeting_outcome"] for one in properties(event(status))] == ["CANCELED"]
        assert [one["hs_meeting_outcome"] for one in properties(event(), head="METHOD:CANCEL")] == ["CANCELED"]
        assert "hs_meeting_outcome" not in properties(event("STATUS:CONFIRMED"))[0]

    def test_how_long_it_takes(self) -> None:
        """By its end, its duration, or as the standard says."""

        def end(*lines: str, start: str = "DTSTART:20261101T090000Z") -> str:
            value: str = properties(event(*lines, start=start), timezone="Europe/Berlin")[0]["hs_meeting_end_time"]
            return value

        assert end("DURATION:P1DT2H") == "2026-11-02T11:00:00.000Z"
        assert end() == "2026-11-01T09:00:00.000Z"
        assert end(start="DTSTART;VALUE=DATE:20261101") == "2026-11-01T23:00:00.000Z"
        assert end("DTEND;VALUE=DATE:20261103", start="DTSTART;VALUE=DATE:20261101") == "2026-11-02T23:00:00.000Z"

    def test_the_uid_goes_to_the_property_of_choice_however_long_it_is(self) -> None:
        (short,) = properties(event(), id_property="booking_ref")
        (long,) = properties(event(uid="u" * 300))
        assert short["booking_ref"] == "a@x"
        assert long["ical_uid"].startswith("sha256:")
        assert len(long["ical_uid"]) == 71


class TestZones:
    CUSTOM = "\n".join(
        (
            "BEGIN:VTIMEZONE",
            "TZID:Ours",
            "BEGIN:STANDARD",
            "DTSTART:19701025T030000",
            "RRULE:FREQ=YEARLY;BYMONTH=10;BYDAY=-1SU",
            "TZOFFSETFROM:+0200",
            "TZOFFSETTO:+0130",
            "END:STANDARD",
            "BEGIN:DAYLIGHT",
            "DTSTART:19700329T020000",
            "RRULE:FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU",
            "TZOFFSETFROM:+0130",
            "TZOFFSETTO:+0200",
            "END:DAYLIGHT",
            "END:VTIMEZONE",
        )
    )

    @pytest.mark.parametrize(
        ("start", "at"),
        [
            ("DTSTART;TZID=Europe/Berlin:20260701T090000", "2026-07-01T07:00:00.000Z"),
            ('DTSTART;TZID="Europe/Berlin":20261201T090000', "2026-12-01T08:00:00.000Z"),
            ("DTSTART;TZID=W. Europe Standard Time:20261201T090000", "2026-12-01T08:00:00.000Z"),
            ("DTSTART;TZID=/vendor.example/v2/Europe/Berlin:20261201T090000", "2026-12-01T08:00:00.000Z"),
            ("DTSTART;TZID=Ours:20260701T090000", "2026-07-01T07:00:00.000Z"),
            ("DTSTART;TZID=Ours:20261201T090000", "2026-12-01T07:30:00.000Z"),
        ],
    )
    def test_named_zones(self, start: str, at: str) -> None:
        """Of the database, as Windows names them, with a vendor's prefix; defined by the file, before or after use."""
        assert starts(self.CUSTOM, event(start=start)) == [at]
        assert starts(event(start=start), self.CUSTOM) == [at]

    def test_floating_times(self) -> None:
        """They are in the caller's zone, else in the calendar's; without either they are no moment."""
        floating = event(start="DTSTART:20261101T090000")
        assert starts(floating, timezone="Asia/Tokyo") == ["2026-11-01T00:00:00.000Z"]
        assert starts(floating, head="X-WR-TIMEZONE:America/New_York") == ["2026-11-01T14:00:00.000Z"]
        assert "--timezone" in broken(floating).reason

    def test_days_begin_at_midnight(self) -> None:
        day = event(start="DTSTART;VALUE=DATE:20261101")
        assert starts(day, timezone="Asia/Tokyo") == ["2026-10-31T15:00:00.000Z"]
        assert starts(day) == ["2026-11-01T00:00:00.000Z"]

    @pytest.mark.parametrize(
        ("definition", "reason"),
        [
            ("", "neither known here nor defined in the file"),
            (CUSTOM.replace("YEARLY", "SECONDLY"), "its rules are not yearly"),
            (CUSTOM.replace("FREQ=YEARLY", "FREQ=YEARLY;INTERVAL=0"), "its rules are not yearly"),
            (CUSTOM.replace("TZOFFSETTO:+0130", "TZOFFSETTO:nine"), "can not be used"),
        ],
    )
    def test_a_zone_that_can_not_be_used_breaks_its_events_only(self, definition: str, reason: str) -> None:
        found = read(calendar(event(uid="fine"), event(start="DTSTART;TZID=Ours:20261201T090000"), definition))
        assert [type(item) for item in found] == [Record, Broken]
        assert reason in reason_of(found[1])


class TestSeries:
    WEEKLY = event("RRULE:FREQ=WEEKLY;COUNT=4", start="DTSTART;TZID=Europe/Berlin:20261019T090000")

    def test_each_occurrence_is_a_meeting_at_its_local_time(self) -> None:
        """The clocks go back on 25 October."""
        found = properties(self.WEEKLY)
        assert [one["hs_meeting_start_time"][:16] for one in found] == [
            "2026-10-19T07:00",
            "2026-10-26T08:00",
            "2026-11-02T08:00",
            "2026-11-09T08:00",
        ]
        assert found[0]["ical_uid"] == "a@x/20261019T070000Z"

    def test_only_within_the_window(self) -> None:
        daily = event("RRULE:FREQ=DAILY", start="DTSTART:20100101T120000Z")
        window: dict[str, Any] = {
            "since": datetime(2026, 11, 1, 12, tzinfo=UTC),
            "until": datetime(2026, 11, 3, 12, tzinfo=UTC),
        }
        assert starts(daily, **window) == ["2026-11-01T12:00:00.000Z", "2026-11-02T12:00:00.000Z"]

    def test_what_lies_outside_is_told(self) -> None:
        heard: list[str] = []
        old = event(start="DTSTART:20200101T000000Z", uid="old")
        over = event("RRULE:FREQ=DAILY;UNTIL=20200105T000000Z", start="DTSTART:20200101T000000Z", uid="over")
        assert len(read(calendar(old, event(), over), heard)) == 1
        (told,) = heard
        assert told.startswith("left out: 2 event(s) outside of 2026-01-01 to 2027-01-01; --from and --until")

    def test_excluded_added_moved_and_cancelled_occurrences(self) -> None:
        found = read(
            calendar(
                event(
                    "RRULE:FREQ=WEEKLY;COUNT=3",
                    "EXDATE;TZID=Europe/Berlin:20261026T090000",
                    "RDATE;TZID=Europe/Berlin:20261120T090000",
                    "SUMMARY:weekly",
                    start="DTSTART;TZID=Europe/Berlin:20261019T090000",
                ),
                event("RECURRENCE-ID:20261019T070000Z", "SUMMARY:moved", start="DTSTART:20261020T150000Z"),
                event("RECURRENCE-ID:20261102T080000Z", "STATUS:CANCELLED", start="DTSTART:20261102T080000Z"),
            )
        )
        assert [
            (
                one["ical_uid"],
                one["hs_timestamp"][:16],
                one.get("hs_meeting_title"),
                one.get("hs_meeting_outcome"),
            )
            for one in map(values, found)
        ] == [
            ("a@x/20261019T070000Z", "2026-10-20T15:00", "moved", None),
            ("a@x/20261102T080000Z", "2026-11-02T08:00", None, "CANCELED"),
            ("a@x/20261120T080000Z", "2026-11-20T08:00", "weekly", None),
        ]
        assert [item.ref.line for item in found if isinstance(item, Record)] == [11, 17, 3]

    def test_from_one_occurrence_on(self) -> None:
        """`RANGE=THISANDFUTURE` moves all that follow, and each keeps the key it had."""
        found = properties(
            self.WEEKLY,
            event(
                "RECURRENCE-ID;RANGE=THISANDFUTURE:20261102T080000Z",
                "SUMMARY:later",
                "DTEND:20261102T120000Z",
                start="DTSTART:20261102T100000Z",
            ),
        )
        assert [(one["ical_uid"][4:12], one["hs_timestamp"][11:16], one.get("hs_meeting_title")) for one in found] == [
            ("20261019", "07:00", None),
            ("20261026", "08:00", None),
            ("20261102", "10:00", "later"),
            ("20261109", "10:00", "later"),
        ]
        assert found[3]["hs_meeting_end_time"] == "2026-11-09T12:00:00.000Z"

    def test_days(self) -> None:
        """Occurrences that are days are known by their dates, and a date excludes one."""
        found = properties(
            event("RRULE:FREQ=DAILY;COUNT=3", "EXDATE;VALUE=DATE:20261102", start="DTSTART;VALUE=DATE:20261101")
        )
        assert [one["ical_uid"] for one in found] == ["a@x/20261101", "a@x/20261103"]

    def test_an_occurrence_whose_series_is_not_in_the_file(self) -> None:
        """As in an invitation to one meeting of a series."""
        (one,) = properties(event("RECURRENCE-ID:20261102T080000Z", start="DTSTART:20261103T080000Z"))
        assert one["ical_uid"] == "a@x/20261102T080000Z"

    def test_the_higher_sequence_counts(self) -> None:
        old = event("SEQUENCE:1", "RRULE:FREQ=DAILY;COUNT=2", "SUMMARY:old")
        new = event("SEQUENCE:2", "RRULE:FREQ=DAILY;COUNT=2", "SUMMARY:new")
        assert {one["hs_meeting_title"] for one in properties(new, old)} == {"new"}

    def test_the_same_file_gives_the_same_records(self) -> None:
        """Else a journal could not go on with it."""
        content = calendar(self.WEEKLY, event(uid="b"), event("RRULE:FREQ=DAILY;COUNT=9", uid="c"))
        assert read(content) == read(content)
        assert len(read(content)) == 14


class TestBrokenEvents:
    @pytest.mark.parametrize(
        ("lines", "reason"),
        [
            (["DTEND:tomorrow"], "line 6: DTEND is no date or time: 'tomorrow'"),
            (["DTEND:20261301T000000Z"], "line 6: DTEND is no date or time"),
            (["DTEND:20261031T000000Z"], "ends before it begins"),
            (["DURATION:1h"], "line 6: DURATION is no duration"),
            (["DURATION:P99999W"], "the event lasts 699,993 days"),
            (["DTEND:99991231T235959Z"], "line 6: DTEND is in the year 9999"),
            (["SUMMARY"], "line 6 is not written as NAME:VALUE"),
            (["RRULE:FREQ=SOMETIMES"], "SOMETIMES"),
            (["RRULE:FREQ=DAILY;UNTIL=never"], "can not be worked out"),
            (["RRULE:FREQ=DAILY;COUNT=x"], "can not be worked out"),
            (["RRULE:FREQ=WEEKLY;BYDAY=XX"], "can not be worked out"),
            (["RRULE:FREQ=DAILY;COUNT=3;UNTIL=20261231T000000Z"], "both COUNT and UNTIL"),
            (["RRULE:nonsense"], "RRULE is not written as NAME=VALUE"),
        ],
    )
    def test_it_is_named_by_its_line_and_the_rest_goes_on(self, lines: list[str], reason: str) -> None:
        found = read(calendar(event(*lines), event(uid="fine")))
        (bad,) = [item for item in found if isinstance(item, Broken)]
        assert len(found) == 2
        assert bad.line == 3
        assert reason in bad.reason
        assert bad.text.startswith("BEGIN:VEVENT\nUID:a@x\n")

    def test_without_what_it_needs(self) -> None:
        assert "UID" in broken("BEGIN:VEVENT\nDTSTART:20261101T090000Z\nEND:VEVENT").reason
        assert "DTSTART" in broken("BEGIN:VEVENT\nUID:a\nEND:VEVENT").reason

    def test_an_event_without_its_end_takes_no_other_with_it(self) -> None:
        found = read(calendar("BEGIN:VEVENT\nUID:torn\nDTSTART:20261101T090000Z", event(), "BEGIN:VEVENT\nUID:last"))
        assert [type(item) for item in found] == [Broken, Record, Broken]
        assert reason_of(found[0]) == "END:VEVENT is missing before line 6"

    def test_bytes_that_are_no_text(self) -> None:
        found = read(calendar(event("SUMMARY:b\xe4d"), event(uid="fine")).decode().encode("latin-1"))
        assert [type(item) for item in found] == [Broken, Record]
        assert "save the file as UTF-8" in reason_of(found[0])

    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            (b"<html>\n", "line 1: BEGIN:VCALENDAR is expected here, and there is '<html>'"),
            (calendar() + b"more\n", "line 4: BEGIN:VCALENDAR is expected here"),
            (b"BEGIN:VCALENDAR\nBEGIN:VTODO\nEND:VCALENDAR\n", "line 3: END:VCALENDAR follows BEGIN:VTODO"),
            (b"BEGIN:VCALENDAR\nVERSION:2.0\n", "ends after line 2 inside VCALENDAR"),
            (b"BEGIN:VCALENDAR\n" + b"BEGIN:VTODO\n" * 20, "more than 16 BEGINs in each other"),
        ],
    )
    def test_a_file_that_is_no_calendar(self, content: bytes, reason: str) -> None:
        with pytest.raises(ConfigurationError, match=re.escape(reason)):
            read(content)

    def test_an_empty_file_holds_nothing(self) -> None:
        assert read(b"") == []
        assert read(calendar("BEGIN:VTODO\nUID:t\nEND:VTODO")) == []


class TestHostileFiles:
    @pytest.mark.parametrize(
        "rule",
        [
            "FREQ=SECONDLY",
            "FREQ=MINUTELY;INTERVAL=1",
            "FREQ=HOURLY;BYMONTH=2;BYMONTHDAY=30",
            "FREQ=DAILY;INTERVAL=0",
            "FREQ=DAILY;INTERVAL=99999999999999",
            f"FREQ=DAILY;BYHOUR={','.join(map(str, range(24)))};BYMINUTE={','.join(map(str, range(60)))}",
        ],
    )
    def test_rules_that_would_take_for_ever(self, rule: str) -> None:
        began = time.monotonic()
        assert broken(event(f"RRULE:{rule}", start="DTSTART:20200101T000000Z")).line == 3
        assert time.monotonic() - began < 5

    def test_rules_from_the_beginning_of_time(self) -> None:
        assert "in the year 1:" in broken(event("RRULE:FREQ=DAILY", start="DTSTART:00010101T000000Z")).reason
        assert "may take place" in broken(event("RRULE:FREQ=HOURLY", start="DTSTART:19000101T000000Z")).reason
        assert len(read(calendar(event("RRULE:FREQ=YEARLY", start="DTSTART;VALUE=DATE:16040229")))) == 0
        assert len(read(calendar(event("RRULE:FREQ=YEARLY", start="DTSTART;VALUE=DATE:16040301")))) == 1

    def test_rules_that_no_day_satisfies_are_looked_at_a_few_times_only(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(ical, "_MOST_BARREN", 2)
        never = [
            event("RRULE:FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", uid=f"{n}", start="DTSTART:20260201T000000Z")
            for n in range(4)
        ]
        window: dict[str, Any] = {"since": datetime(2026, 3, 1, tzinfo=UTC)}
        found = read(calendar(*never), **window)
        assert [type(item) for item in found] == [Broken, Broken]
        assert "never take place" in reason_of(found[0])

    def test_more_occurrences_than_anybody_has_meetings(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(ical_series, "MOST", 30)
        assert "takes place 31 times" in broken(event("RRULE:FREQ=DAILY;COUNT=31")).reason

    def test_an_event_of_many_megabytes_is_not_kept(self) -> None:
        text = "DESCRIPTION:" + "\n ".join("x" * 1000 for _ in range(2_000))
        assert "MiB" in broken(event(text)).reason
        (one,) = properties(event("SUMMARY:fine", text.replace("DESCRIPTION", "ATTACH")))
        assert one["hs_meeting_title"] == "fine"

    def test_repeating_events_beyond_what_is_kept(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(ical, "_MOST_KEPT", 100)
        with pytest.raises(ConfigurationError, match="split the file"):
            read(calendar(*(event("RRULE:FREQ=DAILY", uid=f"{n}") for n in range(9))))

    def test_single_events_are_read_one_at_a_time(self) -> None:
        """The first one is there when only its lines were read."""
        source = Source(io.BytesIO(calendar(*(event(uid=f"{n}") for n in range(1000)))), format="ics", events=YEAR)
        next(iter(source))
        assert source.line < 12

    def test_more_attendees_than_a_meeting_has(self) -> None:
        assert "attendees" in broken(event(*(f"ATTENDEE:mailto:{n}@example.com" for n in range(2_001)))).reason

    @given(st.lists(st.sampled_from([
        "BEGIN:VEVENT", "END:VEVENT", "BEGIN:VALARM", "END:VALARM", "UID:a", "UID:b", "DTSTART:20261101T090000Z",
        "DTSTART;VALUE=DATE:20261101", "RRULE:FREQ=DAILY;COUNT=3", "RECURRENCE-ID:20261102T090000Z", " folded",
        "EXDATE:20261101", "RDATE;VALUE=PERIOD:20261105T090000Z/PT1H", "BEGIN:VTIMEZONE", "TZID:a", "END:VTIMEZONE",
        "DTEND:20261101", "\\x00", "X", ";:", "DTSTART;TZID=a:20261101T090000", "SEQUENCE:9", "STATUS:CANCELLED",
    ]), max_size=30))  # fmt: skip
    @settings(max_examples=150, deadline=None)
    def test_any_lines_give_records_broken_events_or_an_error_that_says_so(self, lines: list[str]) -> None:
        try:
            found = read(calendar(*lines))
        except ConfigurationError:
            return
        assert all(isinstance(item, (Record, Broken)) for item in found)


class TestSettings:
    def test_what_makes_no_sense(self) -> None:
        wrong: list[tuple[dict[str, Any], str]] = [
            ({"since": datetime(2026, 1, 1)}, "must be aware"),  # noqa: DTZ001
            ({"since": YEAR.until, "until": YEAR.since}, "the window of events is empty"),
            ({"timezone": "Mars/Olympus"}, "Mars/Olympus"),
        ]
        for words, reason in wrong:
            with pytest.raises(ConfigurationError, match=reason):
                EventSettings(**words)

    def test_a_year_to_both_sides_by_default(self) -> None:
        since, until = EventSettings().window()
        assert (until - since).days == 730
        assert since < datetime.now(UTC) < until

    def test_the_content_tells_the_format(self) -> None:
        stream = cast("BinaryIO", io.BufferedReader(io.BytesIO(calendar(event()))))
        assert Source(stream, events=YEAR).format == "ics"

    def test_folded_lines_and_byte_order_marks(self) -> None:
        content = b"\xef\xbb\xbf" + calendar(event("SUMMARY:a", "\tb", "  c"))
        (item,) = read(content)
        assert isinstance(item, Record)
        assert values(item)["hs_meeting_title"] == "ab c"

    def test_what_is_read_of_an_event_is_what_is_kept(self) -> None:
        assert "ATTACH" not in ical_lines.EVENT_NAMES
