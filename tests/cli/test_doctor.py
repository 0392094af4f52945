"""`hubspot-meetings quota` and `doctor`: what is left, and what is wrong with what to do about it."""

from __future__ import annotations

import asyncio
import os
import pty
import socket
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from hubspot_meetings_async.emulator import Behaviour, Emulator, ManualClock, ThreadedEmulator

from ..proxy_server import proxying
from .command import TOKEN, end, run, start
from .shell import Answer, Shell

SECRET = "pat-eu1-0123456789-canary"
READ = "crm.objects.contacts.read"


def findings(answer: Answer) -> dict[str, dict[str, Any]]:
    [value] = answer.values
    assert value["ok"] == (answer.code == 0)
    return {finding["name"]: finding for finding in value["findings"]}


def states(answer: Answer) -> dict[str, str]:
    return {name: finding["state"] for name, finding in findings(answer).items()}


@pytest.fixture
def nobody() -> Iterator[str]:
    """An address where nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


class TestQuota:
    @pytest.mark.hubspot(daily_limit=1_000, limit=190)
    def test_one_call_tells_the_window_and_the_day(self, hubspot_emulator: ThreadedEmulator, shell: Shell) -> None:
        [before] = shell("quota").values
        [value] = shell("quota").values
        assert before["used"] == 1
        tomorrow = datetime.now(UTC).date() + timedelta(days=1)
        assert value == {
            "limit": 190,
            "window_s": 10.0,
            "used": 2,
            "left": 188,
            "daily_limit": 1_000,
            "used_today": 2,
            "left_today": 998,
            "resets_at": f"{tomorrow}T00:00:00Z",
        }
        hubspot_emulator.assert_sent("*", "*", times=2)

    @pytest.mark.hubspot(daily_limit=1_000)
    def test_words_at_a_terminal(self, shell: Shell) -> None:
        lines = [" ".join(line.split()) for line in shell("quota", terminal=True).out.splitlines()]
        assert lines[0] == "any 10 seconds 1 used, 189 left of 190"
        assert lines[1] == "today 1 used, 999 left of 1,000"
        assert lines[2].startswith("starts anew ")
        assert "Europe/Berlin, in " in lines[2]

    @pytest.mark.hubspot(behaviour=Behaviour(daily_headers=False))
    def test_where_there_is_no_daily_limit_the_rest_is_told(
        self, hubspot_emulator: ThreadedEmulator, shell: Shell
    ) -> None:
        hubspot_emulator.fail_next(403, operation="account.daily_usage")
        [value] = shell("quota").values
        assert (value["used"], value["left"], value["daily_limit"], value["left_today"]) == (2, 188, None, None)

    @pytest.mark.hubspot(daily_limit=1)
    def test_a_day_that_is_spent_is_an_answer(self, shell: Shell) -> None:
        assert shell("quota").code == 0
        answer = shell("quota")
        assert answer.code == 0, answer.err
        assert [answer.values[0][name] for name in ("daily_limit", "used_today", "left_today")] == [1, 1, 0]
        assert "1 used, 0 left of 1" in shell("quota", terminal=True).out


class TestErrors:
    """Of all commands that ask: one line, what to do, and an exit code."""

    def test_no_token(self, shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HUBSPOT_ACCESS_TOKEN", "")
        for words in (["links"], ["quota"], ["search"], ["get", "1"], ["slots", "a/b"]):
            answer = shell(*words)
            assert (answer.code, answer.out) == (2, "")
            assert "set the environment variable HUBSPOT_ACCESS_TOKEN" in answer.line

    def test_a_token_that_is_refused(self, shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HUBSPOT_ACCESS_TOKEN", SECRET)
        answer = shell("links")
        assert (answer.code, answer.out) == (3, "")
        assert "Put the access token of a private app, or a service key, into HUBSPOT_ACCESS_TOKEN." in answer.line
        assert SECRET not in answer.err

    def test_a_scope_that_is_missing(self, hubspot_emulator: ThreadedEmulator, shell: Shell) -> None:
        hubspot_emulator.call(lambda emulator: emulator.portal.add_token(hubspot_emulator.token, scopes=[READ]))
        answer = shell("links")
        assert answer.code == 3
        assert answer.line.endswith("of these scopes in HubSpot: scheduler.meetings.meeting-link.read.")

    @pytest.mark.hubspot(daily_limit=1)
    def test_a_day_that_is_spent(self, shell: Shell) -> None:
        assert shell("links").code == 0
        answer = shell("links")
        assert answer.code == 3
        assert "`hubspot-meetings quota` tells when they start anew" in answer.line

    def test_an_address_where_nobody_is(self, shell: Shell, nobody: str) -> None:
        answer = shell("quota", "--base-url", nobody)
        assert (answer.code, answer.out) == (3, "")
        assert answer.line.endswith("`hubspot-meetings doctor` looks for what is wrong on the way.")

    @pytest.mark.parametrize("words", [["--base-url", "ftp://x"], ["--base-url", "http://api.hubapi.com"]])
    def test_an_address_that_is_none(self, shell: Shell, words: list[str]) -> None:
        for command in (["quota"], ["doctor"]):
            answer = shell(*command, *words)
            assert (answer.code, answer.out) == (2, "")
            assert "base_url" in answer.line

    def test_a_server_in_trouble(self, hubspot_emulator: ThreadedEmulator, shell: Shell) -> None:
        hubspot_emulator.fail_next(503, times=3)
        answer = shell("links")
        assert answer.code == 3
        assert "try again in a minute" in answer.line


class TestDoctor:
    @pytest.mark.hubspot(unique_properties=["booking_ref"], daily_limit=1_000)
    def test_everything_is_ready(self, hubspot_emulator: ThreadedEmulator, shell: Shell) -> None:
        scopes = [READ, "crm.objects.contacts.write", "scheduler.meetings.meeting-link.read"]
        hubspot_emulator.call(lambda emulator: emulator.portal.add_token(hubspot_emulator.token, scopes=scopes))
        answer = shell("doctor", "--key-property", "booking_ref", "--api-version", "2026-09")
        assert answer.code == 0
        found = findings(answer)
        assert {finding["state"] for finding in found.values()} == {"ok"}
        assert "account 1234567" in found["token"]["told"]
        assert found["scopes"]["told"] == ", ".join(scopes)
        assert found["today"]["told"].startswith("5 used, 995 left of 1,000, anew at")
        assert "supported until March 2028" in found["API version"]["told"]
        assert answer.values[0]["quota"]["left_today"] == 995
        terminal = shell("doctor", terminal=True)
        assert terminal.code == 0
        assert terminal.out.rstrip().endswith("Everything is ready.")
        assert hubspot_emulator.token not in answer.out + answer.err + terminal.out

    def test_a_token_that_is_refused(self, shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HUBSPOT_ACCESS_TOKEN", SECRET)
        answer = shell("doctor")
        assert answer.code == 1
        assert states(answer) == {"library": "ok", "address": "ok", "token": "fails"}
        assert "was it rotated?" in findings(answer)["token"]["do"]
        assert SECRET not in answer.out + answer.err

    @pytest.mark.parametrize(
        ("token", "told"),
        [
            ("", "set the environment variable HUBSPOT_ACCESS_TOKEN"),
            ("two words", "holds a space"),
            ("eu1-01234567-89ab-cdef-0123-456789abcdef", "API key"),
        ],
    )
    def test_what_is_no_token(self, shell: Shell, monkeypatch: pytest.MonkeyPatch, token: str, told: str) -> None:
        monkeypatch.setenv("HUBSPOT_ACCESS_TOKEN", token)
        answer = shell("doctor")
        assert answer.code == 1
        assert told in findings(answer)["token"]["told"]

    def test_scopes_that_are_missing(self, hubspot_emulator: ThreadedEmulator, shell: Shell) -> None:
        hubspot_emulator.call(lambda emulator: emulator.portal.add_token(hubspot_emulator.token, scopes=["tickets"]))
        answer = shell("doctor")
        assert answer.code == 1
        found = findings(answer)
        assert found["meetings"]["state"] == "fails"
        assert READ in found["meetings"]["do"]
        assert found["meeting links"]["state"] == "note"
        assert "scheduler.meetings.meeting-link.read" in found["meeting links"]["do"]
        assert found["scopes"]["state"] == "note"
        assert "crm.objects.contacts.write" in found["scopes"]["do"]

    @pytest.mark.hubspot(unique_properties=["booking_ref"])
    def test_key_properties(self, hubspot_emulator: ThreadedEmulator, shell: Shell) -> None:
        hubspot_emulator.add_property("plain")
        found = findings(shell("doctor"))["key property"]
        assert (found["state"], found["told"]) == ("ok", "booking_ref (1 of 10 unique properties)")
        plain = shell("doctor", "--key-property", "plain")
        assert plain.code == 1
        assert "not unique" in findings(plain)["key property"]["told"]
        missing = findings(shell("doctor", "--key-property", "no_such"))["key property"]
        assert (missing["state"], missing["told"]) == ("fails", "meetings have no property 'no_such'")
        assert "ensure_key_property('no_such')" in missing["do"]

    def test_none_to_create_by(self, shell: Shell) -> None:
        found = findings(shell("doctor"))["key property"]
        assert found["state"] == "note"
        assert "ensure_key_property('booking_ref')" in found["do"]

    @pytest.mark.hubspot(limit=7, daily_limit=7)
    def test_a_quota_that_is_used_up(self, shell: Shell) -> None:
        for _ in range(2):
            assert shell("quota").code == 0
        answer = shell("doctor")
        assert answer.code == 1
        assert findings(answer)["ten seconds"]["told"] == "7 used, 0 left of 7 in any 10 s"
        assert findings(answer)["ten seconds"]["state"] == "note"
        assert findings(answer)["today"]["state"] == "fails"

    def test_a_clock_that_is_wrong(self, shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
        an_hour_ago = round((datetime.now(UTC) - timedelta(hours=1)).timestamp() * 1000)
        with ThreadedEmulator(Emulator(clock=ManualClock(wall_ms=an_hour_ago))) as hubspot:
            monkeypatch.setenv("HUBSPOT_BASE_URL", hubspot.url)
            found = findings(shell("doctor"))["clock"]
        assert found["state"] == "note"
        assert found["told"] == "this machine's is 60 min ahead of HubSpot's"
        assert "NTP" in found["do"]

    def test_an_address_where_nobody_is(self, shell: Shell, nobody: str) -> None:
        answer = shell("doctor", "--base-url", nobody)
        assert states(answer) == {"library": "ok", "address": "fails"}
        assert "Check the network" in findings(answer)["address"]["do"]
        terminal = shell("doctor", "--base-url", nobody, terminal=True)
        assert terminal.code == 1
        assert "FAILS" in terminal.out
        assert "begin with the first that fails" in terminal.out

    def test_something_else_at_the_address(self, hubspot_emulator: ThreadedEmulator, shell: Shell) -> None:
        answer = shell("doctor", "--base-url", f"{hubspot_emulator.url}/nowhere")
        assert (answer.code, states(answer)["address"]) == (1, "fails")
        hubspot_emulator.strike_next("html", times=3)
        page = shell("doctor")
        assert (page.code, states(page)["address"]) == (1, "fails")


class TestProxy:
    async def test_one_that_gets_through_is_recommended(
        self, tmp_path: Path, nobody: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("http_proxy", "HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        async with Emulator() as hubspot, proxying(to_port=hubspot.port) as proxy:
            monkeypatch.setenv("HTTP_PROXY", proxy.url.replace("//", "//name:secret-of-proxy@"))
            done = await run("doctor", "--base-url", nobody, cwd=tmp_path)
            assert done.code == 1
            assert "add --trust-env here" in done.out
            through = await run("doctor", "--base-url", nobody, "--trust-env", cwd=tmp_path)
            assert through.code == 0
            assert "answers through the environment's proxy" in through.out
        assert "secret-of-proxy" not in done.out + done.err + through.out + through.err


class TestStreams:
    async def test_at_a_real_terminal_it_is_a_table(self, tmp_path: Path) -> None:
        ours, theirs = pty.openpty()
        async with Emulator() as hubspot:
            environment = {**os.environ, "HUBSPOT_ACCESS_TOKEN": TOKEN, "HUBSPOT_BASE_URL": hubspot.url}
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", "from hubspot_meetings_async.cli import main; main()", "links"),
                stdin=DEVNULL, stdout=theirs, stderr=PIPE, cwd=tmp_path, env=environment,
            )  # fmt: skip
            os.close(theirs)
            _, err = await process.communicate()
        shown = os.read(ours, 65536).decode()
        os.close(ours)
        assert (process.returncode, err) == (0, b"")
        assert "slug" in shown
        assert "{" not in shown

    async def test_a_reader_that_has_seen_enough_is_no_error(self, tmp_path: Path) -> None:
        reading, writing = os.pipe()
        async with Emulator(meetings=300) as hubspot:
            process = await start("search", "--all", "--base-url", hubspot.url, cwd=tmp_path, out=writing)
            os.close(writing)
            os.close(reading)
            done = await end(process)
        assert (done.code, done.err) == (0, "")
