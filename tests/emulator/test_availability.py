"""Free time is counted in the organizer's zone, in real hours, and busy times take it away."""

import random
from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo

import pytest

from hubspot_meetings_async.emulator.availability import (
    DAY_MS,
    MINUTE_MS,
    BusyTimes,
    WorkingHours,
    month_span,
    slots,
    zone,
)

NEW_YORK = ZoneInfo("America/New_York")
HOUR_MS = 60 * MINUTE_MS


def ms(year: int, month: int, day: int, hour: int = 0, minute: int = 0, *, tz: tzinfo = UTC) -> int:
    return round(datetime(year, month, day, hour, minute, tzinfo=tz).timestamp() * 1000)


def spans_of(hours: dict[str, str], start: int, days: int, tz: ZoneInfo = NEW_YORK) -> list[tuple[int, int]]:
    return list(WorkingHours(hours).spans(tz, start, start + days * DAY_MS))


class TestWorkingHours:
    def test_follow_the_zone_and_the_week(self) -> None:
        friday = ms(2026, 11, 20, 0, 0, tz=NEW_YORK)
        assert spans_of({"MON_FRI": "09:00-17:00"}, friday, 4) == [
            (ms(2026, 11, 20, 14), ms(2026, 11, 20, 22)),
            (ms(2026, 11, 23, 14), ms(2026, 11, 23, 22)),
        ]

    def test_groups_that_overlap_are_one(self) -> None:
        hours = WorkingHours({"MON_FRI": ["09:00-12:00", "13:00-17:00"], "MON": "11:00-14:00"})
        monday = ms(2026, 11, 23)
        assert list(hours.spans(UTC, monday, monday + DAY_MS)) == [(monday + 9 * HOUR_MS, monday + 17 * HOUR_MS)]

    def test_a_row_of_days_may_run_over_the_weekend(self) -> None:
        spans = spans_of({"SAT_MON": "10:00-11:00"}, ms(2026, 11, 20, tz=NEW_YORK), 7)
        assert [datetime.fromtimestamp(start / 1000, tz=NEW_YORK).strftime("%a") for start, _ in spans] == [
            "Sat",
            "Sun",
            "Mon",
        ]

    @pytest.mark.parametrize(
        "hours",
        [{"MON_FRI": "9-17"}, {"MON": "17:00-09:00"}, {"MON": "09:00-24:01"}, {"XMAS": "09:00-10:00"}, {"MON_": "x"}],
    )
    def test_that_make_no_sense_are_refused(self, hours: dict[str, str]) -> None:
        with pytest.raises(ValueError, match="working hours are"):
            WorkingHours(hours)


class TestClockChanges:
    """2026: forward on 8 March (02:00 to 03:00), back on 1 November (02:00 to 01:00), in New York."""

    @pytest.mark.parametrize(("day", "hours"), [((2026, 3, 8), 23), ((2026, 11, 1), 25), ((2026, 11, 2), 24)])
    def test_a_whole_day_has_its_real_length(self, day: tuple[int, int, int], hours: int) -> None:
        [(start, end)] = spans_of({"MON_SUN": "00:00-24:00"}, ms(*day, tz=NEW_YORK), 1)[:1]
        assert (end - start) // HOUR_MS == hours

    def test_nine_stays_nine(self) -> None:
        for month, day, utc_hour in ((3, 6, 14), (3, 9, 13), (10, 30, 13), (11, 2, 14)):
            [(start, _)] = spans_of({"MON_FRI": "09:00-17:00"}, ms(2026, month, day, tz=NEW_YORK), 1)
            assert start == ms(2026, month, day, utc_hour)

    def test_no_slot_lies_in_the_hour_that_is_skipped(self) -> None:
        spans = spans_of({"SUN": "01:00-04:00"}, ms(2026, 3, 8, tz=NEW_YORK), 1)
        starts = list(slots(spans, duration_ms=HOUR_MS, step_ms=HOUR_MS // 2, free=lambda start, end: True))
        shown = [datetime.fromtimestamp(start / 1000, tz=NEW_YORK).strftime("%H:%M") for start in starts]
        assert shown == ["01:00", "01:30", "03:00"]

    def test_hours_that_begin_in_the_skip_begin_after_it(self) -> None:
        [(start, end)] = spans_of({"SUN": "02:30-04:00"}, ms(2026, 3, 8, tz=NEW_YORK), 1)
        assert (start, end) == (ms(2026, 3, 8, 7), ms(2026, 3, 8, 8))
        assert spans_of({"SUN": "02:00-02:45"}, ms(2026, 3, 8, tz=NEW_YORK), 1) == []

    def test_months_have_their_real_length(self) -> None:
        now = ms(2026, 2, 10)
        start, end = month_span(now, 1, NEW_YORK)
        assert (start, end - start) == (ms(2026, 3, 1, 5), 31 * DAY_MS - HOUR_MS)
        assert month_span(now, 11, NEW_YORK)[0] == ms(2027, 1, 1, 5)

    def test_the_month_is_the_visitors(self) -> None:
        now = ms(2026, 11, 30, 23)
        assert month_span(now, 0, ZoneInfo("Asia/Tokyo"))[0] == ms(2026, 11, 30, 15)
        assert month_span(now, 0, NEW_YORK)[0] == ms(2026, 11, 1, 4)


class TestBusyTimes:
    def test_touching_is_not_overlapping(self) -> None:
        busy = BusyTimes()
        busy.add(10, 20)
        busy.add(20, 30)
        assert (busy.free(0, 10), busy.free(30, 40), busy.free(0, 11), busy.free(29, 31)) == (True, True, False, False)
        assert busy.between(15, 25) == [(10, 20), (20, 30)]

    @pytest.mark.parametrize("seed", range(20))
    def test_say_the_same_as_minutes_on_a_list(self, seed: int) -> None:
        rng = random.Random(seed)
        busy, taken = BusyTimes(), [False] * 100
        for _ in range(12):
            start = rng.randrange(95)
            end = start + rng.randint(1, 5)
            busy.add(start, end)
            taken[start:end] = [True] * (end - start)
            for _ in range(50):
                first = rng.randrange(99)
                last = rng.randint(first + 1, 100)
                assert busy.free(first, last) is not any(taken[first:last])
        shown = busy.between(0, 100)
        assert shown == sorted(shown)
        assert sum(end - start for start, end in shown) == sum(taken)

    def test_must_have_a_length(self) -> None:
        with pytest.raises(ValueError, match="after it starts"):
            BusyTimes().add(5, 5)


def test_slots_overlap_and_never_run_over_the_end() -> None:
    def starts(duration: int, step: int) -> list[int]:
        return list(slots([(0, 60), (100, 130)], duration_ms=duration, step_ms=step, free=lambda s, e: s != 15))

    assert starts(30, 15) == [0, 30, 100]
    assert starts(60, 15) == [0]
    assert starts(30, 30) == [0, 30, 100]


def test_unknown_zones_are_told() -> None:
    for name in ("Nowhere/Land", "../etc/passwd", "", "/etc", "x" * 500):
        with pytest.raises(ValueError, match="unknown time zone"):
            zone(name)
