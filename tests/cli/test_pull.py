"""`hubspot-meetings pull`: what it says, how it ends, and that wrong words get a line."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import sqlite3
from pathlib import Path

import pytest

from hubspot_meetings_async.emulator import ThreadedEmulator

from .accounts import Silent, account, meeting
from .command import end, start
from .shell import Shell

pytestmark = pytest.mark.hubspot(unique_properties=["booking_ref"], search_limit=None)


def add(hubspot: ThreadedEmulator, *numbers: int) -> None:
    """Meetings that search shows, of an hour ago."""
    for number in numbers:
        hubspot.add_object("meetings", properties=meeting(number))
    hubspot.advance(3600)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


class TestPull:
    def test_everything_and_then_what_changed(
        self, hubspot_emulator: ThreadedEmulator, shell: Shell, home: Path
    ) -> None:
        add(hubspot_emulator, 1, 2)
        first = shell("pull", "--to", "m.csv", "--json")
        assert first.code == 0, first.err
        assert re.fullmatch(r"m\.csv: 2 meetings written, in [0-9.]+ s", first.line)
        (value,) = first.values
        assert (value["seen"], value["meetings"], value["whole"], value["failure"]) == (2, 2, True, None)
        add(hubspot_emulator, 3)
        second = shell("pull", "--to", "m.csv")
        assert (second.code, second.out) == (0, "")
        assert second.line.startswith("m.csv: 1 meeting written, in")
        third = shell("pull", "--to", "m.csv")
        assert third.line.startswith("m.csv: nothing has changed, in")
        with (home / "m.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert [row["booking_ref"] for row in rows] == ["b-1", "b-2", "b-3"]

    def test_properties_and_associations(self, hubspot_emulator: ThreadedEmulator, shell: Shell, home: Path) -> None:
        add(hubspot_emulator, 1)
        words = ("--properties", "booking_ref, hs_meeting_title", "--associations", "contacts,deals")
        assert shell("pull", "--to", "m.jsonl", *words).code == 0
        (line,) = map(json.loads, (home / "m.jsonl").read_text().splitlines())
        assert line["properties"]["booking_ref"] == "b-1"
        assert "hs_timestamp" not in line["properties"]
        assert shell("pull", "--to", "m.db", "--all-properties").code == 0
        connection = sqlite3.connect(home / "m.db")
        names = [name for _, name, *_ in connection.execute("PRAGMA table_info(meetings)")]
        connection.close()
        assert {"hs_createdate", "hs_timestamp", "booking_ref"} < set(names)

    def test_a_bar_on_a_terminal(self, hubspot_emulator: ThreadedEmulator, shell: Shell, home: Path) -> None:
        add(hubspot_emulator, *range(300))
        answer = shell("pull", "--to", "m.db", terminal=True)
        assert answer.code == 0, answer.err
        assert "300/300" in answer.err
        assert "quota" in answer.err

    def test_values_that_do_not_fit_are_told(
        self, hubspot_emulator: ThreadedEmulator, shell: Shell, home: Path
    ) -> None:
        hubspot_emulator.add_property("seats", type="number")
        add(hubspot_emulator, 1)
        assert shell("pull", "--to", "m.db").code == 0
        with ThreadedEmulator() as changed:
            changed.add_property("booking_ref")
            changed.add_property("seats")
            changed.advance(7200)
            changed.add_object("meetings", properties={**meeting(2), "seats": "a dozen"})
            changed.advance(7200)
            answer = shell("pull", "--to", "m.db", "--base-url", changed.url)
        assert answer.code == 0, answer.err
        assert "property seats: 1 value is not of the property's type; as text in the column unfit" in answer.line


class TestWrong:
    @pytest.mark.parametrize(
        ("words", "said"),
        [
            ((), "Missing option '--to'"),
            (("--to", "m.xlsx"), "m.xlsx does not say what it is"),
            (("--to", "none/m.db"), "make it first"),
            (("--to", "m.db", "--every", "20"), "--every goes with --watch"),
            (("--to", "m.db", "--every", "3", "--watch"), "greater than or equal to 10"),
            (("--to", "m.db", "--properties", "a,,b"), "--properties takes names with commas between them"),
            (("--to", "m.db", "--properties", "a", "--all-properties"), "choose one of"),
            (("--to", "m.db", "--properties", "booking_reff"), "no property 'booking_reff'; there is booking_ref"),
            (("--to", "mysql://u:canary@h/d"), "can not be kept at mysql://"),
        ],
    )
    def test_wrong_usage(self, words: tuple[str, ...], said: str, shell: Shell, home: Path) -> None:
        answer = shell("pull", *words)
        assert (answer.code, answer.out) == (2, "")
        assert said in answer.line
        assert "canary" not in answer.err
        assert os.listdir(home) == []

    def test_a_database_that_is_not_there(self, shell: Shell, home: Path) -> None:
        answer = shell("pull", "--to", "postgresql://sync:canary@127.0.0.1:1/crm")
        assert answer.code == 3
        assert "Broken off: postgresql://sync@127.0.0.1:1/crm can not be used" in answer.line
        assert "canary" not in answer.err

    def test_a_token_that_is_refused(self, shell: Shell, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HUBSPOT_ACCESS_TOKEN", "wrong")
        answer = shell("pull", "--to", "m.db")
        assert answer.code == 3
        assert "HUBSPOT_ACCESS_TOKEN" in answer.line
        assert os.listdir(home) == []


class TestStopped:
    async def test_ctrl_c_ends_a_watch_as_it_should_end(self, tmp_path: Path) -> None:
        async with account() as hubspot:
            hubspot.portal.add_object("meetings", properties=meeting(1))
            process = await start("pull", "--to", "m.db", "--watch", "--base-url", hubspot.url, cwd=tmp_path)
            assert process.stderr is not None
            while b"Looking for changes every 60 s" not in (line := await process.stderr.readline()):
                assert line
            process.send_signal(signal.SIGINT)
            done = await end(process)
        assert done.code == 0, done.err
        assert "Stopped by you. What was written stays" in done.err
        assert "Traceback" not in done.err
        assert os.listdir(tmp_path) == ["m.db"]

    async def test_ctrl_c_breaks_a_single_pull_off(self, tmp_path: Path) -> None:
        silent = Silent()
        async with silent.listening() as url:
            process = await start("pull", "--to", "m.db", "--base-url", url, cwd=tmp_path)
            await silent.asked.wait()
            process.send_signal(signal.SIGINT)
            done = await end(process)
        assert done.code == 130, done.err
        assert "Traceback" not in done.err
        assert os.listdir(tmp_path) == []
