"""`hubspot-meetings push` against the emulator: every line of a file is accounted for, whatever happens."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import signal
import stat
from pathlib import Path

import pytest

from hubspot_meetings_async.emulator import Emulator, Fault

from .accounts import Silent, account, jsonl, meeting
from .command import TOKEN, end, lines_of, run, start


async def test_a_file_is_created(tmp_path: Path) -> None:
    (tmp_path / "m.jsonl").write_text(jsonl(*range(250)))
    async with account() as hubspot:
        done = await run("push", "m.jsonl", "--base-url", hubspot.url, "--json", cwd=tmp_path)
        assert hubspot.stats().records.created == 250
    assert done.code == 0, done.err
    assert done.account["pulled"] == done.account["created"] == done.account["lines"] == 250
    assert done.account["adds_up"] is True
    assert done.account["rejects"] is None
    assert "created    250" in done.err
    assert os.listdir(tmp_path) == ["m.jsonl"]


async def test_without_json_nothing_goes_to_stdout(tmp_path: Path) -> None:
    (tmp_path / "m.jsonl").write_text(jsonl(1))
    async with account() as hubspot:
        done = await run("push", "m.jsonl", "--base-url", hubspot.url, cwd=tmp_path)
    assert (done.code, done.out) == (0, "")
    assert "\x1b" not in done.err


async def test_broken_lines_and_refused_records_go_to_the_rejects(tmp_path: Path) -> None:
    """A broken line in the middle stops nothing; what was not done is named with its line and can be pushed again."""
    bad = json.dumps(meeting(5) | {"nope": "1"})
    (tmp_path / "m.jsonl").write_text(jsonl(1, 2) + '{"broken\n\n' + jsonl(3) + bad + "\n" + jsonl(4))
    async with account() as hubspot:
        push = ["push", "--base-url", hubspot.url, "--json"]
        done = await run(*push, "m.jsonl", cwd=tmp_path)
        assert done.code == 1
        assert {name: done.account[name] for name in ("lines", "blank", "broken", "pulled", "created", "rejected")} == {
            "lines": 7,
            "blank": 1,
            "broken": 1,
            "pulled": 5,
            "created": 4,
            "rejected": 1,
        }
        rejects = tmp_path / "m.jsonl.rejects.jsonl"
        broken, refused = lines_of(rejects)
        assert (broken["line"], broken["outcome"], broken["text"], broken["record"]) == (3, "broken", '{"broken', None)
        assert (refused["line"], refused["outcome"]) == (6, "rejected")
        assert "nope" in refused["reason"]
        assert refused["record"] == {"properties": meeting(5) | {"nope": "1"}}
        assert stat.S_IMODE(rejects.stat().st_mode) == 0o600

        del refused["record"]["properties"]["nope"]
        rejects.write_text(json.dumps(refused) + "\n")
        again = await run(*push, "m.jsonl.rejects.jsonl", cwd=tmp_path)
        assert (again.code, again.account["created"]) == (0, 1)
        assert hubspot.stats().records.stored == 5


async def test_rejects_of_an_earlier_run_are_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "m.jsonl").write_text("broken\n")
    (tmp_path / "m.jsonl.rejects.jsonl").write_text("precious\n")
    async with account() as hubspot:
        done = await run("push", "m.jsonl", "--base-url", hubspot.url, "--json", cwd=tmp_path)
        named = await run(
            "push", "m.jsonl", "--rejects", "m.jsonl.rejects.jsonl", "--base-url", hubspot.url, cwd=tmp_path
        )
    assert done.account["rejects"] == "m.jsonl.rejects-2.jsonl"
    assert (tmp_path / "m.jsonl.rejects.jsonl").read_text() == "precious\n"
    assert named.code == 2
    assert "exists already" in named.err


async def test_upsert_update_and_archive(tmp_path: Path) -> None:
    (tmp_path / "m.jsonl").write_text(jsonl(1, 2, 3))
    async with account() as hubspot:
        push = ["push", "--base-url", hubspot.url, "--json"]
        upsert = [*push, "m.jsonl", "--upsert", "--id-property", "booking_ref"]
        assert (await run(*upsert, cwd=tmp_path)).account["created"] == 3
        assert (await run(*upsert, cwd=tmp_path)).account["updated"] == 3
        ids = [entry.id for entry in hubspot.portal.ledger()]
        (tmp_path / "u.csv").write_text(f"Record,hs_meeting_title\n{ids[0]},Moved\n")
        update = await run(*push, "u.csv", "--update", "--map", "Record=id", cwd=tmp_path)
        assert (update.code, update.account["updated"]) == (0, 1)
        (tmp_path / "a.jsonl").write_text("".join(json.dumps({"id": one}) + "\n" for one in ids))
        archive = await run(*push, "a.jsonl", "--archive", cwd=tmp_path)
        assert (archive.code, archive.account["archived"]) == (0, 3)
        assert hubspot.stats().records.archived == 3


async def test_a_calendar_export_with_contacts(tmp_path: Path) -> None:
    (tmp_path / "calendar.csv").write_bytes(
        b"\xef\xbb\xbfSubject,Start Date,Start Time,End Date,End Time,People,Private\r\n"
        b'"Lunch, late",5/14/2026,2:30:00 PM,5/14/2026,3:30:00 PM,101;102,False\r\n'
        b"Nightly,3/29/2026,2:30:00 AM,3/29/2026,3:30:00 AM,,False\r\n"
    )
    words = ["push", "calendar.csv", "--timezone", "Europe/Berlin", "--associate", "contact=People"]
    words += ["--map", "Subject=hs_meeting_title", "--map", "Start Date+Start Time=hs_meeting_start_time"]
    words += ["--map", "End Date+End Time=hs_meeting_end_time"]
    dry = await run(*words, "--dry-run", cwd=tmp_path, token=None)
    assert dry.code == 1
    (sent,) = [json.loads(line) for line in dry.out.splitlines()]
    assert sent["properties"] == {
        "hs_meeting_title": "Lunch, late",
        "hs_meeting_start_time": "2026-05-14T12:30:00.000Z",
        "hs_meeting_end_time": "2026-05-14T13:30:00.000Z",
        "hs_timestamp": "2026-05-14T12:30:00.000Z",
    }
    assert [link["to"]["id"] for link in sent["associations"]] == ["101", "102"]
    assert "line 3: hs_meeting_start_time: '3/29/2026 2:30:00 AM' does not exist in Europe/Berlin" in dry.err
    assert "left out: Private" in dry.err
    assert "1 records could be sent, 1 not. Nothing was sent." in dry.err
    async with account() as hubspot:
        done = await run(*words, "--base-url", hubspot.url, "--json", cwd=tmp_path)
        assert hubspot.stats().records.created == 1
    assert (done.code, done.account["created"], done.account["broken"]) == (1, 1, 1)


async def test_standard_input_and_gzip(tmp_path: Path) -> None:
    (tmp_path / "m.jsonl.gz").write_bytes(gzip.compress(jsonl(*range(150)).encode()))
    async with account() as hubspot:
        push = ["push", "--base-url", hubspot.url, "--json"]
        packed = await run(*push, "m.jsonl.gz", cwd=tmp_path)
        typed = await run(*push, "-", cwd=tmp_path, given=(jsonl(*range(150, 400)) + "nonsense\n").encode())
        table = await run(*push, "-", "--format", "csv", cwd=tmp_path, given=b"hs_meeting_title\na\nb\n")
    assert (packed.code, packed.account["created"]) == (0, 150)
    assert (typed.code, typed.account["created"], typed.account["broken"]) == (1, 250, 1)
    assert (table.code, table.account["created"]) == (0, 2)
    assert [reject["line"] for reject in lines_of(tmp_path / "rejects.jsonl")] == [251]


@pytest.mark.parametrize("content", ["", "\n\n", "hs_meeting_title\n"])
async def test_a_file_without_records(tmp_path: Path, content: str) -> None:
    (tmp_path / "m.csv").write_text(content)
    async with account() as hubspot:
        done = await run("push", "m.csv", "--no-journal", "--base-url", hubspot.url, "--json", cwd=tmp_path)
        assert hubspot.stats().requests == 0
        kept = await run("push", "m.csv", "--base-url", hubspot.url, "--json", cwd=tmp_path)
    for one in (done, kept):
        assert (one.code, one.account["pulled"]) == (0, 0)
        assert "no records" in one.err
    assert os.listdir(tmp_path) == ["m.csv"]


async def test_from_line(tmp_path: Path) -> None:
    (tmp_path / "m.jsonl").write_text("nonsense\n" + jsonl(1, 2, 3))
    async with account() as hubspot:
        done = await run("push", "m.jsonl", "--from-line", "3", "--base-url", hubspot.url, "--json", cwd=tmp_path)
    assert (done.code, done.account["created"], done.account["skipped"]) == (0, 2, 2)


async def test_records_whose_answer_was_lost_are_named_and_not_sent_twice(tmp_path: Path) -> None:
    (tmp_path / "m.jsonl").write_text(jsonl(1, 2))
    async with account() as hubspot:
        hubspot.faults.at_rate(1.0, Fault(kind="reset", applied=True), operation="meetings.batch_create")
        done = await run("push", "m.jsonl", "--base-url", hubspot.url, "--json", cwd=tmp_path)
        hubspot.faults.clear()
        assert (done.code, done.account["ambiguous"]) == (1, 2)
        assert "Look them up" in done.err
        assert [reject["outcome"] for reject in lines_of(tmp_path / "m.jsonl.rejects.jsonl")] == ["ambiguous"] * 2
        again = await run("push", "m.jsonl.rejects.jsonl", "--base-url", hubspot.url, "--json", cwd=tmp_path)
        assert (again.code, again.account["broken"], again.account["pulled"]) == (1, 2, 0)
        assert hubspot.stats().records.stored == 2


async def test_a_batch_is_given_up_when_its_time_is_over(tmp_path: Path) -> None:
    (tmp_path / "m.jsonl").write_text(jsonl(1, 2))
    silent = Silent()
    async with silent.listening() as url:
        done = await run("push", "m.jsonl", "--delivery-timeout", "0.5", "--base-url", url, "--json", cwd=tmp_path)
    assert (done.code, done.account["ambiguous"]) == (1, 2), done.err
    assert lines_of(tmp_path / "m.jsonl.rejects.jsonl")[0]["reason"].startswith("timeout")


async def test_an_account_that_is_being_moved_is_waited_for(tmp_path: Path) -> None:
    (tmp_path / "m.jsonl").write_text(jsonl(1, 2))
    async with account() as hubspot:
        hubspot.faults.fail_next(477, retry_after=3600, operation="meetings.batch_create")
        push = ["push", "m.jsonl", "--base-url", hubspot.url, "--json"]
        done = await run(*push, cwd=tmp_path)
        assert (done.code, done.account["created"]) == (3, 0), done.err
        hubspot.faults.fail_next(477, retry_after=1, operation="meetings.batch_create")
        waited = await run(*push, "--wait-for-reset", cwd=tmp_path)
        assert (waited.code, waited.account["created"]) == (0, 2), waited.err


async def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    (tmp_path / "m.jsonl").write_text(jsonl(1, 2))
    async with account() as hubspot:
        push = ["push", "m.jsonl", "--upsert", "--id-property", "booking_ref", "--base-url", hubspot.url, "--json"]
        assert (await run(*push, "--verify", "values", cwd=tmp_path)).account["differing"] == 0
        hubspot.faults.fail_next(503, times=None, operation="meetings.batch_read")
        done = await run(*push, "--verify", "values", cwd=tmp_path)
    assert (done.account["updated"], done.account["unverified"]) == (2, 2), done.err


class TestBrokenOff:
    async def test_a_place_where_no_journal_can_be(self, tmp_path: Path) -> None:
        (tmp_path / "m.jsonl").write_text(jsonl(1))
        async with account() as hubspot:
            words = ["push", "m.jsonl", "--journal", "none/j", "--base-url", hubspot.url]
            done = await run(*words, cwd=tmp_path)
            assert hubspot.stats().records.created == 0
        assert done.code == 3
        assert "make it first" in done.err
        assert "or do without: --no-journal" in done.err

    async def test_a_wrong_token(self, tmp_path: Path) -> None:
        (tmp_path / "m.jsonl").write_text(jsonl(*range(150)))
        async with Emulator(tokens=["another"]) as hubspot:
            push = ["push", "m.jsonl", "--base-url", hubspot.url, "--json"]
            kept = await run(*push, cwd=tmp_path)
            assert os.listdir(tmp_path) == ["m.jsonl"]
            done = await run(*push, "--no-journal", cwd=tmp_path)
        for one in (done, kept):
            assert one.code == 3
            assert "Check HUBSPOT_ACCESS_TOKEN" in one.err
            assert one.account["adds_up"] is True
        assert "Nothing was sent" in kept.err
        assert len(lines_of(tmp_path / "m.jsonl.rejects.jsonl")) == done.account["pulled"]

    async def test_an_unreachable_host(self, tmp_path: Path) -> None:
        (tmp_path / "m.jsonl").write_text(jsonl(1, 2))
        server = await asyncio.start_server(lambda r, w: None, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        server.close()
        await server.wait_closed()
        push = ["push", "m.jsonl", "--base-url", f"http://127.0.0.1:{port}", "--json", "--no-journal"]
        done = await run(*push, cwd=tmp_path)
        assert done.code == 3
        assert "can not be reached" in done.err
        assert (done.account["not_sent"], done.account["adds_up"]) == (2, True)
        assert [reject["outcome"] for reject in lines_of(tmp_path / "m.jsonl.rejects.jsonl")] == ["not_sent"] * 2

    async def test_a_source_that_ends_in_the_middle(self, tmp_path: Path) -> None:
        content = "".join(
            json.dumps(meeting(n) | {"hs_meeting_body": f"{n * 7919 % 10_007}"}) + "\n" for n in range(900)
        )
        (tmp_path / "m.jsonl.gz").write_bytes(gzip.compress(content.encode())[:-2000])
        async with account() as hubspot:
            done = await run("push", "m.jsonl.gz", "--base-url", hubspot.url, "--json", cwd=tmp_path)
            assert hubspot.stats().records.stored == done.account["created"] > 100
        assert done.code == 3
        assert done.account["created"] == done.account["pulled"]
        assert "can not be read after line" in done.err


class TestInterrupted:
    @pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
    async def test_it_stops_soon_and_the_account_adds_up(
        self, tmp_path: Path, number: signal.Signals, code: int
    ) -> None:
        """What is out may be done, what is not out is surely not; both are in the rejects file."""
        (tmp_path / "m.jsonl").write_text(jsonl(*range(5000)))
        silent = Silent()
        async with silent.listening() as url:
            process = await start("push", "m.jsonl", "--no-journal", "--base-url", url, "--json", cwd=tmp_path)
            await silent.asked.wait()
            process.send_signal(number)
            done = await end(process)
        assert done.code == code, done.err
        counts = done.account
        assert counts["adds_up"] is True
        assert counts["ambiguous"] >= 100
        assert counts["pulled"] == counts["ambiguous"] + counts["not_sent"] == counts["lines"] < 5000
        rejects = lines_of(tmp_path / "m.jsonl.rejects.jsonl")
        assert sorted(reject["line"] for reject in rejects) == list(range(1, counts["pulled"] + 1))
        assert sum(reject["outcome"] == "ambiguous" for reject in rejects) == counts["ambiguous"]
        assert f"--from-line {counts['pulled'] + 1}" in done.err
        assert "Stopped by you" in done.err
        assert "Traceback" not in done.err

    async def test_while_it_waits_for_input(self, tmp_path: Path) -> None:
        silent = Silent()
        async with silent.listening() as url:
            process = await start("push", "-", "--format", "jsonl", "--base-url", url, "--json", cwd=tmp_path)
            assert process.stdin is not None
            assert process.stdout is not None
            assert process.stderr is not None
            process.stdin.write(jsonl(1).encode())
            await process.stdin.drain()
            await silent.asked.wait()
            process.send_signal(signal.SIGINT)
            out, err = await process.stdout.read(), await process.stderr.read()
            code = await process.wait()
            process.stdin.close()
        assert code == 130, err
        assert json.loads(out)["ambiguous"] == 1
        assert b"Fatal" not in err
        assert b"Traceback" not in err

    async def test_while_it_waits_for_a_named_pipe(self, tmp_path: Path) -> None:
        """Whoever writes into it may never end."""
        os.mkfifo(tmp_path / "pipe.jsonl")
        silent = Silent()
        async with silent.listening() as url:
            process = await start("push", "pipe.jsonl", "--base-url", url, "--json", cwd=tmp_path)
            writer = await asyncio.to_thread(os.open, tmp_path / "pipe.jsonl", os.O_WRONLY)
            os.write(writer, jsonl(1).encode())
            await silent.asked.wait()
            process.send_signal(signal.SIGINT)
            done = await end(process)
            os.close(writer)
        assert (done.code, done.account["ambiguous"], done.account["journal"]) == (130, 1, None)


class TestUsage:
    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (["none.jsonl"], "none.jsonl: No such file or directory"),
            (["."], "Is a directory"),
            (["m.jsonl", "--upsert"], "--upsert needs --id-property"),
            (["m.jsonl", "--create", "--update"], "choose one of --create, --update"),
            (["m.jsonl", "--archive", "--id-property", "p"], "--id-property goes with"),
            (["m.jsonl", "--id-property", "p"], "a create takes --key-property"),
            (["m.jsonl", "--upsert", "--id-property", "p", "--key-property", "p"], "go with --create"),
            (["m.jsonl", "--on-ambiguous", "reconcile"], "name it with --key-property"),
            (["m.jsonl", "--on-ambiguous", "guess"], "--on-ambiguous"),
            (["m.jsonl", "--verify", "final"], "a create takes --verify values"),
            (["m.jsonl", "--archive", "--verify", "values"], "--archive writes none"),
            (["m.jsonl", "--journal", "j", "--no-journal"], "choose one of --journal"),
            (["m.jsonl", "--durability", "none"], "--durability"),
            (["m.jsonl", "--delivery-timeout", "0"], "--delivery-timeout"),
            (["m.csv", "--upsert", "--id-property", "p", "--associate", "contact=a"], "--associate goes with --create"),
            (["m.csv", "--map", "Subject"], "--map is written like"),
            (["m.csv", "--map", "a=b", "--map", "a=c"], "names 'a' twice"),
            (["m.csv", "--map", "Titel=hs_meeting_title"], "the column 'Titel' is not there; the file has: a, b"),
            (["m.csv", "--associate", "cat=a"], "'cat' can not be associated"),
            (["m.csv", "--timezone", "Berlin/Europe"], "no time zone"),
            (["m.csv", "--encoding", "klingon"], "no encoding"),
            (["m.jsonl", "--timezone", "UTC"], "for CSV"),
            (["m.jsonl", "--base-url", "http://example.com"], "in clear"),
            (["m.jsonl", "--base-url", "example.com"], "base_url must look like"),
            (["m.jsonl", "--workers", "0"], "--workers"),
            (["m.jsonl", "--limit", "none"], "--limit"),
            (["m.jsonl", "--format", "xml"], "--format"),
            (["m.jsonl", "--token", TOKEN[:8]], "--token"),
            ([], "FILE"),
        ],
    )
    async def test_wrong_usage_is_exit_2(self, tmp_path: Path, words: list[str], said: str) -> None:
        (tmp_path / "m.jsonl").write_text(jsonl(1))
        (tmp_path / "m.csv").write_text("a,b\n1,2\n")
        done = await run("push", *words, cwd=tmp_path)
        assert done.code == 2
        assert said.lower() in done.err.lower()
        assert done.out == ""
        assert "Traceback" not in done.err

    @pytest.mark.parametrize("token", [None, "", "  "])
    async def test_a_missing_token(self, tmp_path: Path, token: str | None) -> None:
        (tmp_path / "m.jsonl").write_text(jsonl(1))
        done = await run("push", "m.jsonl", cwd=tmp_path, token=token)
        assert done.code == 2
        assert "HUBSPOT_ACCESS_TOKEN" in done.err

    async def test_help_names_the_exit_codes_and_where_the_token_comes_from(self, tmp_path: Path) -> None:
        done = await run("push", "--help", cwd=tmp_path)
        assert done.code == 0
        words = " ".join(done.out.split())
        assert "Exit codes: 0 all done" in words
        assert "HUBSPOT_ACCESS_TOKEN" in words
        assert "--token" not in words
