"""`hubspot.bulk` against the emulator over real sockets: what it reports is what HubSpot holds."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec import UNSET, UnsetType

from hubspot_meetings_async import (
    Ambiguous,
    Archived,
    ConfigurationError,
    Created,
    DailyLimitExceeded,
    MeetingProperties,
    MeetingsClient,
    NoLimit,
    NotFound,
    NotSent,
    Outcome,
    QuotaGate,
    Read,
    Record,
    Rejected,
    RetryPolicy,
    TransportFailed,
    Unauthorized,
    Updated,
    to_contact,
)
from hubspot_meetings_async.emulator import Behaviour, Emulator, Fault
from hubspot_meetings_async.models import MeetingOutcome

KEY = "booking_ref"
VERSIONS = ["v3", "2026-03", "2026-09"]
QUICK = RetryPolicy(base_s=0.001, cap_s=0.01, locked_s=0.001)


def client(emulator: Emulator, **options: Any) -> MeetingsClient:
    defaults: dict[str, Any] = {"base_url": emulator.url, "limiter": NoLimit(), "retry": QUICK}
    return MeetingsClient("token", **{**defaults, **options})


def bookings(count: int, first: int = 0) -> Iterator[dict[str, str]]:
    for number in range(first, first + count):
        yield {KEY: f"ref-{number}", "hs_meeting_title": f"Review {number}", "hs_meeting_outcome": "SCHEDULED"}


async def all_outcomes(run: Any) -> list[Outcome[Any]]:
    async with run:
        outcomes = [outcome async for outcome in run]
    assert run.report.adds_up
    assert sorted(o.ordinal for o in outcomes) == list(range(run.report.pulled))
    return outcomes


def keyed(**options: Any) -> Emulator:
    emulator = Emulator(limit=None, **options)
    emulator.portal.add_property(KEY, unique=True)
    return emulator


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_meeting_goes_all_the_way(version: str) -> None:
    """Created, upserted, updated, read and archived in bulk, on every API version."""
    async with keyed() as emulator, client(emulator, api_version=version) as hubspot:
        created = await all_outcomes(hubspot.bulk.create(bookings(250)))
        assert all(isinstance(o, Created) for o in created)
        ids = {o.record[KEY]: o.meeting.id for o in created if isinstance(o, Created)}

        upserted = await hubspot.bulk.upsert(bookings(150, first=200), id_property=KEY)
        assert (upserted.updated, upserted.created) == (50, 100)

        changes = [{"id": ids[f"ref-{n}"], "hs_meeting_outcome": "COMPLETED"} for n in range(250)]
        assert (await hubspot.bulk.update(changes)).updated == 250

        found = await all_outcomes(
            hubspot.bulk.read([f"ref-{n}" for n in range(360)], properties=["hs_meeting_outcome"], id_property=KEY)
        )
        for o in found:
            if isinstance(o, Read):
                number = int(o.record.removeprefix("ref-"))
                assert o.meeting.properties["hs_meeting_outcome"] == ("COMPLETED" if number < 250 else "SCHEDULED")
            else:
                assert isinstance(o, Rejected)
                assert isinstance(o.error, NotFound)
        assert sum(isinstance(o, Read) for o in found) == 350

        gone = await all_outcomes(hubspot.bulk.archive(list(ids.values())))
        assert all(isinstance(o, Archived) for o in gone)
        left = [m.id async for m in hubspot.meetings.list()]
        assert len(left) == 100
        assert (await hubspot.bulk.read(ids.values(), archived=True)).read == 250


@pytest.mark.parametrize("echo", [False, True])
@pytest.mark.parametrize("order", ["sorted", "shuffled"])
async def test_results_are_tied_to_their_records_in_any_order(echo: bool, order: Any) -> None:
    """Each outcome's meeting holds its own record's values, with and without trace ids in the results."""
    behaviour = Behaviour(echo_trace_id=echo, create_result_order=order, result_order=order)
    async with keyed(behaviour=behaviour) as emulator, client(emulator) as hubspot:
        outcomes = await all_outcomes(hubspot.bulk.create(bookings(300)))
        for o in outcomes:
            assert isinstance(o, Created)
            assert o.meeting.properties[KEY] == o.record[KEY]


async def test_bad_records_are_rejected_each_with_its_own_reason() -> None:
    """Unknown properties, bad options, taken unique values: rejected one by one, the rest is created."""
    records = list(bookings(200))
    records[3]["nope"] = "1"
    records[77]["hs_meeting_outcome"] = "MAYBE"
    records[150][KEY] = "ref-10"
    async with keyed() as emulator, client(emulator) as hubspot:
        await hubspot.bulk.create(bookings(1, first=10))
        outcomes = await all_outcomes(hubspot.bulk.create(records))
        rejected = {o.ordinal: o for o in outcomes if isinstance(o, Rejected)}
        assert rejected.keys() >= {3, 10, 77}
        assert "nope" in str(rejected[3].error)
        assert "MAYBE" in str(rejected[77].error)
        assert len(list(emulator.portal.objects())) == 1 + 200 - len(rejected)


async def test_associations_travel_with_a_create() -> None:
    """Links of a `Record` are set on the new meeting."""
    async with keyed() as emulator, client(emulator) as hubspot:
        emulator.portal.add_object("contacts", id="101")
        records = [Record(properties=b, associations=[to_contact(101)], ref=n) for n, b in enumerate(bookings(3))]
        outcomes = await all_outcomes(hubspot.bulk.create(records))
        assert sorted(o.record.ref for o in outcomes) == [0, 1, 2]
        assert isinstance(outcomes[0], Created)
        meeting = await hubspot.meetings.get(outcomes[0].meeting.id, associations=["contacts"])
        assert meeting.associations is not None
        assert [a.id for a in meeting.associations["contacts"].results][:1] == ["101"]


FAULTS = [
    Fault(kind="status", status=429),
    Fault(kind="status", status=423),
    Fault(kind="status", status=500),
    Fault(kind="status", status=502, applied=True),
    Fault(kind="status", status=503),
    Fault(kind="status", status=504, applied=True),
    Fault(kind="reset"),
    Fault(kind="reset", applied=True),
]


@pytest.mark.parametrize("seed", range(3))
async def test_upserts_survive_every_fault(seed: int) -> None:
    """One request in three fails in some way: every record is there once, and reported so."""
    async with keyed(seed=seed) as emulator, client(emulator) as hubspot:
        for fault in FAULTS:
            emulator.faults.at_rate(0.04, fault, operation="meetings.batch_*")
        report = await hubspot.bulk.upsert(bookings(6_000), id_property=KEY)
        assert report.adds_up
        assert report.done == 6_000
        assert report.retries > 0
        assert len(list(emulator.portal.objects())) == 6_000
        assert emulator.portal.duplicates_by(KEY) == {}


@pytest.mark.parametrize("seed", range(3))
async def test_creates_under_every_fault_are_never_doubled_and_never_lost(seed: int) -> None:
    """A create whose answer was lost is ambiguous and not repeated; all others are exactly what they are called."""
    async with keyed(seed=seed) as emulator, client(emulator) as hubspot:
        emulator.portal.add_property("mark")
        for fault in FAULTS:
            emulator.faults.at_rate(0.02, fault, operation="meetings.batch_*")
        records = [{"mark": f"m{n}", "hs_meeting_title": "Review"} for n in range(6_000)]
        outcomes = await all_outcomes(hubspot.bulk.create(records))
        held: dict[str, list[str]] = {}
        for entry in emulator.portal.ledger("mark"):
            held.setdefault(str(entry.value), []).append(entry.id)
        assert all(len(ids) == 1 for ids in held.values())
        kinds = {type(o) for o in outcomes}
        assert kinds == {Created, Ambiguous}
        for o in outcomes:
            if isinstance(o, Created):
                assert held[o.record["mark"]] == [o.meeting.id]
        unsure = {o.record["mark"] for o in outcomes if isinstance(o, Ambiguous)}
        assert held.keys() == {f"m{n}" for n in range(6_000)} - (unsure - held.keys())


async def test_a_wrong_token_ends_the_run_and_accounts_for_it() -> None:
    """401: the run stops with `Unauthorized`; no record was sent."""
    async with keyed(tokens=["right"]) as emulator, client(emulator) as hubspot:
        run = hubspot.bulk.create(bookings(100_000))
        with pytest.raises(Unauthorized):
            await run
        assert run.report.not_sent == run.report.pulled
        assert run.report.adds_up
        assert list(emulator.portal.objects()) == []


async def test_an_unreachable_host_ends_the_run_with_advice() -> None:
    """Nobody listens: the error names host and setting, and every record is `NotSent`."""
    async with keyed() as emulator:
        url = emulator.url
    async with MeetingsClient("token", base_url=url, limiter=NoLimit(), retry=QUICK) as hubspot:
        run = hubspot.bulk.create(bookings(1_000))
        with pytest.raises(TransportFailed, match="base_url") as raised:
            await run
        assert raised.value.sent is False
        assert run.report.not_sent == run.report.pulled > 0


async def test_the_daily_limit_ends_the_run() -> None:
    """When the day's calls are spent, the rest is `NotSent` and can be given to a run tomorrow."""
    async with Emulator(limit=None, daily_limit=5) as emulator, client(emulator) as hubspot:
        run = hubspot.bulk.create({"hs_meeting_title": f"t{n}"} for n in range(2_000))
        outcomes: list[Outcome[Any]] = []
        with pytest.raises(DailyLimitExceeded):
            async with run:
                async for outcome in run:
                    outcomes.append(outcome)
        assert run.report.adds_up
        assert run.report.created == 500 == len(list(emulator.portal.objects()))
        assert all(isinstance(o, (Created, NotSent)) for o in outcomes)


async def test_the_last_of_two_updates_of_one_id_wins() -> None:
    """Records of one id, near and far apart in the stream, land in their order."""
    async with keyed() as emulator, client(emulator) as hubspot:
        created = await all_outcomes(hubspot.bulk.create(bookings(501)))
        meeting_id, *others = [o.meeting.id for o in created if isinstance(o, Created)]

        async def changes() -> AsyncIterator[dict[str, str]]:
            for number, other in enumerate(others):
                yield {"id": other, "hs_meeting_title": "x"}
                if number % 7 == 0:
                    yield {"id": meeting_id, "hs_meeting_title": f"version {number}"}

        outcomes = await all_outcomes(hubspot.bulk.update(changes()))
        assert all(isinstance(o, Updated) for o in outcomes)
        assert (await hubspot.meetings.get(meeting_id, properties=["hs_meeting_title"])).properties[
            "hs_meeting_title"
        ] == "version 497"


async def test_the_window_is_never_overrun() -> None:
    """With the built-in gate and a window of half a second: many requests, and not one 429."""
    async with Emulator(limit=20, window_s=0.5) as emulator:
        gate = QuotaGate(limit=20, window_s=0.5)
        async with MeetingsClient("token", base_url=emulator.url, limiter=gate) as hubspot:
            report = await hubspot.bulk.create({"hs_meeting_title": f"t{n}"} for n in range(10_000))
        assert report.created == 10_000
        assert report.rate_limited == 0
        assert emulator.stats().rate_limited.genuine == 0


async def test_reads_fill_a_struct_of_the_users_own() -> None:
    """`into=` asks for the Struct's properties and hands them out typed, in bulk, single, batch and list reads."""

    class Booking(MeetingProperties, kw_only=True):
        booking_ref: str | UnsetType | None = UNSET

    nine = datetime(2026, 11, 23, 9, tzinfo=UTC)
    async with keyed() as emulator, client(emulator) as hubspot:
        records = [Booking(booking_ref=f"r{n}", hs_timestamp=nine, hs_meeting_outcome="NO_SHOW") for n in range(3)]
        await hubspot.bulk.create(records)
        typed = []
        async with hubspot.bulk.read(["r0", "r1", "r2"], id_property=KEY, into=Booking) as run:
            async for outcome in run:
                assert isinstance(outcome, Read)
                typed.append(outcome.meeting)
        typed += [meeting async for meeting in hubspot.meetings.list(into=Booking)]
        typed += (await hubspot.meetings.batch_read([typed[0].id], into=Booking)).results
        typed.append(await hubspot.meetings.get(typed[0].id, into=Booking))
        assert len(typed) == 8
        for meeting in typed:
            assert meeting.properties.hs_timestamp == nine
            assert meeting.properties.hs_meeting_outcome is MeetingOutcome.NO_SHOW
            assert meeting.properties.booking_ref in {"r0", "r1", "r2"}
        with pytest.raises(ConfigurationError, match="not both"):
            hubspot.meetings.list(properties=["a"], into=Booking)  # type: ignore[call-overload]
