"""`hubspot-meetings resume`: a push that was cut off anywhere is finished by one command, exact to the record."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import signal
from asyncio.subprocess import Process
from pathlib import Path
from typing import Any

import pytest

from hubspot_meetings_async import MeetingsClient
from hubspot_meetings_async.bulk.journal.store import open_store
from hubspot_meetings_async.cli.wanted import Wanted
from hubspot_meetings_async.emulator import Emulator

from .accounts import Silent, account, copies, jsonl, meeting, until
from .command import TOKEN, Done, end, lines_of, run, start

RECORDS = 2000
KEYED = ("--key-property", "booking_ref")


async def push(hubspot: Emulator, tmp_path: Path, *words: str, file: str = "m.jsonl") -> Process:
    """A push with two batches in flight at a time, a tenth of a second each."""
    return await start("push", file, *words, "--workers", "2", "--base-url", hubspot.url, "--json", cwd=tmp_path)


async def cut_off(
    hubspot: Emulator, tmp_path: Path, number: signal.Signals, *words: str, file: str = "m.jsonl"
) -> Done:
    """A push that was ended by a signal when HubSpot had made 300 meetings."""
    process = await push(hubspot, tmp_path, *words, file=file)
    await until(lambda: hubspot.stats().records.created >= 300)
    process.send_signal(number)
    return await end(process)


async def status(tmp_path: Path, journal: str = "m.jsonl.journal") -> dict[str, Any]:
    return (await run("status", journal, "--json", cwd=tmp_path, token=None)).account


async def resume(tmp_path: Path, journal: str = "m.jsonl.journal", **options: Any) -> Done:
    return await run("resume", journal, "--json", cwd=tmp_path, **options)


class TestExactlyOnce:
    async def test_ctrl_c_leaves_nothing_in_doubt_and_the_summary_names_the_command_that_finishes(
        self, tmp_path: Path
    ) -> None:
        (tmp_path / "m.jsonl").write_text(jsonl(*range(RECORDS)))
        async with account(service_latency_s=0.1) as hubspot:
            done = await cut_off(hubspot, tmp_path, signal.SIGINT, *KEYED)
            assert done.code == 130, done.err
            assert done.account["finish"] == "hubspot-meetings resume m.jsonl.journal"
            assert f"    {done.account['finish']}\n" in done.err
            state = await status(tmp_path)
            assert state["outcomes"] == {"created": hubspot.stats().records.created}
            assert (state["finished"], state["next"]) == (False, done.account["finish"])
            finished = await run(*shlex.split(done.account["finish"])[1:], "--json", cwd=tmp_path)
            assert finished.code == 0, finished.err
            assert set(copies(hubspot).values()) == {1}
            assert len(copies(hubspot)) == RECORDS
        assert finished.account["settled_before"] + finished.account["created"] == RECORDS
        assert finished.account["settled_before"] == done.account["created"]
        assert sorted(os.listdir(tmp_path)) == ["m.jsonl"]

    async def test_killed_again_and_again_with_a_key_every_record_is_there_once(self, tmp_path: Path) -> None:
        (tmp_path / "m.jsonl").write_text(jsonl(*range(RECORDS)))
        async with account(service_latency_s=0.1) as hubspot:
            assert (await cut_off(hubspot, tmp_path, signal.SIGKILL, *KEYED)).code == -signal.SIGKILL
            assert (await status(tmp_path))["outcomes"]["in_doubt"] >= 100
            process = await start("resume", "m.jsonl.journal", cwd=tmp_path)
            await until(lambda: hubspot.stats().records.created >= 900)
            process.kill()
            await end(process)
            done = await resume(tmp_path)
            assert done.code == 0, done.err
            assert set(copies(hubspot).values()) == {1}
            assert len(copies(hubspot)) == RECORDS
        assert done.account["found"] >= 100

    async def test_without_a_key_what_was_under_way_is_named_and_never_sent_again(self, tmp_path: Path) -> None:
        (tmp_path / "m.jsonl").write_text(jsonl(*range(RECORDS)))
        async with account(service_latency_s=0.1) as hubspot:
            await cut_off(hubspot, tmp_path, signal.SIGKILL)
            in_doubt = (await status(tmp_path))["outcomes"]["in_doubt"]
            done = await resume(tmp_path)
            assert (done.code, done.account["ambiguous"]) == (1, in_doubt), done.err
            assert "Look them up" in done.err
            state = await status(tmp_path)
            assert state["outcomes"] == {"created": RECORDS - in_doubt, "ambiguous": in_doubt}
            assert state["why_ambiguous"] == {"crash": in_doubt}
            assert (state["finished"], state["done"], state["records"]) == (True, False, RECORDS)
            assert state["next"] == "hubspot-meetings export m.jsonl.journal --only ambiguous"
            listed = await run(*shlex.split(state["next"])[1:], cwd=tmp_path, token=None)
            assert set(copies(hubspot).values()) == {1}
            stored = hubspot.stats().records.stored
            again = await run("push", "m.jsonl", "--base-url", hubspot.url, "--json", cwd=tmp_path)
            assert (again.code, again.account["settled_before"], again.account["pulled"]) == (1, RECORDS, 0)
            assert hubspot.stats().records.stored == stored
        lines = [json.loads(line)["line"] for line in listed.out.splitlines()]
        rejects = lines_of(tmp_path / "m.jsonl.rejects.jsonl")
        assert sorted(reject["line"] for reject in rejects) == sorted(lines)
        assert {(reject["outcome"], reject["reason"].split(":")[0]) for reject in rejects} == {("ambiguous", "crash")}
        assert rejects[0]["record"]["properties"] == meeting(rejects[0]["line"] - 1)

    async def test_the_same_push_again_goes_on_too(self, tmp_path: Path) -> None:
        (tmp_path / "m.jsonl").write_text(jsonl(*range(RECORDS)))
        async with account(service_latency_s=0.1) as hubspot:
            await cut_off(hubspot, tmp_path, signal.SIGTERM, *KEYED)
            done = await end(await push(hubspot, tmp_path, *KEYED))
            assert done.code == 0, done.err
            assert "Going on with m.jsonl.journal: " in done.err
            assert hubspot.stats().records.created == RECORDS

    async def test_the_options_come_from_the_journal(self, tmp_path: Path) -> None:
        rows = "".join(f"b-{n};Meeting {n};14.05.2026 14:30\n" for n in range(RECORDS))
        (tmp_path / "m.csv").write_text("Ref;Subject;Start\n" + rows, "cp1252")
        words = [*KEYED, "--map", "Ref=booking_ref", "--map", "Subject=hs_meeting_title", "--from-line", "3"]
        words += ["--map", "Start=hs_meeting_start_time", "--timezone", "Europe/Berlin", "--encoding", "cp1252"]
        words += ["--journal", "j/job.db", "--rejects", "j/left.jsonl", "--api-version", "2026-03"]
        (tmp_path / "j").mkdir()
        async with account(service_latency_s=0.1) as hubspot:
            await cut_off(hubspot, tmp_path, signal.SIGINT, *words, file="m.csv")
            elsewhere = tmp_path / "elsewhere"
            elsewhere.mkdir()
            done = await run("resume", "../j/job.db", "--json", cwd=elsewhere)
            assert (done.code, done.account["skipped"]) == (0, 1), done.err
            stored = list(hubspot.portal.objects())
        assert len(stored) == RECORDS - 1
        assert {one["hs_meeting_start_time"][:16] for one in stored} == {"2026-05-14T12:30"}
        assert (tmp_path / "j" / "job.db").exists()  # named, so kept

    async def test_standard_input_goes_on_when_it_is_piped_in_again(self, tmp_path: Path) -> None:
        content = jsonl(*range(1200)).encode()
        words = [*KEYED, "--format", "jsonl", "--journal", "in.journal"]
        async with account(service_latency_s=0.1) as hubspot:
            process = await push(hubspot, tmp_path, *words, file="-")
            assert process.stdin is not None
            process.stdin.write(content)
            await until(lambda: hubspot.stats().records.created >= 300)
            process.send_signal(signal.SIGINT)
            done = await end(process)
            assert "the same command again, with --journal in.journal" in done.err
            refused = await resume(tmp_path, "in.journal")
            assert refused.code == 2
            assert "standard input" in refused.err
            assert "pipe the same records" in refused.err
            process = await push(hubspot, tmp_path, *words, file="-")
            again = await end(process, content)
            assert again.code == 0, again.err
            assert hubspot.stats().records.created == len(copies(hubspot)) == 1200


async def test_a_second_ctrl_c_ends_at_once_and_the_journal_knows_what_was_under_way(tmp_path: Path) -> None:
    (tmp_path / "m.jsonl").write_text(jsonl(*range(300)))
    silent = Silent()
    async with silent.listening() as url:
        process = await start("push", "m.jsonl", "--base-url", url, "--json", cwd=tmp_path)
        await silent.asked.wait()
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        await process.stderr.readuntil(b"Ctrl-C again ends at once.")
        process.send_signal(signal.SIGINT)
        done = await end(process)
    assert (done.code, done.out) == (130, "")
    assert (await status(tmp_path))["outcomes"] == {"in_doubt": 100}


class TestRejects:
    async def test_each_is_in_the_file_once_whatever_was_cut_off(self, tmp_path: Path) -> None:
        """Also those that an earlier run was ended before it could write down, and when the file is lost."""
        bad = {150: "{broken", 160: json.dumps(meeting(160) | {"nope": "1"}), 1900: json.dumps({"nope": "1"})}
        lines = [bad.get(n, json.dumps(meeting(n))) for n in range(RECORDS)]
        (tmp_path / "m.jsonl").write_text("\n".join(lines))
        rejects = tmp_path / "m.jsonl.rejects.jsonl"
        async with account(service_latency_s=0.1) as hubspot:
            await cut_off(hubspot, tmp_path, signal.SIGKILL, *KEYED, "--journal", "j")
            early = [reject["line"] for reject in lines_of(rejects)]
            assert early == [151, 161]
            rejects.write_text(rejects.read_text().splitlines(keepends=True)[0] + '{"line": 161, "outc')
            done = await resume(tmp_path, "j")
            assert (done.code, done.account["broken"], done.account["rejected"]) == (1, 1, 1), done.err
            assert [(one["line"], one["outcome"]) for one in lines_of(rejects)] == [
                (151, "broken"),
                (1901, "rejected"),
                (161, "rejected"),
            ]
            assert lines_of(rejects)[2]["record"]["properties"]["nope"] == "1"
            assert "nope" in lines_of(rejects)[2]["reason"]
            rejects.unlink()
            again = await resume(tmp_path, "j")
            assert (again.code, again.account["pulled"]) == (1, 0)
            assert sorted(one["line"] for one in lines_of(rejects)) == [151, 161, 1901]
            assert hubspot.stats().records.created == RECORDS - 3

    async def test_what_a_resumed_run_will_send_is_no_reject(self, tmp_path: Path) -> None:
        """Pushed from both places, it would be there twice."""
        (tmp_path / "m.jsonl").write_text(jsonl(*range(RECORDS)))
        silent = Silent()
        async with silent.listening() as url:
            process = await start("push", "m.jsonl", "--base-url", url, "--json", cwd=tmp_path)
            await silent.asked.wait()
            process.send_signal(signal.SIGTERM)
            done = await end(process)
        assert done.account["not_sent"] >= 100
        rejects = lines_of(tmp_path / "m.jsonl.rejects.jsonl")
        assert len(rejects) == done.account["ambiguous"] == 100
        assert {reject["outcome"] for reject in rejects} == {"ambiguous"}


class TestRefused:
    async def test_a_missing_and_a_wrong_token_change_nothing(self, tmp_path: Path) -> None:
        (tmp_path / "m.jsonl").write_text(jsonl(*range(RECORDS)))
        async with account(service_latency_s=0.1, tokens=[TOKEN]) as hubspot:
            await cut_off(hubspot, tmp_path, signal.SIGKILL, *KEYED)
            before = (await status(tmp_path))["outcomes"]
            missing = await resume(tmp_path, token=None)
            wrong = await resume(tmp_path, token="pat-na1-another")
            assert (missing.code, wrong.code) == (2, 3)
            assert "HUBSPOT_ACCESS_TOKEN" in missing.err
            assert "Check HUBSPOT_ACCESS_TOKEN" in wrong.err
            assert wrong.account["finish"] == "hubspot-meetings resume m.jsonl.journal"
            assert (await status(tmp_path))["outcomes"] == before
            assert TOKEN.encode() not in (tmp_path / "m.jsonl.journal").read_bytes()
            assert (await resume(tmp_path)).code == 0
            assert len(copies(hubspot)) == RECORDS

    async def test_another_account(self, tmp_path: Path) -> None:
        (tmp_path / "m.jsonl").write_text(jsonl(*range(RECORDS)))
        async with account(service_latency_s=0.1) as hubspot:
            await cut_off(hubspot, tmp_path, signal.SIGINT, *KEYED)
        async with account(portal_id=7_654_321) as another:
            done = await run("push", "m.jsonl", *KEYED, "--base-url", another.url, cwd=tmp_path)
            assert done.code == 3
            assert "portal is '1234567', and this run's is '7654321'" in done.err
            assert "nothing was sent" in done.err
            assert another.stats().records.created == 0

    async def test_another_source_in_its_place(self, tmp_path: Path) -> None:
        source = tmp_path / "m.jsonl"
        source.write_text(jsonl(*range(RECORDS)))
        async with account(service_latency_s=0.1) as hubspot:
            await cut_off(hubspot, tmp_path, signal.SIGINT, *KEYED)
            created = hubspot.stats().records.created
            source.write_text(jsonl(*range(1, RECORDS)))
            changed = await resume(tmp_path)
            assert changed.code == 3
            assert "was changed since the push began" in changed.err
            assert "not the one that this journal knows" in changed.err
            source.unlink()
            gone = await resume(tmp_path)
            assert gone.code == 2
            assert "is gone: put it back" in gone.err
            assert hubspot.stats().records.created == created
            source.write_text(jsonl(*range(RECORDS + 10)))
            longer = await resume(tmp_path)
            assert longer.code == 0
            assert "was changed since" in longer.err
            assert hubspot.stats().records.created == RECORDS + 10

    async def test_a_journal_does_not_say_where_the_token_goes(self, tmp_path: Path) -> None:
        (tmp_path / "m.jsonl").write_text(jsonl(1))
        elsewhere = "https://hubspot.example.com"
        wanted = Wanted(file=str(tmp_path / "m.jsonl"), base_url=elsewhere)
        meta = {"operation": "create", "mode": "hold", "host": "hubspot.example.com", **wanted.meta()}
        await open_store(tmp_path / "j", meta=meta).aclose()
        assert (await status(tmp_path, "j"))["next"] == f"hubspot-meetings resume j --base-url {elsewhere}"
        done = await resume(tmp_path, "j")
        assert done.code == 2
        assert "not HubSpot's own address" in done.err
        agreed = await run("resume", "j", "--base-url", elsewhere, cwd=tmp_path, token=None)
        assert "HUBSPOT_ACCESS_TOKEN" in agreed.err  # the next thing that is looked at

    async def test_a_journal_of_a_program(self, tmp_path: Path) -> None:
        async with account() as hubspot, MeetingsClient("t", base_url=hubspot.url) as client:
            await client.bulk.create([meeting(1)], journal=tmp_path / "p.journal")
        done = await resume(tmp_path, "p.journal")
        assert done.code == 2
        assert "made by a program" in done.err
        assert "journal='p.journal'" in done.err


class TestJournal:
    async def test_one_nobody_asked_for_goes_when_all_is_done_and_a_named_one_stays(self, tmp_path: Path) -> None:
        (tmp_path / "m.jsonl").write_text(jsonl(1, 2))
        async with account() as hubspot:
            words = ["push", "m.jsonl", "--upsert", "--id-property", "booking_ref", "--base-url", hubspot.url, "--json"]
            passing = await run(*words, cwd=tmp_path)
            assert os.listdir(tmp_path) == ["m.jsonl"]
            named = await run(*words, "--journal", "kept", cwd=tmp_path)
            none = await run(*words, "--no-journal", cwd=tmp_path)
        assert (passing.account["journal"], named.account["journal"], none.account["journal"]) == (None, "kept", None)
        assert "m.jsonl.journal removed" in passing.err
        assert "hubspot-meetings export kept" in named.err
        assert "journal" not in none.err
        assert sorted(os.listdir(tmp_path)) == ["kept", "m.jsonl"]
        assert (tmp_path / "kept").stat().st_mode & 0o777 == 0o600

    async def test_one_that_is_in_use(self, tmp_path: Path) -> None:
        (tmp_path / "m.jsonl").write_text(jsonl(*range(300)))
        silent = Silent()
        async with silent.listening() as url:
            process = await start("push", "m.jsonl", "--base-url", url, cwd=tmp_path)
            await silent.asked.wait()
            for words in (["status"], ["export"], ["resume"]):
                done = await run(*words, "m.jsonl.journal", cwd=tmp_path)
                assert (done.code, done.out) == (3, "")
                assert "is open in another run" in done.err
            second = await run("push", "m.jsonl", "--base-url", url, cwd=tmp_path)
            assert second.code == 3
            assert "is open in another run" in second.err
            process.kill()
            await end(process)
        assert (await status(tmp_path))["outcomes"]["in_doubt"] == 100

    @pytest.mark.parametrize(
        ("content", "code", "said"),
        [(None, 2, "no"), (b"", 2, "nothing"), (b"meetings,and,more\n" * 20, 3, "is no journal of this library")],
    )
    @pytest.mark.parametrize("word", ["status", "export", "resume"])
    async def test_what_is_no_journal_is_not_touched(
        self, tmp_path: Path, word: str, content: bytes | None, code: int, said: str
    ) -> None:
        file = tmp_path / "some.journal"
        if content is not None:
            await asyncio.to_thread(file.write_bytes, content)
        done = await run(word, "some.journal", cwd=tmp_path)
        # An empty file is what a run leaves that was ended before it began; resume counts it as none.
        assert done.out == ""
        assert done.code == (3 if content == b"" and word != "resume" else code)
        assert said in done.err.lower()
        assert "Traceback" not in done.err
        assert os.listdir(tmp_path) == ([] if content is None else ["some.journal"])
        assert content is None or file.read_bytes() == content
