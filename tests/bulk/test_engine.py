"""The engine on a virtual clock: every record that is pulled ends in exactly one outcome, and the outcome is true."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hubspot_meetings_async.bulk.engine import Options, Run
from hubspot_meetings_async.bulk.operation import Doubt, Operation
from hubspot_meetings_async.bulk.outcomes import (
    Ambiguous,
    Archived,
    Created,
    NotSent,
    Outcome,
    Read,
    Rejected,
    Report,
    Updated,
)
from hubspot_meetings_async.errors import (
    AmbiguousWriteError,
    ConfigurationError,
    DailyLimitExceeded,
    HubSpotUnavailable,
    InvalidRecord,
    RateLimited,
    RequestRejected,
    TransportFailed,
    Unauthorized,
)
from hubspot_meetings_async.inputs import Inputs, Record
from hubspot_meetings_async.models import BatchResponse, Meeting
from hubspot_meetings_async.wire import Trail

from ..virtual_time import run_virtual
from .fake_hubspot import VERDICTS, FakeHubSpot


def operation(fake: FakeHubSpot, name: str, **changes: Any) -> Operation:
    forms: dict[str, Inputs] = {
        "create": Inputs.create(),
        "update": Inputs.update(id_property=None),
        "upsert": Inputs.upsert(id_property="n"),
        "archive": Inputs.archive(),
        "read": Inputs.read(properties=("n",), properties_with_history=(), id_property=None),
    }
    given: dict[str, Any] = {
        "name": name,
        "inputs": forms[name],
        "send": getattr(fake, name),
        "doubt": Doubt.HOLD if name == "create" else Doubt.REPEAT,
        "id_property": "n" if name == "upsert" else None,
        "quota": lambda: (190, 10.0),
    }
    return Operation(**{**given, **changes})


def run_of(op: Operation, records: Any, **options: Any) -> Run[Any]:
    return Run(op, records, options=Options(**{"read_in_thread": False, **options}), rng=random.Random(1))


def marks(count: int) -> Iterator[dict[str, str]]:
    return ({"n": f"m{number}", "hs_meeting_title": "Review"} for number in range(count))


async def outcomes_of(run: Run[Any]) -> list[Outcome[Any]]:
    async with run:
        return [outcome async for outcome in run]


def assert_accounted(report: Report, outcomes: list[Outcome[Any]], pulled: int) -> None:
    assert report.pulled == pulled
    assert report.adds_up
    assert sorted(outcome.ordinal for outcome in outcomes) == list(range(pulled))


# ---- the promise, on any stream and any mix of answers


@settings(max_examples=150, deadline=None)
@given(
    count=st.integers(0, 450),
    verdicts=st.lists(st.sampled_from(VERDICTS), min_size=1, max_size=6),
    bad_every=st.integers(2, 60),
    seed=st.integers(0, 2**32),
    alike=st.booleans(),
)
def test_create_tells_the_truth_about_every_record(
    count: int, verdicts: list[str], bad_every: int, seed: int, alike: bool
) -> None:
    """Whatever HubSpot answers, each record has one outcome; a created one exists once, a refused one never."""

    async def scenario(rng: random.Random) -> None:
        fake = FakeHubSpot(rng, (*verdicts, "ok"))
        records = [
            {"n": f"m{number}", **({"bad": "1"} if number % bad_every == 1 else {}), **({} if alike else {"t": "x"})}
            for number in range(count)
        ]
        run = run_of(operation(fake, "create"), iter(records))
        outcomes: list[Outcome[Any]] = []
        try:
            async with run:
                async for outcome in run:
                    outcomes.append(outcome)
        except (AmbiguousWriteError, RateLimited, TransportFailed):
            pass  # ten failures in a row end a run, as does a host that was never reached; the account stays right
        assert_accounted(run.report, outcomes, run.report.pulled)
        for outcome in outcomes:
            mark = outcome.record["n"]
            times = fake.written.get(mark, 0)
            assert times <= 1, f"{mark} written {times} times"
            assert outcome.record is records[outcome.ordinal]
            match outcome:
                case Created(meeting=meeting):
                    assert times == 1
                    assert fake.created[mark] == [meeting.id]
                case Rejected() | NotSent():
                    assert times == 0
                case Ambiguous():
                    pass
                case _:
                    pytest.fail(f"a create can not end as {outcome}")

    run_virtual(scenario, seed)


@settings(max_examples=100, deadline=None)
@given(
    count=st.integers(0, 350),
    distinct=st.integers(1, 400),
    verdicts=st.lists(st.sampled_from([v for v in VERDICTS if v != "foreign"]), min_size=1, max_size=6),
    seed=st.integers(0, 2**32),
)
def test_upsert_tells_the_truth_and_keeps_the_order_of_one_key(
    count: int, distinct: int, verdicts: list[str], seed: int
) -> None:
    """Records of one key are never in flight together, and the last one that was done is what HubSpot holds."""

    async def scenario(rng: random.Random) -> None:
        fake = FakeHubSpot(rng, (*verdicts, "ok", "ok"))
        records = [{"n": f"k{number % distinct}", "version": str(number)} for number in range(count)]
        run = run_of(operation(fake, "upsert"), records)
        outcomes: list[Outcome[Any]] = []
        try:
            async with run:
                async for outcome in run:
                    outcomes.append(outcome)
        except (HubSpotUnavailable, RateLimited, TransportFailed):
            pass
        assert fake.overlaps == 0
        assert_accounted(run.report, outcomes, run.report.pulled)
        assert all(len(ids) == 1 for ids in fake.created.values())
        last_done: dict[str, int] = {}
        unsure: set[str] = set()
        for outcome in outcomes:
            key = outcome.record["n"]
            match outcome:
                case Created() | Updated():
                    last_done[key] = max(last_done.get(key, -1), outcome.ordinal)
                case Ambiguous() | Rejected():
                    # This HubSpot refuses at random what it may have done a round before; a real one refuses for cause.
                    unsure.add(key)
                case NotSent():
                    pass
                case _:
                    pytest.fail(f"an upsert can not end as {outcome}")
        for key, ordinal in last_done.items():
            if key not in unsure:
                assert fake.meetings[fake.created[key][0]]["version"] == str(ordinal)

    run_virtual(scenario, seed)


@pytest.mark.parametrize("name", ["update", "read", "archive"])
def test_operations_by_id_settle_every_record(name: str) -> None:
    """Updates, reads and archives of known and unknown ids each end as what they are."""
    done = {"update": Updated, "read": Read, "archive": Archived}[name]

    async def scenario(rng: random.Random) -> None:
        fake = FakeHubSpot(rng, ("ok shuffled",))
        await run_of(operation(fake, "create"), marks(250))
        ids = [*fake.meetings, "999999"]
        records = [{"id": meeting_id, "hs_meeting_title": "New"} for meeting_id in ids]
        outcomes = await outcomes_of(run_of(operation(fake, name), records))
        assert sorted(o.ordinal for o in outcomes) == list(range(251))
        for outcome in outcomes:
            if outcome.record["id"] == "999999" and name != "archive":
                assert isinstance(outcome, Rejected)
            else:
                assert isinstance(outcome, done)

    run_virtual(scenario)


# ---- sources


def test_an_empty_stream_is_a_run_of_zeros() -> None:
    """No records: no request, a report of zeros, no outcome."""

    async def scenario(rng: random.Random) -> None:
        fake = FakeHubSpot(rng)
        report = await run_of(operation(fake, "create"), [])
        assert (report.pulled, report.requests, report.adds_up) == (0, 0, True)
        assert fake.batches == []

    run_virtual(scenario)


def test_items_that_are_no_records_are_rejected_and_the_rest_goes_on() -> None:
    """What can not be sent is rejected in words; its neighbours are created."""
    records: list[Any] = [{"n": "a"}, None, 7, ["x"], {"n": "b"}, "text", {"n": float("nan")}, {"n": {1, object()}}]

    async def scenario(rng: random.Random) -> None:
        run = run_of(operation(FakeHubSpot(rng), "create"), records)
        outcomes = await outcomes_of(run)
        assert_accounted(run.report, outcomes, len(records))
        created = {o.ordinal for o in outcomes if isinstance(o, Created)}
        assert created == {0, 4}
        for outcome in outcomes:
            if outcome.ordinal not in created:
                assert isinstance(outcome, Rejected)
                assert isinstance(outcome.error, InvalidRecord)
                assert outcome.record is records[outcome.ordinal]

    run_virtual(scenario)


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_source_that_raises_is_finished_first_and_raises_as_itself(asynchronous: bool) -> None:
    """The 5,050 records before the failure are settled; then the source's own exception arrives, unwrapped."""

    class SourceBroke(Exception):
        pass

    def broken() -> Iterator[dict[str, str]]:
        yield from marks(5_050)
        raise SourceBroke("disk gone")

    async def broken_async() -> AsyncIterator[dict[str, str]]:
        for record in marks(5_050):
            yield record
        raise SourceBroke("disk gone")

    async def scenario(rng: random.Random) -> None:
        fake = FakeHubSpot(rng)
        run = run_of(operation(fake, "create"), broken_async() if asynchronous else broken())
        seen = 0
        with pytest.raises(SourceBroke, match="disk gone") as raised:
            async with run:
                async for _ in run:
                    seen += 1
        assert seen == run.report.created == 5_050
        assert len(fake.meetings) == 5_050
        assert any("5,050 records" in note for note in raised.value.__notes__)
        assert run.report.adds_up

    run_virtual(scenario)


def test_the_source_is_read_only_as_fast_as_records_are_taken() -> None:
    """With one worker and a consumer that never reads, a source of a million is read a few batches deep."""

    async def scenario(rng: random.Random) -> None:
        pulled = 0

        def source() -> Iterator[dict[str, str]]:
            nonlocal pulled
            for record in marks(1_000_000):
                pulled += 1
                yield record

        async with run_of(operation(FakeHubSpot(rng), "create"), source(), workers=1):
            await anyio.sleep(60)
            assert pulled <= 400

    run_virtual(scenario)


def test_a_slow_async_source_does_not_keep_its_records_waiting() -> None:
    """Records of a source that pauses are sent after a moment, not when the batch of 100 is full."""

    async def scenario(rng: random.Random) -> None:
        gate = anyio.Event()

        async def source() -> AsyncIterator[dict[str, str]]:
            for record in marks(3):
                yield record
            await gate.wait()
            yield {"n": "late"}

        async with run_of(operation(FakeHubSpot(rng), "create"), source()) as run:
            first = [await anext(run) for _ in range(3)]
            assert anyio.current_time() < 2.0
            gate.set()
            rest = [outcome async for outcome in run]
        assert [type(o) for o in (*first, *rest)] == [Created] * 4

    run_virtual(scenario)


# ---- leaving, stopping, being cancelled


@pytest.mark.parametrize("after", [0, 1, 99, 100, 101, 777])
def test_leaving_the_block_early_still_adds_up(after: int) -> None:
    """After a `break`, what was read, what is in `unread` and the report agree, and `unread` is true."""

    async def scenario(rng: random.Random) -> None:
        fake = FakeHubSpot(rng, VERDICTS[:3])
        read: list[Outcome[Any]] = []
        async with run_of(operation(fake, "create"), marks(100_000)) as run:
            if after:
                async for outcome in run:
                    read.append(outcome)
                    if len(read) == after:
                        break
            else:
                await anyio.sleep(0.01)
        report = run.report
        assert_accounted(report, [*read, *run.unread], report.pulled)
        assert report.pulled < 100_000
        for outcome in run.unread:
            times = fake.written.get(outcome.record["n"], 0)
            if isinstance(outcome, Created):
                assert times == 1
            if isinstance(outcome, NotSent):
                assert (times, outcome.why) == (0, "cancelled")
        assert report.ambiguous + report.not_sent > 0

    run_virtual(scenario)


def test_an_error_in_the_block_comes_out_as_itself() -> None:
    """A ValueError of the user's is no ExceptionGroup afterwards, and the account still adds up."""

    async def scenario(rng: random.Random) -> None:
        run = run_of(operation(FakeHubSpot(rng), "create"), marks(1_000))
        with pytest.raises(ValueError, match="mine"):
            async with run:
                async for _ in run:
                    raise ValueError("mine")
        assert run.report.adds_up
        assert len(run.unread) == run.report.pulled - 1

    run_virtual(scenario)


@pytest.mark.parametrize("moment_s", [0.0, 0.001, 0.02, 0.05, 0.08, 0.3, 1.0])
@pytest.mark.parametrize("form", ["await", "block"])
@pytest.mark.parametrize("how", ["cancel", "timeout", "scope", "sibling"])
def test_cancellation_at_any_moment_adds_up(moment_s: float, form: str, how: str) -> None:
    """A run that is cancelled from outside ends at once, passes the cancellation on, and accounts for all it pulled."""

    async def scenario(rng: random.Random) -> None:
        fake = FakeHubSpot(rng)
        run = run_of(operation(fake, "create"), marks(1_000_000), workers=8)
        read: list[Outcome[Any]] = []

        async def go() -> None:
            if form == "await":
                await run
            else:
                async with run:
                    async for outcome in run:
                        read.append(outcome)

        match how:
            case "cancel":
                task = asyncio.ensure_future(go())
                await asyncio.sleep(moment_s)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            case "timeout":
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(moment_s):
                        await go()
            case "scope":
                with anyio.move_on_after(moment_s) as scope:
                    await go()
                assert scope.cancelled_caught
            case _:
                with pytest.raises(ExceptionGroup) as raised:
                    async with asyncio.TaskGroup() as group:
                        group.create_task(go())
                        await asyncio.sleep(moment_s)
                        raise ValueError("sibling")
                assert raised.group_contains(ValueError, match="sibling")
        report = run.report
        assert report.adds_up
        if form == "block":
            assert_accounted(report, [*read, *run.unread], report.pulled)
        assert sum(fake.written.values()) <= report.created + report.ambiguous
        assert max(fake.written.values(), default=1) == 1

    run_virtual(scenario)


def test_stop_finishes_what_was_pulled() -> None:
    """After `stop()` nothing more is pulled, and everything pulled is created and delivered."""

    async def scenario(rng: random.Random) -> None:
        run = run_of(operation(FakeHubSpot(rng), "create"), marks(100_000))
        outcomes: list[Outcome[Any]] = []
        async with run:
            async for outcome in run:
                outcomes.append(outcome)
                if len(outcomes) == 150:
                    run.stop()
        report = run.report
        assert report.created == report.pulled == len(outcomes) < 100_000
        assert run.unread == []

    run_virtual(scenario)


def test_stop_ends_the_wait_for_a_source_that_never_yields() -> None:
    """`stop()` reaches a run that waits for its source."""

    async def scenario(rng: random.Random) -> None:
        async def source() -> AsyncIterator[dict[str, str]]:
            yield {"n": "only"}
            await anyio.sleep_forever()

        async with run_of(operation(FakeHubSpot(rng), "create"), source()) as run:
            first = await anext(run)
            run.stop()
            assert [outcome async for outcome in run] == []
        assert isinstance(first, Created)

    run_virtual(scenario)


# ---- failures of the run


def failing(*errors: Exception, then: FakeHubSpot) -> Any:
    script = list(errors)

    async def send(body: bytes, trail: Trail) -> BatchResponse[Meeting]:
        if script:
            raise script.pop(0)
        return await then.create(body, trail)

    return send


@pytest.mark.parametrize(
    "error",
    [
        Unauthorized("expired", status=401),
        DailyLimitExceeded("spent", status=429, policy="DAILY"),
        ConfigurationError("closed"),
        TransportFailed("no trusted TLS", sent=False, fatal=True),
        TransportFailed("refused", sent=False),
    ],
)
def test_what_makes_going_on_useless_ends_the_run_with_a_full_account(error: Exception) -> None:
    """The error itself is raised after all outcomes; nothing of the rest was sent, and it says so."""

    async def scenario(rng: random.Random) -> None:
        fake = FakeHubSpot(rng)

        async def send(body: bytes, trail: Trail) -> BatchResponse[Meeting]:
            raise error

        run = run_of(operation(fake, "create", send=send), marks(100_000))
        outcomes: list[Outcome[Any]] = []
        with pytest.raises(type(error)) as raised:
            async with run:
                async for outcome in run:
                    outcomes.append(outcome)
        assert raised.value is error
        report = run.report
        assert_accounted(report, outcomes, report.pulled)
        assert report.not_sent == report.pulled < 100_000
        assert all(isinstance(o, NotSent) and o.why == "stopped" and o.error is error for o in outcomes)

    run_virtual(scenario)


def test_a_host_that_goes_away_for_a_while_costs_nothing() -> None:
    """After a first success, unreachable hosts are waited for: all records are created."""

    async def scenario(rng: random.Random) -> None:
        fake = FakeHubSpot(rng)
        await run_of(operation(fake, "create"), marks(100))
        gone = TransportFailed("refused", sent=False)
        calls = 0

        async def send(body: bytes, trail: Trail) -> BatchResponse[Meeting]:
            nonlocal calls
            calls += 1
            if 2 <= calls <= 8:
                raise gone
            return await fake.create(body, trail)

        report = await run_of(operation(fake, "create", send=send), marks(1_000), workers=1)
        assert report.created == 1_000

    run_virtual(scenario)


def test_an_outage_spoils_ten_batches_at_most() -> None:
    """When HubSpot answers nothing but 502, an unkeyed create gives up instead of risking batch after batch."""

    async def scenario(rng: random.Random) -> None:
        fake = FakeHubSpot(rng, ("5xx",))
        run = run_of(operation(fake, "create"), marks(100_000))
        with pytest.raises(AmbiguousWriteError):
            await run
        assert run.report.adds_up
        assert run.report.ambiguous == 1_000
        assert sum(fake.written.values()) == 0

    run_virtual(scenario)


def test_a_bug_in_the_operation_is_raised_after_the_account() -> None:
    """An exception that no room foresaw ends the run, is raised as itself, and loses nothing."""

    async def scenario(rng: random.Random) -> None:
        send = failing(KeyError("bug"), then=FakeHubSpot(rng))
        run = run_of(operation(FakeHubSpot(rng), "create", send=send), marks(5_000))
        with pytest.raises(KeyError, match="bug"):
            await run
        assert run.report.adds_up
        assert run.report.not_sent > 0

    run_virtual(scenario)


def test_a_progress_callback_that_raises_ends_the_run_as_itself() -> None:
    """The user's own exception comes out, and what was settled stays settled."""

    async def scenario(rng: random.Random) -> None:
        def on_progress(report: Report) -> None:
            if report.created >= 300:
                raise LookupError("terminal gone")

        fake = FakeHubSpot(rng)
        run = run_of(operation(fake, "create"), marks(10_000), workers=4, on_progress=on_progress)
        with pytest.raises(LookupError, match="terminal gone"):
            await run
        assert run.report.adds_up
        assert 300 <= run.report.created == len(fake.meetings) < 10_000

    run_virtual(scenario)


# ---- refusals of a whole batch


@pytest.mark.parametrize("culprits", [{0}, {99}, {3, 40, 41}, set(range(100))])
def test_a_refused_batch_is_halved_until_the_culprits_stand_alone(culprits: set[int]) -> None:
    """A server that refuses a batch for one bad input gets the good ones all the same; each culprit has its reason."""

    async def scenario(rng: random.Random) -> None:
        fake = FakeHubSpot(rng)

        async def send(body: bytes, trail: Trail) -> BatchResponse[Meeting]:
            if b'"bad"' in body:
                raise RequestRejected("bad", status=400)
            return await fake.create(body, trail)

        records = [{"n": f"m{i}", **({"bad": "1"} if i in culprits else {})} for i in range(100)]
        run = run_of(operation(fake, "create", send=send), records)
        outcomes = await outcomes_of(run)
        assert_accounted(run.report, outcomes, 100)
        assert {o.ordinal for o in outcomes if isinstance(o, Rejected)} == culprits
        assert {o.ordinal for o in outcomes if isinstance(o, Created)} == set(range(100)) - culprits
        if len(culprits) == 1:
            assert len(fake.batches) + run.report.splits <= 14

    run_virtual(scenario)


def test_without_splitting_a_refused_batch_is_rejected_whole() -> None:
    """`split_refused=False` sends a refused batch once."""

    async def scenario(rng: random.Random) -> None:
        run = run_of(operation(FakeHubSpot(rng, ("refused",)), "create", split_refused=False), marks(100))
        report = await run
        assert (report.rejected, report.splits, report.requests) == (100, 0, 1)

    run_virtual(scenario)


# ---- concurrency


def test_workers_follow_latency() -> None:
    """With nothing in the way, slow answers call for more requests in flight, fast ones for fewer."""

    async def most(latency_s: float, rng: random.Random, workers: int | None = None) -> int:
        in_flight = most_in_flight = 0

        async def send(body: bytes, trail: Trail) -> None:
            nonlocal in_flight, most_in_flight
            async with turn:
                await anyio.sleep(1 / 19)
            in_flight += 1
            most_in_flight = max(most_in_flight, in_flight)
            if trail.on_sent is not None:
                trail.on_sent()
            await anyio.sleep(latency_s)
            in_flight -= 1

        turn = anyio.Lock()
        fake = FakeHubSpot(rng)
        records = ({"id": str(number)} for number in range(20_000))
        report = await run_of(operation(fake, "archive", send=send), records, workers=workers)
        assert report.archived == 20_000
        return most_in_flight

    async def scenario(rng: random.Random) -> tuple[int, int, int]:
        return await most(0.05, rng), await most(1.0, rng), await most(1.0, rng, workers=4)

    fast, slow, bounded = run_virtual(scenario)
    assert fast <= 3
    assert 19 <= slow <= 22
    assert bounded == 4


# ---- misuse


def test_misuse_is_refused_in_words() -> None:
    """One record for many, no records, silly numbers, iterating outside the block, running twice."""

    async def scenario(rng: random.Random) -> None:
        op = operation(FakeHubSpot(rng), "create")
        for records in ({"n": "one"}, "text", Record(properties={}), 7, None):
            with pytest.raises(ConfigurationError, match="records"):
                run_of(op, records)
        for options in ({"workers": 0}, {"workers": 1_000}, {"max_batch_bytes": 1}):
            with pytest.raises(ConfigurationError):
                run_of(op, [], **options)
        run = run_of(op, marks(3))
        with pytest.raises(ConfigurationError, match="async with"):
            await anext(run)
        assert (await run).created == 3
        with pytest.raises(ConfigurationError, match="once"):
            await run
        assert "ended" in repr(run)

    run_virtual(scenario)


def test_the_report_reads_as_a_sentence() -> None:
    """`str(report)` is one line with what matters."""

    async def scenario(rng: random.Random) -> str:
        return str(await run_of(operation(FakeHubSpot(rng), "create"), [*marks(250), None]))

    text = run_virtual(scenario)
    assert text.startswith("bulk create: 251 pulled, 250 created, 1 rejected, 3 requests, 0 retries, 0 × 429, ")
    assert "\n" not in text


def test_a_doubt_is_not_forgotten_when_refusals_follow() -> None:
    """An update that was applied and then met nothing but 429s may have been done: it is ambiguous, not unsent."""

    async def scenario(rng: random.Random) -> None:
        fake = FakeHubSpot(rng)
        await run_of(operation(fake, "create"), marks(1))
        (meeting_id,) = fake.meetings

        async def send(body: bytes, trail: Trail) -> BatchResponse[Meeting]:
            if not trail.requests:
                await fake.update(body, trail)
            trail.in_doubt = True  # what the call loop leaves when an answer was lost and 429s followed
            raise RateLimited("ten_secondly_rolling", status=429)

        run = run_of(operation(fake, "update", send=send), [{"id": meeting_id, "hs_meeting_title": "New"}])
        outcomes: list[Outcome[Any]] = []
        with pytest.raises(RateLimited):
            async with run:
                async for outcome in run:
                    outcomes.append(outcome)
        assert fake.meetings[meeting_id]["hs_meeting_title"] == "New"
        assert [type(outcome) for outcome in outcomes] == [Ambiguous]

    run_virtual(scenario)


def test_without_a_quota_workers_stay_few() -> None:
    """With no limit to hold them back, workers do not pile up while HubSpot pauses."""

    async def scenario(rng: random.Random) -> int:
        fake = FakeHubSpot(rng)
        await run_of(operation(fake, "create", quota=lambda: (0, 0.0)), marks(20_000))
        return fake.most_open

    assert run_virtual(scenario) == 16
