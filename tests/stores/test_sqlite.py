"""A copy in SQLite: typed columns, meetings and cursor in one transaction, and readers at any time."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import stat
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest

from hubspot_meetings_async import ConfigurationError, StoreError
from hubspot_meetings_async.stores import SQLiteStore

from .samples import VALUES, kept_for, sql, version

CHILD = """
import asyncio, sys
from hubspot_meetings_async.stores import SQLiteStore
from tests.stores.samples import kept_for, version

async def main():
    async with SQLiteStore(sys.argv[1]) as store:
        await store.keep(kept_for(links=["contacts"]), cursor=None)
        for lot in range(1_000_000):
            await store.write([version(10 * lot + n, links={"contacts": [n]}) for n in range(10)], str(lot))
            print(lot, flush=True)

asyncio.run(main())
"""


async def test_values_have_the_types_of_their_properties(tmp_path: Path) -> None:
    async with SQLiteStore(tmp_path / "m.db") as store:
        await store.keep(kept_for(), cursor=None)
        await store.write([version(1, values=VALUES), version(2, values={"seats": "3"})], "c1")
    types = ", ".join(f"typeof({name}) AS {name}" for name in ("id", "hs_timestamp", "seats", "paid", "due", "stage"))
    first, second = sql(tmp_path / "m.db", f"SELECT {types} FROM meetings")  # noqa: S608
    assert list(first.values()) == ["integer", "text", "real", "integer", "text", "text"]
    assert second["seats"] == "integer"
    (found,) = sql(tmp_path / "m.db", "SELECT strftime('%H:%M', hs_timestamp) AS at FROM meetings WHERE paid")
    assert found["at"] == "12:30"


async def test_a_process_that_is_killed_leaves_meetings_and_cursor_that_agree(tmp_path: Path) -> None:
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", CHILD, str(tmp_path / "m.db"), stdout=PIPE)
    assert child.stdout is not None
    told = 0
    while told < 20:
        told = int(await child.stdout.readline())
    child.kill()
    await child.communicate()
    async with SQLiteStore(tmp_path / "m.db") as store:
        assert store.cursor is not None
        lots = int(store.cursor) + 1
    assert lots > told
    (counts,) = sql(
        tmp_path / "m.db",
        "SELECT (SELECT count(*) FROM meetings) AS rows, (SELECT count(*) FROM meeting_associations) AS links",
    )
    assert counts == {"rows": 10 * lots, "links": 10 * lots}


async def test_others_read_while_a_pull_writes(tmp_path: Path) -> None:
    async with SQLiteStore(tmp_path / "m.db") as store:
        await store.keep(kept_for(), cursor=None)
        await store.write([version(1)], "c1")
        reader = sqlite3.connect(tmp_path / "m.db")
        found = reader.execute("SELECT id FROM meetings")
        await store.write([version(2)], "c2")
        assert found.fetchall() == [(1,)]
        reader.close()
    assert stat.S_IMODE((tmp_path / "m.db").stat().st_mode) == 0o600


async def test_another_writer_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hubspot_meetings_async.stores.copy_file._WAIT_S", 0.0)
    async with SQLiteStore(tmp_path / "m.db") as store:
        await store.keep(kept_for(), cursor=None)
        other = sqlite3.connect(tmp_path / "m.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match=r"database is locked.*end that one and pull again"):
            await store.write([version(1)], "c1")
        other.close()
        await store.write([version(1)], "c1")


@pytest.mark.parametrize("statement", ["CREATE TABLE theirs (a)", "CREATE TABLE meeting_copy (a)"])
async def test_a_database_of_others_is_left_alone(tmp_path: Path, statement: str) -> None:
    other = sqlite3.connect(tmp_path / "m.db")
    other.execute(statement)
    other.close()
    before = (tmp_path / "m.db").read_bytes()
    with pytest.raises(ConfigurationError, match="no copy that a pull made"):
        async with SQLiteStore(tmp_path / "m.db"):
            pass
    assert (tmp_path / "m.db").read_bytes() == before


async def test_a_damaged_copy_is_told(tmp_path: Path) -> None:
    async with SQLiteStore(tmp_path / "m.db") as store:
        await store.keep(kept_for(), cursor=None)
    (tmp_path / "m.db").write_bytes((tmp_path / "m.db").read_bytes()[:4096] + b"\xff" * 8192)
    with pytest.raises(StoreError, match=r"can not be opened .*; restore it, or pull into a new copy"):
        async with SQLiteStore(tmp_path / "m.db"):
            pass


async def test_a_number_with_more_digits_than_sqlite_has_is_kept_as_text(tmp_path: Path) -> None:
    digits = "12345678901234567890123"
    async with SQLiteStore(tmp_path / "m.db") as store:
        await store.keep(kept_for(), cursor=None)
        written = await store.write([version(1, values={"seats": digits})], "c1")
    (row,) = sql(tmp_path / "m.db", "SELECT seats, unfit FROM meetings")
    assert (written.unfit, row["seats"], json.loads(row["unfit"])) == ({"seats": 1}, None, {"seats": digits})


async def test_a_file_that_is_removed_meanwhile_is_told(tmp_path: Path) -> None:
    """What is written to it after that would be lost."""
    async with SQLiteStore(tmp_path / "m.db") as store:
        await store.keep(kept_for(), cursor=None)
        (tmp_path / "m.db").unlink()
        with pytest.raises(StoreError, match="was removed or replaced while it was open"):
            await store.write([version(1)], "c1")
