"""Forming: every record once, as it was when it was read, however usual and odd ones take turns."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubspot_meetings_async import Created, MeetingsClient, Rejected
from hubspot_meetings_async.bulk.forming import Formed, Former
from hubspot_meetings_async.bulk.pulling import source_of
from hubspot_meetings_async.emulator import Emulator
from hubspot_meetings_async.entries import Entry, Lot
from hubspot_meetings_async.inputs import Inputs

KEY = "booking_ref"


class Filling:
    """Takes what is formed, and fills batches of a hundred as the cutter does."""

    def __init__(self) -> None:
        self.formed: list[Formed] = []
        self._open = 0

    def room(self) -> int:
        """Of the open batch."""
        return 100 - self._open

    def accept(self, formed: Formed) -> bool:
        """One more."""
        self.formed.append(formed)
        sent = sum(isinstance(each, Entry) for each in formed)
        self._open = (self._open + sent) % 100
        return False

    @property
    def each(self) -> list[Entry | Rejected[Any]]:
        """All of them, one by one."""
        return [each for formed in self.formed for each in formed]

    @property
    def lots(self) -> int:
        """How many came together."""
        return sum(isinstance(formed, Lot) for formed in self.formed)


async def formed_of(records: Any, *, in_thread: bool | None = None, inputs: Inputs | None = None) -> Filling:
    filling = Filling()
    former: Former[Any] = Former(inputs or Inputs.create(), trace_prefix="run-", room=filling.room)
    source = source_of(records, in_thread=in_thread)
    while await source.pull(former, filling.accept):
        pass
    assert [each.ordinal for each in filling.each] == list(range(former.next_ordinal))
    return filling


def titles(filling: Filling) -> list[str | None]:
    """What goes out; None for who stays."""
    return [
        msgspec.json.decode(each.encoded)["properties"]["hs_meeting_title"] if isinstance(each, Entry) else None
        for each in filling.each
    ]


def reusing(count: int) -> Iterator[dict[str, Any]]:
    """One object for all of its records, the list in it too."""
    tags: list[str] = []
    record: dict[str, Any] = {"hs_meeting_title": "", "tags": tags}
    for number in range(count):
        record["hs_meeting_title"] = f"no. {number}"
        tags[:] = [str(number)]
        yield record


def reusing_plain(count: int) -> Iterator[dict[str, Any]]:
    record: dict[str, Any] = {}
    for number in range(count):
        record["hs_meeting_title"] = f"no. {number}"
        record["n"] = number if number % 250 == 99 else "plain"
        yield record


async def in_turn(records: Iterator[Any]) -> AsyncIterator[Any]:
    for record in records:
        yield record


@pytest.mark.row("U7")
@pytest.mark.parametrize("make", [reusing, reusing_plain])
@pytest.mark.parametrize("way", ["thread", "loop", "async"])
async def test_a_source_may_use_one_object_for_all(make: Any, way: str) -> None:
    """What is sent is what the record was when it was read."""
    records = make(730)
    filling = await formed_of(in_turn(records) if way == "async" else records, in_thread=way == "thread")
    assert titles(filling) == [f"no. {number}" for number in range(730)]
    if make is reusing:
        sent = [each.sent for each in filling.each if isinstance(each, Entry)]
        assert [values["tags"] for values in sent if values] == [str(number) for number in range(730)]
        assert filling.lots == 0
    else:
        assert filling.lots >= 5


@pytest.mark.parametrize("way", ["list", "thread", "loop", "async"])
async def test_usual_records_come_together(way: str) -> None:
    """But for the first ones, which show what they are, and the last ones."""
    records = [{"hs_meeting_title": f"no. {number}"} for number in range(1_050)]
    source: Any = {"list": records, "async": in_turn(iter(records))}.get(way, iter(records))
    filling = await formed_of(source, in_thread=None if way == "list" else way == "thread")
    assert titles(filling) == [record["hs_meeting_title"] for record in records]
    assert all(a is b.record for a, b in zip(records, filling.each, strict=True))
    assert filling.lots == 10


@given(st.lists(st.sampled_from(["plain", "number", "list", "refused", "nested", "struct", "no record"]), max_size=400))
async def test_odd_ones_lose_nobody(kinds: list[str]) -> None:
    """Nobody is formed twice, moved, or taken for another."""
    forms: dict[str, Any] = {
        "plain": lambda t: {"hs_meeting_title": t},
        "number": lambda t: {"hs_meeting_title": t, "n": 5},
        "list": lambda t: {"hs_meeting_title": t, "n": ["a"]},
        "refused": lambda t: {"hs_meeting_title": t, "n": float("nan")},
        "nested": lambda t: {"properties": {"hs_meeting_title": t}},
        "struct": lambda t: msgspec.defstruct("S", [("hs_meeting_title", str)])(t),
        "no record": lambda t: 7,
    }
    records = [forms[kind](f"no. {number}") for number, kind in enumerate(kinds)]
    expected = [None if kind in ("refused", "no record") else f"no. {n}" for n, kind in enumerate(kinds)]
    for source in (records, iter(records)):
        filling = await formed_of(source, in_thread=False)
        assert titles(filling) == expected
        assert all(a is b.record for a, b in zip(records, filling.each, strict=True))


@pytest.mark.parametrize("as_async", [False, True])
async def test_all_the_way_to_hubspot(emulator: Emulator, client: MeetingsClient, as_async: bool) -> None:
    """A source that uses one object, with refused ones in between."""

    def source() -> Iterator[dict[str, Any]]:
        record: dict[str, Any] = {}
        for number in range(640):
            record[KEY] = "" if number in (150, 151, 433) else f"ref-{number}"
            record["hs_meeting_title"] = f"no. {number}"
            yield record

    records: Any = in_turn(source()) if as_async else source()
    async with client.bulk.create(records, key_property=KEY) as run:
        outcomes = [outcome async for outcome in run]
    refused = sorted(outcome.ordinal for outcome in outcomes if isinstance(outcome, Rejected))
    made = {o.ordinal: o.meeting.properties["hs_meeting_title"] for o in outcomes if isinstance(o, Created)}
    assert refused == [150, 151, 433]
    assert made == {n: f"no. {n}" for n in range(640) if n not in refused}
    assert run.report.adds_up
    assert len(list(emulator.portal.meetings.store)) == 637
