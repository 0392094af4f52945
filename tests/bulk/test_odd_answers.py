"""Answers that name too few records, too many, or the wrong ones: keyed creates look, others say what is open."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import msgspec
import pytest

from hubspot_meetings_async import (
    Ambiguous,
    Created,
    MeetingsClient,
    NoLimit,
    Outcome,
    Rejected,
    Report,
    RetryPolicy,
)
from hubspot_meetings_async.emulator import Behaviour, Emulator
from hubspot_meetings_async.meetings.batches import BATCH
from hubspot_meetings_async.models import BatchError, BatchResponse
from hubspot_meetings_async.wire import Decodes

KEY = "booking_ref"
Answer = BatchResponse[Any]
Spoil = Callable[[Answer], Answer]


@asynccontextmanager
async def account(
    monkeypatch: pytest.MonkeyPatch, *spoils: Spoil, echo: bool = True, search_delay_s: float = 0.0
) -> AsyncIterator[tuple[Emulator, MeetingsClient]]:
    """An account whose first batch creates are answered oddly; with trace ids in the results, unless told otherwise."""
    behaviour = Behaviour(echo_trace_id=echo, search_delay_s=search_delay_s)
    async with Emulator(limit=None, behaviour=behaviour) as emulator:
        emulator.portal.add_property(KEY, unique=True)
        retry = RetryPolicy(base_s=0.001, cap_s=0.002)
        async with MeetingsClient("token", base_url=emulator.url, limiter=NoLimit(), retry=retry) as hubspot:
            meetings = hubspot.bulk._meetings
            sound, left = meetings.send_create, list(spoils)

            async def odd(*arguments: Any, decoder: Decodes[Any] = BATCH, **options: Any) -> Answer:
                if not left:
                    return await sound(*arguments, decoder=decoder, **options)
                answer = left.pop(0)(await sound(*arguments, **options))
                read: Answer = decoder.decode(msgspec.json.encode(answer))
                return read

            monkeypatch.setattr(meetings, "send_create", odd)
            yield emulator, hubspot


class Ended(NamedTuple):
    outcomes: list[Outcome[Any]]
    report: Report
    ids: dict[str, str]


async def created(emulator: Emulator, hubspot: MeetingsClient, count: int = 100, **options: Any) -> Ended:
    """Create so many; each key is there once at the end, and who is created is the right one."""
    records = [{KEY: f"ref-{number}", "hs_meeting_title": "Review"} for number in range(count)]
    async with hubspot.bulk.create(records, **options) as run:
        outcomes: list[Outcome[Any]] = [outcome async for outcome in run]
    assert run.report.adds_up
    assert emulator.portal.duplicates_by(KEY, archived=True) == {}
    ids = {meeting[KEY]: meeting["hs_object_id"] for meeting in emulator.portal.objects()}
    for outcome in outcomes:
        if isinstance(outcome, Created):
            assert ids[outcome.record[KEY]] == outcome.meeting.id
        if isinstance(outcome, Rejected):
            assert outcome.record[KEY] not in ids
    return Ended(outcomes, run.report, ids)


def of(answer: Answer, **changes: Any) -> Answer:
    return msgspec.structs.replace(answer, **changes)


def short(answer: Answer) -> Answer:
    return of(answer, results=answer.results[:-3])


def doubled(answer: Answer) -> Answer:
    return of(answer, results=(*answer.results, *answer.results[:3]))


def two_for_one_trace(answer: Answer) -> Answer:
    first, second, *rest = answer.results
    other = msgspec.structs.replace(second, object_write_trace_id=first.object_write_trace_id)
    return of(answer, results=(first, other, *rest))


def one_id_for_two(answer: Answer) -> Answer:
    first, second, *rest = answer.results
    return of(answer, results=(first, msgspec.structs.replace(second, id=first.id), *rest))


def strangers(answer: Answer) -> Answer:
    stranger = msgspec.structs.replace(answer.results[0], id="77", object_write_trace_id="nobody's", properties={})
    return of(answer, results=(stranger, *answer.results))


ODD = [
    pytest.param(short, 3, "missing_in_answer", id="S1-97-of-100"),
    pytest.param(doubled, 0, "", id="S2-103-of-100"),
    pytest.param(two_for_one_trace, 2, "not_told_apart|missing_in_answer", id="S3-two-for-one-trace"),
    pytest.param(one_id_for_two, 2, "not_told_apart", id="S4-one-id-for-two"),
    pytest.param(strangers, 0, "", id="S5-strangers"),
]


@pytest.mark.row("S1", "S2", "S3", "S4", "S5")
@pytest.mark.parametrize(("spoil", "open_", "why"), ODD)
class TestOddAnswers:
    async def test_keyed(self, monkeypatch: pytest.MonkeyPatch, spoil: Spoil, open_: int, why: str) -> None:
        """What an answer leaves open is looked up, and nothing that landed is sent again."""
        async with account(monkeypatch, spoil) as (emulator, hubspot):
            end = await created(emulator, hubspot, key_property=KEY)
            assert end.report.created == 100
            assert end.report.found <= open_  # a key in a result may tell what its trace id does not
            assert emulator.stats().by_operation["meetings.batch_create"] == 1

    async def test_held(self, monkeypatch: pytest.MonkeyPatch, spoil: Spoil, open_: int, why: str) -> None:
        """It is named; the others are what the answer says."""
        async with account(monkeypatch, spoil) as (emulator, hubspot):
            end = await created(emulator, hubspot)
            ambiguous = [outcome for outcome in end.outcomes if isinstance(outcome, Ambiguous)]
            assert (end.report.created, len(ambiguous)) == (100 - open_, open_)
            assert {outcome.why for outcome in ambiguous} <= set(why.split("|"))
            assert end.report.requests == 1


@pytest.mark.row("S6")
@pytest.mark.parametrize("options", [{}, {"key_property": KEY}])
async def test_without_trace_ids_what_was_written_tells(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    """Never the place in the answer: the emulator shuffles it."""
    async with account(monkeypatch, echo=False) as (emulator, hubspot):
        assert (await created(emulator, hubspot, **options)).report.created == 100


def nameless_errors(*reasons: str) -> Spoil:
    """The last records fail, and the errors do not say which is whose."""

    def spoil(answer: Answer) -> Answer:
        errors = tuple(
            BatchError(status="error", category="VALIDATION_ERROR", message=reason, context={}) for reason in reasons
        )
        return of(answer, results=answer.results[: -len(reasons)], errors=errors, num_errors=len(errors))

    return spoil


@pytest.mark.row("S9")
async def test_errors_that_name_nobody_keyed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The records are looked up: here they are there, whatever the errors say."""
    async with account(monkeypatch, nameless_errors("too long", "too short")) as (emulator, hubspot):
        end = await created(emulator, hubspot, key_property=KEY)
        assert end.report.created == 100


@pytest.mark.row("S9")
async def test_each_learns_its_own_reason_keyed() -> None:
    """Two bad records whose errors name nobody: sent in smaller batches until each has its reason."""
    async with Emulator(limit=None) as emulator:
        emulator.portal.add_property(KEY, unique=True)
        retry = RetryPolicy(base_s=0.001, cap_s=0.002)
        async with MeetingsClient("token", base_url=emulator.url, limiter=NoLimit(), retry=retry) as hubspot:
            meetings = hubspot.bulk._meetings
            sound = meetings.send_create

            async def nameless(*arguments: Any, **options: Any) -> Answer:
                answer = await sound(*arguments, **options)
                return of(answer, errors=tuple(msgspec.structs.replace(e, context={}) for e in answer.errors))

            meetings.send_create = nameless  # type: ignore[method-assign]
            records: list[dict[str, Any]] = [{KEY: f"ref-{number}"} for number in range(100)]
            records[17]["no_such_property"] = "x"
            records[71]["hs_meeting_start_time"] = "yesterday"
            async with hubspot.bulk.create(records, key_property=KEY) as run:
                outcomes = [outcome async for outcome in run]
    rejected = {o.ordinal: str(o.error) for o in outcomes if isinstance(o, Rejected)}
    assert rejected.keys() == {17, 71}
    assert "no_such_property" in rejected[17]
    assert "hs_meeting_start_time" in rejected[71] or "yesterday" in rejected[71]
    assert sum(isinstance(o, Created) for o in outcomes) == 98


@pytest.mark.row("S9")
async def test_errors_that_name_nobody_held(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is sent again: each is told the set of reasons."""
    async with account(monkeypatch, nameless_errors("too long", "too short")) as (_, hubspot):
        records = [{KEY: f"ref-{number}"} for number in range(100)]
        async with hubspot.bulk.create(records) as run:
            outcomes = [outcome async for outcome in run]
        rejected = [outcome for outcome in outcomes if isinstance(outcome, Rejected)]
        assert len(rejected) == 2
        assert all("too long" in str(o.error) and "too short" in str(o.error) for o in rejected)
        assert run.report.requests == 1


@pytest.mark.row("S10")
@pytest.mark.parametrize("number", [None, 0, 7])
async def test_the_list_of_errors_counts_and_not_their_number(
    monkeypatch: pytest.MonkeyPatch, number: int | None
) -> None:
    """Results are missing, `numErrors` says anything: without errors to show it proves nothing."""

    def spoil(answer: Answer) -> Answer:
        return of(answer, results=answer.results[:-2], num_errors=number)

    async with account(monkeypatch, spoil) as (emulator, hubspot):
        end = await created(emulator, hubspot)
        assert (end.report.created, end.report.ambiguous) == (98, 2)


@pytest.mark.row("S13")
@pytest.mark.parametrize("shown", [True, False])
async def test_a_probe_is_as_good_as_the_index(monkeypatch: pytest.MonkeyPatch, shown: bool) -> None:
    """What the index shows in time is not sent again; what it does not show is, and is there twice then."""
    async with account(monkeypatch, search_delay_s=0.0 if shown else 3600.0) as (emulator, hubspot):
        emulator.faults.fail_next(502, applied=True, operation="meetings.batch_create")
        records = [{"hs_meeting_title": f"Import {number}"} for number in range(100)]
        report = await hubspot.bulk.create(records, key_property="hs_meeting_title", on_ambiguous="probe", settle_s=0.0)
        assert report.created == 100
        copies = emulator.portal.duplicates_by("hs_meeting_title")
        assert len(copies) == (0 if shown else 100)
        assert report.found == (100 if shown else 0)
