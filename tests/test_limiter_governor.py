"""What the gate learns from answers: four judges, no event loop."""

from __future__ import annotations

import math
import random
from bisect import bisect_right
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hubspot_meetings_async.errors import ConfigurationError
from hubspot_meetings_async.limiter import ENTERPRISE, FREE, OAUTH, PROFESSIONAL, STARTER, Lane, Limits
from hubspot_meetings_async.limiter.governor import DailyBudget, ForeignUse, Shutter, StampJitter
from hubspot_meetings_async.limiter.headers import HeaderReader

WINDOW_S = 10.0


class TestHeaders:
    def test_all(self) -> None:
        """A full set of headers."""
        reading = HeaderReader().read(
            {
                "X-HubSpot-RateLimit-Max": "190",
                "X-HubSpot-RateLimit-Remaining": "12",
                "X-HubSpot-RateLimit-Interval-Milliseconds": "10000",
                "X-HubSpot-RateLimit-Daily": "625000",
                "X-HubSpot-RateLimit-Daily-Remaining": "5",
            }
        )
        assert reading == (190, 12, 10.0, 625_000, 5)

    @pytest.mark.parametrize("word", ["", "many", "1.5", "0x1", "-"])
    def test_nonsense_is_absent(self, word: str) -> None:
        """A header that is no number is as good as none."""
        assert HeaderReader().read({"X-HubSpot-RateLimit-Max": word}) == (None,) * 5

    def test_the_day_only_whole(self) -> None:
        """The day's limit without what is left of it says nothing."""
        assert HeaderReader().read({"X-HubSpot-RateLimit-Daily": "625000"}).daily_limit is None

    def test_each_answer_anew(self) -> None:
        """Whatever changes between two answers is read; what does not, is the reading of before."""
        reader, headers = HeaderReader(), {"X-HubSpot-RateLimit-Max": "190", "X-HubSpot-RateLimit-Remaining": "12"}
        before = reader.read(headers)
        assert reader.read(dict(headers)) is before
        for name in ("Max", "Remaining", "Interval-Milliseconds", "Daily-Remaining", "Daily"):
            headers[f"X-HubSpot-RateLimit-{name}"] = "7"
            after = reader.read(headers)
            assert after != before
            assert after == HeaderReader().read(headers)
            before = after
        assert reader.read({}) == (None,) * 5

    def test_negative_is_none_left(self) -> None:
        """HubSpot's count may go below zero; that means zero."""
        assert HeaderReader().read({"X-HubSpot-RateLimit-Remaining": "-3"}).remaining == 0


class TestPublishedLimits:
    def test_presets(self) -> None:
        """HubSpot's table."""
        assert [limits.per_ten_seconds for limits in (FREE, STARTER, PROFESSIONAL, ENTERPRISE, OAUTH)] == [
            100, 100, 190, 190, 110,
        ]  # fmt: skip
        assert [limits.per_day for limits in (FREE, STARTER, PROFESSIONAL, ENTERPRISE, OAUTH)] == [
            250_000, 250_000, 625_000, 1_000_000, None,
        ]  # fmt: skip
        assert Limits().search_per_second == 5

    def test_increase(self) -> None:
        """The add-on raises the ten seconds to 250 and each day by a million, twice at most, never for OAuth."""
        assert Limits(per_ten_seconds=250, per_day=2_625_000) == PROFESSIONAL.with_increase(2)
        for limits, increases in ((PROFESSIONAL, 3), (PROFESSIONAL, 0), (OAUTH, 1)):
            with pytest.raises(ConfigurationError):
                limits.with_increase(increases)


class TestForeignUse:
    @settings(max_examples=200, deadline=None)
    @given(st.lists(st.tuples(*[st.floats(0, 6)] * 3), min_size=1, max_size=60))
    def test_own_calls_never_look_foreign(self, calls: list[tuple[float, float, float]]) -> None:
        """Whatever the delays, what we count as possibly ours is at least what HubSpot counts of ours."""
        times: list[tuple[float, float, float]] = []
        now = 0.0
        for gap_s, forward_s, backward_s in calls:
            now += gap_s
            times.append((now, now + forward_s, now + forward_s + backward_s))
        stamps = sorted(stamp for _, stamp, _ in times)
        foreign = ForeignUse(WINDOW_S)
        events = sorted(
            [(sent, 0, i) for i, (sent, _, _) in enumerate(times)] + [(t[2], 1, i) for i, t in enumerate(times)]
        )
        for at, is_answer, i in events:
            if not is_answer:
                foreign.sent += 1
                continue
            sent_at, stamped_at, _ = times[i]
            foreign.ended(at, at)
            count = bisect_right(stamps, stamped_at) - bisect_right(stamps, stamped_at - WINDOW_S)
            foreign.observe(at, sent_at, count)
            assert foreign.hold(at) == 0

    def test_surplus(self) -> None:
        """More than ours is somebody else's; the greatest surplus of two seconds counts."""
        foreign = ForeignUse(WINDOW_S)
        for at, count, hold in ((1.0, 31, 30), (1.5, 22, 30), (2.9, 13, 30), (3.2, 4, 20), (4.0, 5, 10), (9.0, 6, 0)):
            foreign.sent += 1
            foreign.ended(at, at)
            foreign.observe(at, at - 0.1, count)
            assert foreign.hold(at) == hold

    def test_last_sample_lasts_a_window(self) -> None:
        """Without new answers the last one counts until its window has passed."""
        foreign = ForeignUse(WINDOW_S)
        assert foreign.changes_at() == math.inf
        foreign.sent += 1
        foreign.ended(5.0, 5.0)
        foreign.observe(5.0, 4.9, 51)
        assert foreign.hold(14.9) == 50
        assert foreign.changes_at() == 15.0
        assert foreign.hold(foreign.changes_at()) == 0

    def test_refused_calls_are_not_ours(self) -> None:
        """A refused call was not counted by HubSpot, so it must not hide a foreign one."""
        foreign = ForeignUse(WINDOW_S)
        for at in (1.0, 2.0):
            foreign.sent += 1
            foreign.ended(at, at)
        foreign.forget(1.0)
        foreign.forget(1.0)
        foreign.observe(3.0, 2.5, 2)
        assert foreign.hold(3.0) == 1

    def test_very_long_calls_tell_nothing(self) -> None:
        """Once the log is cut, a call from before the cut can not be judged."""
        foreign = ForeignUse(WINDOW_S)
        foreign.sent += 1
        for number in range(1100):
            at = 1.0 + number / 20
            foreign.sent += 1
            foreign.ended(at, at)
        foreign.observe(60.0, 0.5, 150)
        assert foreign.hold(60.0) == 0

    def test_thousands_of_calls(self) -> None:
        """A log that is cut again and again tells the same as one that never is."""
        foreign, at = ForeignUse(WINDOW_S), 0.0
        for _ in range(5_000):
            at += 0.02
            foreign.sent += 1
            foreign.ended(at, at)
        for surplus in (0, 3):
            foreign.observe(at + 0.1, at + 0.01, 500 + surplus)
            assert foreign.hold(at + 0.1) == surplus


class TestStampJitter:
    def learned(self, forward_ms: tuple[float, float], *, per_s: float = 15, calls: int = 900, extra: int = 0) -> float:
        rng, jitter = random.Random(1), StampJitter(WINDOW_S)
        times = [(i / per_s, i / per_s + rng.uniform(*forward_ms) / 1000) for i in range(calls)]
        stamps = sorted(stamp for _, stamp in times)
        events = sorted(
            [(s, 0, i) for i, (s, _) in enumerate(times)] + [(s + 0.4, 1, i) for i, (s, _) in enumerate(times)]
        )
        for at, is_answer, i in events:
            if is_answer:
                stamp = times[i][1]
                count = bisect_right(stamps, stamp) - bisect_right(stamps, stamp - WINDOW_S)
                jitter.observe(at, times[i][0], count + extra)
            else:
                jitter.sent(at)
        return jitter.bound_s(calls / per_s)

    @pytest.mark.parametrize(("least_ms", "most_ms"), [(0, 0), (5, 15), (40, 60), (5, 150), (50, 350)])
    def test_bounds_the_jitter(self, least_ms: float, most_ms: float) -> None:
        """The bound is above the true jitter, and not by an order of magnitude."""
        true_s = (most_ms - least_ms) / 1000
        assert true_s <= self.learned((least_ms, most_ms)) <= 2 * true_s + 0.2

    def test_needs_many_answers(self) -> None:
        """Before 300 telling answers there is no bound, and after a refusal none again."""
        assert self.learned((5, 15), calls=250) == math.inf
        jitter = StampJitter(WINDOW_S)
        for i in range(600):
            jitter.sent(i / 10)
            jitter.observe(i / 10, i / 10, min(i + 1, 100))
        assert jitter.bound_s(60.0) < 0.2
        jitter.forget()
        assert jitter.bound_s(60.0) == math.inf

    def test_counts_beyond_ours_tell_nothing(self) -> None:
        """More calls than were ever sent are no jitter."""
        assert self.learned((5, 15), calls=600, extra=10_000) == math.inf

    def test_forgets_after_five_minutes(self) -> None:
        """What was learned long ago counts no more."""
        jitter = StampJitter(WINDOW_S)
        for i in range(4000):
            jitter.sent(i / 10)
            jitter.observe(i / 10, i / 10, min(i + 1, 100))
        assert jitter.bound_s(400.0) < 0.2
        assert jitter.bound_s(800.0) == math.inf


class TestShutter:
    def shut(self) -> Shutter:
        shutter = Shutter(longest_s=10.0, probe_first=False)
        shutter.refuse(100.0, 99.0, None)
        return shutter

    def test_one_probe_opens(self) -> None:
        """After the pause one call goes; the others wait for what becomes of it."""
        shutter = self.shut()
        assert not shutter.admits(100.2)
        assert shutter.changes_at() == 100.25
        assert shutter.admits(100.25)
        shutter.began(100.25)
        assert not shutter.admits(100.3)
        shutter.passed(100.25)
        assert shutter.admits(100.3)
        assert shutter.pauses == 1

    def test_doubles_up_to_the_window(self) -> None:
        """Each refused probe doubles the pause, up to the window."""
        shutter, now, pauses_s = self.shut(), 100.25, list[float]()
        for _ in range(8):
            shutter.began(now)
            shutter.refuse(now + 0.1, now, None)
            pauses_s.append(round(shutter.opens_at - now - 0.1, 3))
            now = shutter.opens_at
        assert pauses_s == [0.5, 1.0, 2.0, 4.0, 8.0, 10.0, 10.0, 10.0]

    def test_a_passed_probe_starts_over(self) -> None:
        """After a good probe the next pause is short again."""
        shutter = self.shut()
        shutter.began(100.25)
        shutter.passed(100.25)
        shutter.refuse(101.0, 100.5, None)
        assert shutter.opens_at == 101.25

    def test_the_herd_changes_nothing(self) -> None:
        """Refusals and answers of calls that were under way when it shut neither prolong the pause nor open it."""
        shutter = self.shut()
        shutter.refuse(100.1, 99.5, None)
        shutter.passed(99.9)
        shutter.came_to_nothing(99.9)
        assert not shutter.admits(100.2)
        assert (shutter.opens_at, shutter.pauses, shutter.refused) == (100.25, 1, 2)

    def test_the_herd_after_the_probe(self) -> None:
        """A late refusal from before the pause does not shut a gate that a probe has opened."""
        shutter = self.shut()
        shutter.began(100.25)
        shutter.passed(100.25)
        shutter.refuse(100.6, 99.9, None)
        assert shutter.admits(100.6)

    def test_retry_after(self) -> None:
        """HubSpot's wish is honoured when it is longer, whoever brings it, and nonsense is not."""
        shutter = self.shut()
        shutter.refuse(100.1, 99.5, 3.0)
        assert shutter.opens_at == 103.1
        shutter.refuse(100.2, 99.5, 1.0)
        assert shutter.opens_at == 103.1
        for nonsense in (-1.0, math.nan, 0.0):
            other = Shutter(longest_s=10.0, probe_first=False)
            other.refuse(1.0, 0.5, nonsense)
            assert other.opens_at == 1.25

    def test_hung_probe(self) -> None:
        """A probe that hangs holds up the others for two seconds, not for good; one that fails, not at all."""
        shutter = Shutter(longest_s=10.0, probe_first=True)
        shutter.began(5.0)
        assert not shutter.admits(6.9)
        assert shutter.changes_at() == 7.0
        assert shutter.admits(7.0)
        shutter.began(7.0)
        shutter.came_to_nothing(7.0)
        assert shutter.admits(7.1)
        shutter.passed(5.0)
        assert shutter.admits(7.1)
        assert shutter.pauses == 0

    def test_overtaken(self) -> None:
        """A call admitted before the gate shut has to wait again; the probe has not."""
        shutter = self.shut()
        assert shutter.overtook(99.9)
        assert not shutter.overtook(100.25)

    def test_demanded_probe(self) -> None:
        """A probe can be asked for without a pause."""
        shutter = Shutter(longest_s=10.0, probe_first=False)
        shutter.demand_probe(50.0)
        assert shutter.admits(50.0)
        shutter.began(50.0)
        assert not shutter.admits(50.0)
        shutter.passed(50.0)
        assert shutter.admits(50.0)


class TestDailyBudget:
    def test_reserve_is_kept_from_bulk(self) -> None:
        """Near the end of the day bulk stops and interactive goes on; a fresh count lets bulk go on too."""
        daily = DailyBudget(0.10)
        daily.observe(1000, 101, 0.0)
        assert not daily.blocks(Lane.BULK)
        daily.observe(1000, 100, 1.0)
        assert daily.blocks(Lane.BULK)
        assert not daily.blocks(Lane.INTERACTIVE)
        assert not daily.takes_probe(900.0)
        assert daily.takes_probe(901.0)
        assert not daily.takes_probe(901.0)
        daily.observe(None, 999, 902.0)
        assert not daily.blocks(Lane.BULK)

    def test_refused(self) -> None:
        """A DAILY refusal blocks all; a call that began later and passed unblocks, one from before does not."""
        daily = DailyBudget(0.10)
        daily.refuse(10.0)
        assert daily.blocks(Lane.INTERACTIVE)
        daily.passed(9.0)
        assert daily.blocks(Lane.INTERACTIVE)
        assert daily.takes_probe(910.0)
        daily.probe_unused(911.0)
        assert daily.takes_probe(911.0)
        daily.passed(911.0)
        assert not daily.blocks(Lane.BULK)

    def test_quiet(self) -> None:
        """Whatever is heard: until it says, no lane is blocked and no new day comes."""
        daily, midnight = DailyBudget(0.10), datetime(2026, 1, 1, tzinfo=UTC)
        quiet: list[float] = []
        for hear in (
            lambda: daily.observe(1000, 500, 0.0),
            lambda: daily.learn_reset(midnight, 100.0, 10.0),
            lambda: daily.observe(1000, 100, 11.0),
            lambda: daily.observe(1000, 101, 12.0),
            lambda: daily.refuse(13.0),
            lambda: daily.passed(14.0),
            lambda: daily.new_day(110.0),
        ):
            hear()
            quiet.append(daily.quiet_until)
            assert (daily.quiet_until == -math.inf) == daily.blocks(Lane.BULK)
        assert quiet == [math.inf, 110.0, -math.inf, 110.0, -math.inf, 110.0, math.inf]

    def test_new_day(self) -> None:
        """At the reset everything known of the day is forgotten, once."""
        daily, midnight = DailyBudget(0.10), datetime(2026, 1, 1, tzinfo=UTC)
        daily.observe(1000, 0, 0.0)
        daily.refuse(10.0)
        daily.learn_reset(midnight, 100.0, 10.0)
        assert daily.resets_at == midnight
        assert not daily.new_day(109.0)
        assert daily.new_day(110.0)
        assert not daily.new_day(111.0)
        assert not daily.blocks(Lane.BULK)
        known: object = (daily.resets_at, daily.remaining)
        assert known == (None, None)
