"""`hubspot-meetings links`, `slots` and `book`: what is free, and booking it once, when somebody agrees."""

from __future__ import annotations

import asyncio
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from hubspot_meetings_async.emulator import Consent, FormField, ThreadedEmulator

from .command import TOKEN, end, start
from .shell import Answer, Shell

BERLIN = ZoneInfo("Europe/Berlin")
ROUND_THE_CLOCK = {"MON_SUN": "00:00-24:00"}
WHO = ("--email", "grace@example.com", "--first-name", "Grace", "--last-name", "Hopper")


@pytest.fixture
def hubspot(hubspot_emulator: ThreadedEmulator) -> ThreadedEmulator:
    """An account with a link that is free at any time."""
    add_link(hubspot_emulator, "ada/intro")
    return hubspot_emulator


def add_link(hubspot: ThreadedEmulator, slug: str, **options: Any) -> None:
    known: dict[str, Any] = {"hours": ROUND_THE_CLOCK, "increment": 30, "timezone": "Europe/Berlin", "weeks": 4}

    def add(emulator: Any) -> None:
        emulator.portal.scheduler.add_link(slug, **{**known, **options})

    hubspot.call(add)


def noon(days: int = 2) -> datetime:
    """Noon in Berlin, some days from now."""
    return datetime.combine(datetime.now(BERLIN).date() + timedelta(days=days), datetime.min.time(), BERLIN).replace(
        hour=12
    )


def typed(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M}"


def bookings(hubspot: ThreadedEmulator) -> list[tuple[datetime, str]]:
    """When, and for whom."""

    def look(emulator: Any) -> list[tuple[datetime, str]]:
        found = emulator.portal.scheduler.bookings
        return [(datetime.fromtimestamp(one.start_ms / 1000, UTC), one.email) for one in found]

    return hubspot.call(look)


class TestLinks:
    def test_all_or_some_as_hubspot_has_them(self, hubspot: ThreadedEmulator, shell: Shell) -> None:
        every = {link["slug"]: link for link in shell("links").values}
        assert set(every) == {"ada/intro", "maya.lindqvist/intro", "sales/demo"}
        assert every["sales/demo"]["type"] == "ROUND_ROBIN_CALENDAR"
        assert [link["slug"] for link in shell("links", "--kind", "round-robin").values] == ["sales/demo"]
        none = shell("links", "--name", "nobody")
        assert (none.code, none.out, none.err) == (0, "", "The account has no such meeting links.\n")

    def test_a_table_at_a_terminal(self, hubspot: ThreadedEmulator, shell: Shell) -> None:
        lines = shell("links", terminal=True).out.splitlines()
        assert lines[0].split() == ["slug", "name", "kind", "default"]
        assert ["sales/demo", "Product", "demo", "round-robin"] in [line.split() for line in lines]


class TestSlots:
    def test_each_is_an_object_in_the_persons_zone(self, hubspot: ThreadedEmulator, shell: Shell) -> None:
        day = noon().replace(hour=0)
        answer = shell("slots", "ada/intro", "--from", f"{day:%Y-%m-%d}", "--limit", "3", "--timezone", "Asia/Kolkata")
        midnight = datetime.combine(day.date(), datetime.min.time(), ZoneInfo("Asia/Kolkata"))
        assert answer.values[0] == {
            "start": midnight.isoformat(),
            "end": (midnight + timedelta(minutes=30)).isoformat(),
            "duration_s": 1800.0,
        }
        assert len(answer.values) == 3
        assert "There are more: --limit N or --all" in answer.line
        until = shell("slots", "ada/intro", "--from", typed(noon()), "--until", typed(noon() + timedelta(hours=2)))
        assert len(until.values) == 4
        assert until.line == "4 slots of ada/intro, times in Europe/Berlin."

    def test_days_at_a_terminal_with_a_row_for_each_length(self, hubspot: ThreadedEmulator, shell: Shell) -> None:
        add_link(hubspot, "ada/long", durations=(30, 60))
        period = ("--from", typed(noon()), "--until", typed(noon() + timedelta(hours=1)))
        table = shell("slots", "ada/long", *period, terminal=True).out.splitlines()
        assert table[0].split() == ["day", "length", "free"]
        day = f"{noon():%a %Y-%m-%d}".split()
        assert [line.split() for line in table[2:]] == [
            [*day, "30", "min", "12:00", "12:30"],
            ["60", "min", "12:00", "12:30"],
        ]
        one = shell("slots", "ada/long", *period, "--duration", "1h", terminal=True).out.splitlines()
        assert one[0].split() == ["day", "free"]
        assert one[2].split() == [*day, "12:00", "12:30"]

    def test_a_time_without_any(self, hubspot: ThreadedEmulator, shell: Shell) -> None:
        answer = shell("slots", "ada/intro", "--until", "2020-01-01")
        assert (answer.code, answer.out, answer.err) == (0, "", "ada/intro has no free slots in that time.\n")

    @pytest.mark.parametrize(
        ("words", "told"),
        [
            (["nobody/here"], "there is no meeting link 'nobody/here'; `hubspot-meetings links` lists"),
            (["ada/intro", "--duration", "45"], "ada/intro has no meetings of this length; --duration can be 30 min"),
            (["ada/intro", "--duration", "long"], "--duration takes minutes"),
            (["ada/intro", "--from", "soon"], "--from takes a day"),
            (["https://meetings.hubspot.com/ada/intro"], "slug is what stands behind the host"),
            ([], "Missing argument 'SLUG'"),
        ],
    )
    def test_wrong_words_are_told_in_a_line(
        self, hubspot: ThreadedEmulator, shell: Shell, words: list[str], told: str
    ) -> None:
        answer = shell("slots", *words)
        assert (answer.code, answer.out) == (2, "")
        assert told in answer.line


class TestBook:
    def book(self, shell: Shell, at: datetime, *words: str, slug: str = "ada/intro", **how: Any) -> Answer:
        return shell("book", slug, "--start", typed(at), *WHO, *words, **how)

    def test_in_a_pipe(self, hubspot: ThreadedEmulator, shell: Shell) -> None:
        answer = self.book(shell, noon(), "--yes", "--guest", "alan@example.com")
        assert answer.code == 0, answer.err
        [value] = answer.values
        assert value["booked"]["calendarEventId"]
        assert value["booked"]["guestEmails"] == ["alan@example.com"]
        assert value["free"] == []
        assert bookings(hubspot) == [(noon().astimezone(UTC), "grace@example.com")]

    def test_a_person_is_asked_first(self, hubspot: ThreadedEmulator, shell: Shell) -> None:
        for answer in ("", "n\n", "\n", "yess\n"):
            no = self.book(shell, noon(), terminal=True, typed=answer)
            assert (no.code, no.out) == (1, "")
            assert "for Grace Hopper <grace@example.com>" in no.line
            assert no.line.endswith("Nothing was booked.")
        assert bookings(hubspot) == []
        yes = self.book(shell, noon(), terminal=True, typed="y\n")
        assert yes.code == 0, yes.err
        assert f"{noon():%a %Y-%m-%d} 12:00-12:30 Europe/Berlin" in yes.out
        assert len(bookings(hubspot)) == 1

    def test_where_nobody_can_be_asked_it_wants_to_be_told(self, hubspot: ThreadedEmulator, shell: Shell) -> None:
        answer = self.book(shell, noon(), typed="y\n")
        assert (answer.code, answer.out) == (2, "")
        assert "--yes" in answer.err
        assert hubspot.requests == []

    def test_a_time_that_is_taken_is_told_with_the_nearest_free_ones(
        self, hubspot: ThreadedEmulator, shell: Shell
    ) -> None:
        assert self.book(shell, noon(), "--yes").code == 0
        taken = self.book(shell, noon(), "--yes")
        assert taken.code == 1
        [value] = taken.values
        assert value["booked"] is None
        half = timedelta(minutes=30)
        near = [noon() - 2 * half, noon() - half, noon() + half, noon() + 2 * half]
        starts = [datetime.fromisoformat(slot["start"]) for slot in value["free"]]
        assert len(starts) == 5
        assert starts == sorted(starts)
        assert set(near) < set(starts)
        terminal = self.book(shell, noon(), "--yes", terminal=True)
        assert "ada/intro is not free at" in terminal.err
        assert f"{noon():%a %Y-%m-%d} 11:30" in terminal.err
        assert len(bookings(hubspot)) == 1

    def test_a_time_that_is_over_is_told_with_the_next_free_ones(self, hubspot: ThreadedEmulator, shell: Shell) -> None:
        answer = self.book(shell, noon(-40), "--yes")
        assert answer.code == 1
        assert len(answer.values[0]["free"]) == 5

    def test_what_the_form_asks_for_is_wanted_before_anybody_is_asked(
        self, hubspot: ThreadedEmulator, shell: Shell
    ) -> None:
        add_link(
            hubspot,
            "ada/form",
            durations=(30, 60),
            form_fields=[FormField(name="company", is_required=True)],
            consents=[Consent(communication_type_id="7", label="News", required=True)],
        )
        words: list[str] = []
        for told, more in (
            ("the form of ada/form asks for company: add --field company=…", ["--field", "company=Acme"]),
            ("add --consent 7 (News)", ["--consent", "7"]),
            ("choose the length of the meeting with --duration: ada/form has 30 min, 60 min", ["--duration", "60"]),
        ):
            answer = self.book(shell, noon(), *words, slug="ada/form", terminal=True)
            assert answer.code == 2
            assert told in answer.line
            words += more
        booked = self.book(shell, noon(), *words, "--yes", slug="ada/form")
        assert booked.code == 0, booked.err
        assert booked.values[0]["booked"]["duration"] == 3_600_000

    def test_a_lost_answer_is_not_repeated_and_it_says_where_to_look(
        self, hubspot: ThreadedEmulator, shell: Shell
    ) -> None:
        hubspot.fail_next(502, applied=True, operation="scheduler.book")
        answer = self.book(shell, noon(), "--yes")
        assert (answer.code, answer.out) == (3, "")
        assert "It may have been booked" in answer.line
        look = answer.err.strip().splitlines()[-1].split()[1:]
        assert len(bookings(hubspot)) == 1
        looked = shell(*look)
        assert looked.code == 0, (look, looked)
        [first] = looked.values
        assert datetime.fromisoformat(first["start"]) > noon()

    def test_a_calendar_that_is_not_connected(self, hubspot: ThreadedEmulator, shell: Shell) -> None:
        hubspot.call(lambda e: e.portal.scheduler.add_user("off@example.com", calendar=None))
        add_link(hubspot, "off/line", organizer="off@example.com")
        answer = self.book(shell, noon(), "--yes", slug="off/line")
        assert (answer.code, answer.out) == (3, "")
        assert "nothing was booked" in answer.line

    @pytest.mark.parametrize(
        ("words", "told"),
        [
            (["--start", "later"], "--start takes a day"),
            (["--field", "company"], "--field is written like --field company=Acme"),
            (["--duration", "0"], "choose the length of the meeting with --duration: ada/intro has 30 min"),
            (["--guest", " "], "guest_emails must be a string that is not empty"),
            (["--email", ""], "email must be a string that is not empty"),
        ],
    )
    def test_wrong_words_book_nothing(
        self, hubspot: ThreadedEmulator, shell: Shell, words: list[str], told: str
    ) -> None:
        answer = self.book(shell, noon(), "--yes", *words)
        assert (answer.code, answer.out) == (2, "")
        assert told in answer.line
        assert bookings(hubspot) == []

    def test_options_without_which_nothing_can_be_booked(self, shell: Shell) -> None:
        assert "Missing option '--start'" in shell("book", "ada/intro", "--yes").err


async def test_ctrl_c_while_it_is_on_its_way_says_that_it_may_be_booked(tmp_path: Path) -> None:
    with ThreadedEmulator(token=TOKEN) as hubspot:
        add_link(hubspot, "ada/intro")
        hubspot.hang_next(operation="scheduler.book")
        words = ("book", "ada/intro", "--start", noon().isoformat(), *WHO, "--yes", "--base-url", hubspot.url)
        process = await start(*words, cwd=tmp_path)
        await asyncio.to_thread(hubspot.wait_for_requests, 2, timeout_s=60)
        process.send_signal(signal.SIGINT)
        done = await end(process)
        assert done.code == 130
        assert "may be booked" in done.err
        assert "Stopped by you." in done.err
        assert "Traceback" not in done.err
