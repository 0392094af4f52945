"""The rows of user errors and of cancellation, as far as single calls and plain bulk runs have them."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from decimal import Decimal
from typing import Any

import anyio
import pytest

from hubspot_meetings_async import (
    Ambiguous,
    ConfigurationError,
    HubSpotError,
    InvalidRecord,
    MeetingsClient,
    NoLimit,
    Rejected,
    RetryPolicy,
    Timeouts,
)
from hubspot_meetings_async.emulator import Emulator

from ..security.canaries import TOKEN
from .conftest import SWIFT, MakeClient

BODY = {"hs_meeting_title": "new"}


def stored(emulator: Emulator) -> int:
    return emulator.stats().records.stored


async def outcomes_of(run: Any) -> list[Any]:
    async with run:
        return [outcome async for outcome in run]


# ---- user errors


@pytest.mark.row("U2")
@pytest.mark.parametrize(
    "wrong", ["../../contacts/1", "..", ".", "", "1?archived=true", "1#f", "%2e%2e", "１", -1, True]
)
async def test_ids_that_are_none(emulator: Emulator, hubspot: MeetingsClient, wrong: Any) -> None:
    """Refused before anything is sent, alone and in a bulk run, whose other records go on."""
    for call in (hubspot.meetings.get, hubspot.meetings.archive, lambda id_: hubspot.meetings.update(id_, BODY)):
        with pytest.raises(InvalidRecord):
            await call(wrong)
    assert emulator.stats().requests == 0
    good = emulator.portal.add_object("meetings")
    outcomes = await outcomes_of(hubspot.bulk.archive([wrong, good]))
    assert next(type(outcome) for outcome in outcomes if outcome.ordinal == 0) is Rejected
    assert emulator.portal.meetings.store.is_archived(int(good))


@pytest.mark.row("U3")
@pytest.mark.parametrize(
    "record", [{}, {"booking_ref": None}, {"booking_ref": ""}, {"booking_ref": b"1"}, 7, "x", None]
)
async def test_records_without_a_key(emulator: Emulator, hubspot: MeetingsClient, record: Any) -> None:
    """Rejected where they are, with their number; the others go on."""
    records = [{"booking_ref": "1"}, record, {"booking_ref": "2"}]
    outcomes = await outcomes_of(hubspot.bulk.upsert(records, id_property="booking_ref"))
    (wrong,) = [outcome for outcome in outcomes if isinstance(outcome, Rejected)]
    assert (wrong.ordinal, type(wrong.error), stored(emulator)) == (1, InvalidRecord, 2)


UNSAYABLE: dict[str, Any] = {
    "NaN": math.nan,
    "infinity": math.inf,
    "minus infinity": -math.inf,
    "a lone surrogate": "\ud800",
    "bytes": b"x",
    "a complex number": 1j,
    "an object": object(),
    "a decimal NaN": Decimal("NaN"),
}


@pytest.mark.row("U4")
@pytest.mark.parametrize("name", UNSAYABLE)
async def test_values_json_has_no_form_for(emulator: Emulator, hubspot: MeetingsClient, name: str) -> None:
    """Refused before anything is sent, by the property's name; never a null that nobody wrote."""
    record = {"hs_meeting_title": UNSAYABLE[name]}
    for call in (hubspot.meetings.create(record), hubspot.meetings.update(1, record)):
        with pytest.raises(InvalidRecord):
            await call
    assert emulator.stats().requests == 0
    outcomes = await outcomes_of(hubspot.bulk.create([BODY, record, BODY]))
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Created", "Created", "Rejected"]
    assert stored(emulator) == 2


@pytest.mark.row("U6")
async def test_arguments_that_make_no_sense(emulator: Emulator, hubspot: MeetingsClient) -> None:
    """Sizes, numbers of workers, batches of 101: refused in words, and nothing is sent."""
    wrong: list[Callable[[], Any]] = [
        *(lambda w=w: hubspot.bulk.create([BODY], workers=w) for w in (0, -1, 129, 1.5, True)),
        *(lambda b=b: hubspot.bulk.create([BODY], max_batch_bytes=b) for b in (0, -1)),
        lambda: hubspot.meetings.batch_create([{}] * 101),
        lambda: hubspot.meetings.batch_update([{"id": 1}] * 101),
        lambda: hubspot.meetings.batch_archive([1] * 101),
        lambda: hubspot.bulk.upsert([BODY], id_property=""),
        lambda: hubspot.bulk.create({"hs_meeting_title": "one, not a list"}),
        lambda: hubspot.bulk.create("abc"),
    ]
    for make in wrong:
        with pytest.raises(ConfigurationError):
            await make()
    assert emulator.stats().requests == 0


@pytest.mark.row("U6")
async def test_use_after_close(emulator: Emulator) -> None:
    """A closed client says so, for every kind of call."""
    async with MeetingsClient(TOKEN, base_url=emulator.url) as hubspot:
        await hubspot.meetings.create(BODY)
    for call in (
        lambda: hubspot.meetings.create(BODY),
        lambda: hubspot.meetings.get(1),
        lambda: hubspot.bulk.create([BODY]),
    ):
        with pytest.raises(ConfigurationError, match="closed"):
            await call()
    assert emulator.stats().requests == 1


@pytest.mark.row("U6")
async def test_two_loops(emulator: Emulator, hubspot: MeetingsClient) -> None:
    """A client that was used on this loop is refused on another, in words, with its limiter and without."""
    async with MeetingsClient(TOKEN, base_url=emulator.url) as limited:
        for client in (hubspot, limited):
            await client.meetings.create(BODY)

            def elsewhere(client: MeetingsClient = client) -> None:
                with pytest.raises(ConfigurationError, match="loop"):
                    asyncio.run(client.meetings.get(1))

            await asyncio.to_thread(elsewhere)
        assert emulator.stats().requests == 2
        assert (await limited.meetings.create(BODY)).id


@pytest.mark.row("U7")
@pytest.mark.parametrize("source_kind", ["async", "on the loop", "in a thread"])
async def test_a_record_that_changes_after_it_was_given(
    emulator: Emulator, hubspot: MeetingsClient, source_kind: str
) -> None:
    """What a record held when it was pulled is what is sent, also on the second try."""
    emulator.faults.fail_next(503, times=2, operation="meetings.batch_*")
    reused = {"booking_ref": "", "hs_meeting_title": ""}

    def source() -> Iterator[dict[str, str]]:
        for number in range(150):
            reused["booking_ref"] = reused["hs_meeting_title"] = str(number)
            yield reused
        reused["booking_ref"] = reused["hs_meeting_title"] = "changed later"

    async def slowly() -> AsyncIterator[dict[str, str]]:
        for record in source():
            yield record

    records = slowly() if source_kind == "async" else source()
    in_thread = {"on the loop": False, "in a thread": True}.get(source_kind)
    report = await hubspot.bulk.upsert(records, id_property="booking_ref", read_in_thread=in_thread)
    assert report.created == 150
    titles = {record.value("hs_meeting_title") for record in emulator.portal.meetings.store}
    assert titles == {str(number) for number in range(150)}


# ---- cancellation

IN_FLIGHT = Timeouts(call_s=None, attempt_s=60.0, read_s=60.0)


@pytest.fixture
async def patient(emulator: Emulator, connect: MakeClient) -> AsyncIterator[MeetingsClient]:
    """A client that waits for an answer longer than any test."""
    client = connect(emulator.url, timeout=IN_FLIGHT)
    yield client
    await client.aclose()


async def by_asyncio_timeout(call: Awaitable[Any]) -> None:
    async with asyncio.timeout(0.2):
        await call


async def by_wait_for(call: Awaitable[Any]) -> None:
    await asyncio.wait_for(call, 0.2)


async def by_anyio(call: Awaitable[Any]) -> None:
    with anyio.fail_after(0.2):
        await call


@pytest.mark.row("X5")
@pytest.mark.parametrize("how", [by_asyncio_timeout, by_wait_for, by_anyio], ids=lambda how: how.__name__[3:])
@pytest.mark.parametrize("what", ["create", "get", "bulk"])
async def test_deadlines_of_others(
    emulator: Emulator, patient: MeetingsClient, how: Callable[..., Awaitable[None]], what: str
) -> None:
    """A deadline around a call in flight ends it with the deadline's own error; the client works on."""
    emulator.faults.hang_next(applied=True)
    calls: dict[str, Callable[[], Awaitable[Any]]] = {
        "create": lambda: patient.meetings.create(BODY),
        "get": lambda: patient.meetings.get(1),
        "bulk": lambda: _bulk(patient),
    }
    with pytest.raises(TimeoutError) as caught:
        await how(calls[what]())
    assert not isinstance(caught.value, HubSpotError)
    assert emulator.stats().requests == 1
    assert stored(emulator) == {"create": 1, "get": 0, "bulk": 1}[what]
    assert (await patient.meetings.create(BODY)).id


async def _bulk(hubspot: MeetingsClient) -> None:
    await hubspot.bulk.create([BODY])


@pytest.mark.row("X5")
async def test_a_sibling_fails(emulator: Emulator, patient: MeetingsClient) -> None:
    """In a TaskGroup, the other task's error comes out, and the calls in flight are cancelled."""
    emulator.faults.hang_next(times=3)

    async def sibling() -> None:
        await emulator.until_requests(3)
        raise KeyError("of the sibling")

    with pytest.raises(ExceptionGroup) as caught:
        async with asyncio.TaskGroup() as group:
            calls = [group.create_task(patient.meetings.create(BODY)) for _ in range(3)]
            group.create_task(sibling())
    assert [type(error) for error in caught.value.exceptions] == [KeyError]
    assert all(call.cancelled() for call in calls)
    assert (await patient.meetings.create(BODY)).id


@pytest.mark.row("X5")
async def test_a_cancelled_run_tells_what_is_in_doubt(emulator: Emulator, patient: MeetingsClient) -> None:
    """Of a run that is left in flight, the records that had gone out are ambiguous, never "not done"."""
    emulator.faults.hang_next(applied=True, operation="meetings.batch_*")
    outcomes: list[Any] = []

    async def work() -> None:
        async with patient.bulk.create([BODY] * 10) as run:
            async for outcome in run:
                outcomes.append(outcome)

    task = asyncio.ensure_future(work())
    await emulator.until_requests(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert stored(emulator) == 10
    assert [outcome for outcome in outcomes if not isinstance(outcome, Ambiguous)] == []


@pytest.mark.row("X7")
async def test_handlers_whose_clients_leave(emulator: Emulator) -> None:
    """A hundred handlers are cancelled in the middle of their calls: no connection is lost to the pool."""
    async with MeetingsClient(
        TOKEN, base_url=emulator.url, limiter=NoLimit(), retry=SWIFT, timeout=IN_FLIGHT, max_connections=10
    ) as hubspot:
        for _ in range(5):
            emulator.faults.hang_next(times=10)
            before = emulator.stats().requests
            handlers = [asyncio.ensure_future(hubspot.meetings.create(BODY)) for _ in range(20)]
            await emulator.until_requests(before + 10)
            for handler in handlers:
                handler.cancel()
            ended = await asyncio.gather(*handlers, return_exceptions=True)
            assert [type(end) for end in ended] == [asyncio.CancelledError] * 20
            emulator.faults.clear()
            made = await asyncio.gather(*(hubspot.meetings.create(BODY) for _ in range(10)))
            assert len({meeting.id for meeting in made}) == 10
        assert hubspot.quota.in_flight == 0


@pytest.mark.row("U6")
@pytest.mark.parametrize(
    "wrong",
    [
        lambda: RetryPolicy(attempts=0),
        lambda: RetryPolicy(base_s=-1.0),
        lambda: Timeouts(attempt_s=0),
        lambda: Timeouts(connect_s=math.nan),
        lambda: MeetingsClient(TOKEN, max_connections=0),
        lambda: MeetingsClient(TOKEN, max_response_bytes=-1),
        lambda: MeetingsClient(TOKEN, api_version="v9"),
    ],
    ids=range(7),
)
def test_settings_that_make_no_sense(wrong: Callable[[], object]) -> None:
    """Refused at once."""
    with pytest.raises(ConfigurationError):
        wrong()
