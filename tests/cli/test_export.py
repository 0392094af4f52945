"""`hubspot-meetings export` and `status`: what a journal tells without a token and without a network."""

from __future__ import annotations

import csv
import io
import json
import os
import stat
from pathlib import Path

import pytest

from hubspot_meetings_async import MeetingsClient

from .accounts import account, jsonl, meeting
from .command import Done, end, run, start

EXPORT = ("export", "job.journal")


@pytest.fixture
async def finished(tmp_path: Path) -> Done:
    """A push of three good records and a bad one, with blank and broken lines between."""
    bad = json.dumps(meeting(3) | {"nope": "1"})
    (tmp_path / "m.jsonl").write_text(jsonl(1) + "\n{broken\n" + jsonl(2) + bad + "\n" + jsonl(4))
    async with account() as hubspot:
        words = ["--key-property", "booking_ref", "--journal", "job.journal", "--base-url", hubspot.url, "--json"]
        return await run("push", "m.jsonl", *words, cwd=tmp_path)


async def test_every_record_has_a_line_in_the_order_of_the_source(tmp_path: Path, finished: Done) -> None:
    done = await run(*EXPORT, cwd=tmp_path, token=None)
    assert done.code == 0, done.err
    lines = [json.loads(line) for line in done.out.splitlines()]
    assert [(line["ordinal"], line["line"], line["outcome"], line["key"]) for line in lines] == [
        (0, 1, "created", "b-1"),
        (1, 4, "created", "b-2"),
        (2, 5, "rejected", "b-3"),
        (3, 6, "created", "b-4"),
    ]
    assert "nope" in lines[2]["reason"]
    assert (lines[2]["id"], lines[0]["reason"]) == (None, None)
    assert lines[0]["id"].isdigit()
    assert "4 records." in done.err
    assert finished.code == 1


async def test_only_some_as_csv_into_a_file_that_only_its_owner_can_read(tmp_path: Path, finished: Done) -> None:
    words = [*EXPORT, "--only", "rejected,in_doubt", "--format", "csv", "-o", "left.csv"]
    done = await run(*words, cwd=tmp_path, token=None)
    assert (done.code, done.out) == (0, ""), done.err
    (row,) = csv.DictReader(io.StringIO((tmp_path / "left.csv").read_text()))
    assert (row["ordinal"], row["line"], row["outcome"], row["key"], row["id"]) == ("2", "5", "rejected", "b-3", "")
    assert stat.S_IMODE((tmp_path / "left.csv").stat().st_mode) == 0o600
    again = await run(*words, cwd=tmp_path, token=None)
    assert again.code == 2
    assert "left.csv exists already" in again.err
    assert finished.account["rejected"] == 1


async def test_csv_to_standard_output(tmp_path: Path, finished: Done) -> None:
    done = await run(*EXPORT, "--format", "csv", cwd=tmp_path, token=None)
    assert len(list(csv.DictReader(io.StringIO(done.out)))) == finished.account["pulled"]


async def test_lines_are_not_guessed_when_the_source_is_another(tmp_path: Path, finished: Done) -> None:
    assert finished.code == 1
    for change in ((tmp_path / "m.jsonl").write_text, lambda _: (tmp_path / "m.jsonl").unlink()):
        change(jsonl(8, 9))
        done = await run(*EXPORT, cwd=tmp_path, token=None)
        assert done.code == 0, done.err
        assert [json.loads(line)["line"] for line in done.out.splitlines()] == [None] * 4


async def test_an_unknown_outcome_is_wrong_usage(tmp_path: Path, finished: Done) -> None:
    done = await run(*EXPORT, "--only", "created,failed", cwd=tmp_path, token=None)
    assert (done.code, finished.code) == (2, 1)
    assert "--only takes created, updated," in done.err


async def test_a_reader_that_has_seen_enough_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "m.jsonl").write_text(jsonl(*range(3000)))
    async with account() as hubspot:
        words = ["push", "m.jsonl", "--journal", "job.journal", "--base-url", hubspot.url]
        assert (await run(*words, cwd=tmp_path)).code == 0
    read, write = os.pipe()
    process = await start(*EXPORT, cwd=tmp_path, token=None, out=write)
    os.close(write)
    os.close(read)
    done = await end(process)
    assert (done.code, done.err) == (0, "")


async def test_status_tells_what_is_done_and_what_next(tmp_path: Path, finished: Done) -> None:
    plain = await run("status", "job.journal", cwd=tmp_path, token=None)
    told = await run("status", "job.journal", "--json", cwd=tmp_path, token=None)
    assert (plain.code, told.code, finished.code) == (1, 1, 1)
    assert "\x1b" not in plain.out + plain.err
    for words in ("create by booking_ref", "account 1234567", "m.jsonl", "Next: hubspot-meetings export job.journal"):
        assert words in plain.out
    state = told.account
    assert state["outcomes"] == {"created": 3, "rejected": 1}
    assert (state["records"], state["finished"], state["done"], len(state["runs"])) == (4, True, False, 1)


async def test_status_of_a_programs_journal(tmp_path: Path) -> None:
    async with account() as hubspot, MeetingsClient("t", base_url=hubspot.url) as client:
        await client.bulk.create([meeting(1)], journal=tmp_path / "p.journal")
        done = await run("status", "p.journal", "--json", cwd=tmp_path, token=None)
        assert (done.code, done.account["done"], done.account["source"]) == (0, True, None)
        assert done.account["next"] == "nothing: every record is done"
        exported = await run("export", "p.journal", cwd=tmp_path, token=None)
        assert json.loads(exported.out)["line"] is None
