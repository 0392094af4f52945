"""The demo, and that it would notice: lost, doubled and altered meetings, and a quota left unused."""

from __future__ import annotations

import io
import os
from datetime import datetime
from pathlib import Path

import msgspec
import pytest

from hubspot_meetings_async.bulk.outcomes import Report
from hubspot_meetings_async.cli.checking import Check, same
from hubspot_meetings_async.cli.dataset import KEY, meetings, write
from hubspot_meetings_async.cli.pushing import Account
from hubspot_meetings_async.cli.verdict import Verdict, show
from hubspot_meetings_async.cli.witness import Stats, steady_use

from .command import run


async def test_a_small_demo_adds_up(tmp_path: Path) -> None:
    done = await run("demo", "--meetings", "700", "--json", cwd=tmp_path, token=None)
    assert done.code == 0, done.err + done.out
    figures = done.account
    assert figures["adds_up"] is True
    assert (figures["lost"], figures["duplicated"], figures["values_different"]) == (0, 0, 0)
    assert figures["stored"] == figures["read_back"] == 700
    assert figures["created"] + figures["updated"] == figures["pulled"] > 700
    assert figures["rate_limited"]["genuine"] == 0
    assert figures["values_compared"] == 700 * 11


async def test_it_works_without_a_terminal(tmp_path: Path) -> None:
    done = await run("demo", "--meetings", "120", "--seed", "3", cwd=tmp_path, token=None)
    assert done.code == 0, done.err
    assert done.out.rstrip().endswith("Everything adds up.")
    assert "\x1b" not in done.out + done.err
    assert os.listdir(tmp_path) == []


class TestDataset:
    def test_the_seed_makes_the_file(self) -> None:
        files = [io.BytesIO() for _ in range(3)]
        for file, seed in zip(files, (7, 7, 8), strict=True):
            write(file, 200, seed)
        assert files[0].getvalue() == files[1].getvalue() != files[2].getvalue()

    def test_keys_are_unique_but_for_the_meetings_that_were_moved(self) -> None:
        all_ = list(meetings(2000, 1))
        assert len({meeting[KEY] for meeting in all_[:2000]}) == 2000
        moved = all_[2000:]
        assert 10 < len(moved) < 100
        assert {meeting["hs_meeting_outcome"] for meeting in moved} == {"RESCHEDULED"}

    def test_meetings_end_after_they_start(self) -> None:
        for meeting in meetings(500, 1):
            start = datetime.fromisoformat(meeting["hs_meeting_start_time"])
            assert start < datetime.fromisoformat(meeting["hs_meeting_end_time"])
            assert meeting["hs_timestamp"] == meeting["hs_meeting_start_time"]


class TestCheck:
    def check(self) -> Check:
        return Check.of({"1": {"hs_timestamp": "2026-05-14T12:30:00Z", "title": "a"}, "2": {"title": "b"}})

    def test_all_there(self) -> None:
        check = self.check()
        assert not check.adds_up
        check.add("2", {"title": "b", "more": "x"})
        check.add("1", {"hs_timestamp": "2026-05-14T12:30:00.000Z", "title": "a"})
        assert check.adds_up
        assert (check.found, check.values) == (2, 3)

    @pytest.mark.parametrize("found", [{"title": "B"}, {"title": None}, {}, {"title": "b "}])
    def test_an_altered_value(self, found: dict[str, str | None]) -> None:
        check = Check.of({"2": {"title": "b"}})
        check.add("2", found)
        assert not check.adds_up
        assert (check.different, check.differences[0].pushed) == (1, "b")

    def test_one_twice_and_one_unknown(self) -> None:
        check = Check.of({"2": {"title": "b"}})
        for key in ("2", "2", "3", None):
            check.add(key, {"title": "b"})
        assert (check.twice, check.unknown, check.adds_up) == (1, 2, False)

    def test_moments_are_the_same_by_instant_not_by_spelling(self) -> None:
        assert same("hs_timestamp", "2026-05-14T12:30:00Z", "2026-05-14T14:30:00.000+02:00")
        assert not same("hs_timestamp", "2026-05-14T12:30:00Z", "2026-05-14T12:30:01Z")
        assert not same("hs_timestamp", "2026-05-14T12:30:00Z", "soon")
        assert not same("title", "2026-05-14T12:30:00Z", "2026-05-14T12:30:00.000Z")


class TestQuotaUse:
    def test_a_full_window_is_all_of_it(self) -> None:
        stamps = [n / 19 for n in range(600)]
        assert steady_use(stamps, [(0.0, 30.0)], 190, 10.0) == pytest.approx(1.0)

    def test_half_the_pace_is_half_of_it(self) -> None:
        stamps = [n / 9.5 for n in range(300)]
        assert steady_use(stamps, [(0.0, 30.0)], 190, 10.0) == pytest.approx(0.5, abs=0.01)

    def test_bursts_count_as_much_as_an_even_pace(self) -> None:
        """It can not be more than all of it, where ever one begins to count."""
        stamps = [10.0 * window + n / 1000 for window in range(4) for n in range(190)]
        assert steady_use(stamps, [(0.0, 35.0)], 190, 10.0) == pytest.approx(1.0, abs=0.01)

    def test_a_short_run_tells_nothing(self) -> None:
        assert steady_use([0.0, 1.0], [(0.0, 9.0)], 190, 10.0) is None
        assert steady_use([], [], 190, 10.0) is None
        assert steady_use([0.0, 1.0], [(0.0, 90.0)], None, 10.0) is None


class TestVerdict:
    def verdict(self, **changes: object) -> Verdict:
        report = Report(operation="upsert", pulled=12, created=10, updated=2)
        stats = {"requests": 2, "uptime_s": 1.0, "rate_limited": {"genuine": 0, "injected": 1}, "faults": {}}
        stats |= {"records": {"created": 10, "updated": 2, "stored": 10}, "limit": 190, "window_s": 10.0, "apps": {}}
        verdict = Verdict(
            meetings=10,
            seed=1,
            lines=12,
            pushed=Account(report=report),
            back=Account(report=Report(operation="read", pulled=10, read=10)),
            check=Check.of({}),
            stats=msgspec.convert(stats, Stats),
            duplicates=0,
            quota_use=0.995,
        )
        return msgspec.structs.replace(verdict, **changes)

    def test_it_adds_up(self) -> None:
        assert self.verdict().adds_up

    def test_anything_wrong_is_noticed(self) -> None:
        assert not self.verdict(duplicates=1).adds_up
        assert not self.verdict(lines=13).adds_up
        assert not self.verdict(meetings=11).adds_up
        assert not self.verdict(check=Check.of({"1": {}})).adds_up
        assert not self.verdict(pushed=Account(report=Report(operation="upsert", pulled=12, created=11))).adds_up

    def test_the_table_says_so(self) -> None:
        from rich.console import Console

        for verdict, word in ((self.verdict(), "Everything adds up."), (self.verdict(duplicates=1), "does not add up")):
            output = io.StringIO()
            show(verdict, Console(file=output, width=100))
            assert word in output.getvalue()
