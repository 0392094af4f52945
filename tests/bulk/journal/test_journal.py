"""The journal of a run: which rows are written when, and whose job it is."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator, Mapping

import pytest

from hubspot_meetings_async.bulk.journal.journal import Job, Journal, JournalFile
from hubspot_meetings_async.bulk.journal.rows import ACK, INTENT, NOTE, SESSION, Past, Session
from hubspot_meetings_async.bulk.outcomes import Ambiguous, Created, NotSent, Rejected
from hubspot_meetings_async.entries import Entry
from hubspot_meetings_async.errors import InvalidRecord, JournalMismatchError
from hubspot_meetings_async.inputs import Inputs
from hubspot_meetings_async.models import Meeting


class Listed:
    """A store that keeps its rows in a list."""

    path = None
    resumed = False
    meta: Mapping[str, str] = {}

    def __init__(self) -> None:
        self.kept: list[tuple[int, bytes]] = []

    def rows(self) -> Iterator[tuple[int, bytes]]:
        return iter(self.kept)

    def append(self, kind: int, data: bytes, body: bytes | None = None) -> Awaitable[None]:
        self.kept.append((kind, data))
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done

    def check(self) -> None:
        return None

    async def aclose(self) -> None:
        return None

    def abandon(self) -> None:
        return None

    @property
    def kinds(self) -> list[int]:
        return [kind for kind, _ in self.kept]


def entries(count: int) -> list[Entry]:
    form = Inputs.create(key_property="k")
    return [form.entry(number, {"k": f"key-{number}"}, f"t{number}") for number in range(count)]


async def test_a_job_from_its_begin_to_its_end() -> None:
    """Each step is a row; read again, it says what became of each record."""
    store = Listed()
    journal = Journal(store, Past(), resume="ordinal")
    await journal.begin()
    some = entries(5)
    await journal.intend(some, alone=False)
    journal.note(1_795_249_800.0)
    acked = journal.ack(
        [
            Ambiguous(some[3].record, 3, "timeout"),
            Created(some[0].record, 0, Meeting(id="9", properties={})),
            Rejected(some[2].record, 2, InvalidRecord("no")),
            NotSent(some[1].record, 1, "cancelled"),
        ]
    )
    assert acked is not None
    await acked
    assert store.kinds == [SESSION, INTENT, NOTE, ACK]
    past = Past.read(store.rows(), with_keys=True)
    assert bytes(past.codes).replace(b"\0", b"-") == b"c-x?i"
    assert past.hubspot_began_at == 1_795_249_800.0
    assert past.crashes == {4: 1}


async def test_what_never_left_needs_no_row() -> None:
    """It is the next run's, as if nobody had read it."""
    store = Listed()
    journal = Journal(store, Past(), resume="ordinal")
    assert journal.ack([NotSent({}, 7, "stopped")]) is None
    assert store.kept == []


async def test_only_the_first_run_says_when_the_job_began() -> None:
    """A later run's clock would make meetings of the first one look like somebody else's."""
    past = Past()
    past.sessions = 1
    store = Listed()
    journal = Journal(store, past, resume="ordinal")
    journal.note(5.0)
    assert NOTE not in store.kinds


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"operation": "update"}, "operation"),
        ({"mode": "hold"}, "mode"),
        ({"key_property": "other"}, "key property"),
        ({"portal": "8"}, "portal"),
    ],
)
def test_another_job_is_named(change: dict[str, str], word: str) -> None:
    """With what differs."""
    job = Job(operation="create", mode="reconcile", key_property="k", host="https://api.hubapi.com", portal="7")
    other = Job(**{**job.meta(), **change})
    job.need(job.meta())
    with pytest.raises(JournalMismatchError, match=word):
        other.need(job.meta())


def test_the_host_counts_where_the_account_is_not_known() -> None:
    """Some tokens may not ask for the account's number."""
    job = Job(operation="create", mode="hold", host="https://api.hubapi.com")
    Job(operation="create", mode="hold", host="https://api.hubapi.com", portal="7").need(job.meta())
    with pytest.raises(JournalMismatchError, match="host"):
        Job(operation="create", mode="hold", host="http://127.0.0.1:1", portal="7").need(job.meta())


def test_session_rows_say_where_a_run_begins() -> None:
    """A run by key counts its new records behind all that is known."""
    past = Past.read([(SESSION, _encoded(Session(1, 0, 1.0)))])
    assert past.sessions == 1
    assert Journal(Listed(), past, resume="key").first_ordinal == past.next_ordinal
    assert JournalFile(path="x").durability == "power"


def _encoded(row: Session) -> bytes:
    import msgspec

    return msgspec.msgpack.encode(row)
