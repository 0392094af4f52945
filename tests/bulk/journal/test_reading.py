"""A journal that is only read: the last word on every record, in order, and nothing written."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hubspot_meetings_async.bulk.journal.reading import Known, reading
from hubspot_meetings_async.bulk.journal.rows import ACK, END, INTENT, SESSION, Ack, End, Intent, Session, pack
from hubspot_meetings_async.bulk.journal.store import Store, open_store
from hubspot_meetings_async.errors import JournalDamagedError, JournalError, JournalLockedError, JournalVersionError

META = {"operation": "create", "mode": "hold"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "job.journal"


class Writing:
    """A journal being written, row by row."""

    def __init__(self, store: Store) -> None:
        self.store = store

    async def session(self, number: int) -> None:
        await self._append(SESSION, Session(number, 0, 1_000.0 + number))

    async def intent(self, ordinals: Sequence[int], *, keyed: bool = True) -> None:
        keys = [f"k{ordinal}" for ordinal in ordinals] if keyed else None
        await self._append(INTENT, Intent(pack(ordinals), keys, array("I", [0] * len(ordinals)).tobytes()))

    async def ack(self, ordinals: Sequence[int], codes: str, details: Sequence[str | None]) -> None:
        await self._append(ACK, Ack(pack(ordinals), codes, list(details)))

    async def end(self, records: int) -> None:
        await self._append(END, End(records))

    async def _append(self, kind: int, row: Any) -> None:
        await self.store.append(kind, msgspec.msgpack.encode(row))


def begun(path: Path) -> Writing:
    return Writing(open_store(path, meta=META, durability="process"))


async def test_the_last_word_on_every_record_in_the_order_of_the_source(path: Path) -> None:
    """Batches overtake each other, fall apart, and are taken up again by a later run."""
    job = begun(path)
    await job.session(1)
    await job.intent(range(3, 6))
    await job.intent(range(3))
    await job.ack([3, 5], "cx", ["103", "no such property"])
    await job.ack(range(3), "c-?", ["100", None, "reset"])
    await job.session(2)
    await job.intent([2, 4])
    await job.ack([4], "c", ["104"])
    await job.store.aclose()
    with reading(path) as found:
        assert list(found.of()) == [
            Known(0, "created", "k0", "100", None),
            Known(1, "not_sent", "k1", None, None),
            Known(2, "in_doubt", "k2", None, None),
            Known(3, "created", "k3", "103", None),
            Known(4, "created", "k4", "104", None),
            Known(5, "rejected", "k5", None, "no such property"),
        ]
        assert found.tally() == {"created": 3, "rejected": 1, "in_doubt": 1, "not_sent": 1}
        assert [known.ordinal for known in found.of(["rejected", "in_doubt"])] == [2, 5]
        assert [session.number for session in found.sessions] == [1, 2]
        assert (len(found), found.records, found.meta["mode"]) == (6, None, "hold")


async def test_records_that_never_left_and_records_without_a_key(path: Path) -> None:
    job = begun(path)
    await job.ack([7], "x", ["a create takes no id"])
    await job.intent(range(8, 10), keyed=False)
    await job.ack(range(8, 10), "?c", ["timeout", "9"])
    await job.store.aclose()
    with reading(path) as found:
        assert list(found.of(["rejected", "ambiguous", "created"])) == [
            Known(7, "rejected", None, None, "a create takes no id"),
            Known(8, "ambiguous", None, None, "timeout"),
            Known(9, "created", None, "9", None),
        ]
        assert found.tally()["not_sent"] == 7


async def test_an_archived_meeting_is_known_by_its_id(path: Path) -> None:
    job = begun(path)
    await job.intent(range(1))
    await job.ack(range(1), "a", [None])
    await job.store.aclose()
    with reading(path) as found:
        assert list(found.of()) == [Known(0, "archived", "k0", "k0", None)]


async def test_the_end_is_known_until_another_run_begins(path: Path) -> None:
    job = begun(path)
    await job.session(1)
    await job.end(0)
    await job.store.aclose()
    with reading(path) as found:
        assert found.records == 0
    job = begun(path)
    await job.session(2)
    await job.store.aclose()
    with reading(path) as found:
        assert found.records is None


async def test_reading_adds_nothing_and_the_next_run_finds_the_same(path: Path) -> None:
    job = begun(path)
    await job.intent(range(3))
    job.store.abandon()  # as a crash would leave it
    for _ in range(2):
        with reading(path) as found:
            assert found.tally() == {"in_doubt": 3}
    assert os.listdir(path.parent) == [path.name]
    store = open_store(path, meta=META)
    assert [kind for kind, _ in store.rows()] == [INTENT]
    await store.aclose()


def test_no_file_is_made(path: Path) -> None:
    with pytest.raises(FileNotFoundError), reading(path):
        pass
    assert os.listdir(path.parent) == []


async def test_a_journal_in_use_is_left_alone(path: Path) -> None:
    job = begun(path)
    with pytest.raises(JournalLockedError, match="open in another run"), reading(path):
        pass
    await job.intent(range(3))
    await job.store.aclose()
    with reading(path) as found:
        assert len(found) == 3


@pytest.mark.parametrize(
    ("kind", "error"),
    [("empty", JournalError), ("foreign", JournalDamagedError), ("newer", JournalVersionError)],
)
def test_what_can_not_be_read_is_refused_and_not_touched(path: Path, kind: str, error: type[JournalError]) -> None:
    if kind == "newer":

        async def made() -> None:
            await begun(path).store.aclose()

        asyncio.run(made())
        with sqlite3.connect(path) as connection:
            connection.execute("PRAGMA user_version=99")
        connection.close()
    else:
        path.write_bytes(b"" if kind == "empty" else b"meetings,and,more\n" * 20)
    before = path.read_bytes()
    with pytest.raises(error), reading(path):
        pass
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


async def test_missing_rows_are_noticed(path: Path) -> None:
    job = begun(path)
    for _ in range(3):
        await job.intent(range(3))
    await job.store.aclose()
    with sqlite3.connect(path) as connection:
        connection.execute("DELETE FROM log WHERE seq = 2")
    connection.close()
    with pytest.raises(JournalDamagedError, match="lacks rows"), reading(path):
        pass
