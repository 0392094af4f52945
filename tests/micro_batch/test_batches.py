"""When a batch closes, what it carries and for how long a call waits: on virtual time, to the millisecond."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from itertools import pairwise
from typing import Any, NoReturn

import anyio
import pytest

from hubspot_meetings_async import (
    AccountingError,
    AmbiguousWriteError,
    DailyLimitExceeded,
    DeadlineExceeded,
    HubSpotError,
    Lane,
    Meeting,
    MicroBatch,
    NoLimit,
    QuotaGate,
    RateLimited,
    TransportFailed,
)
from hubspot_meetings_async.calling.deadlines import Deadline
from hubspot_meetings_async.micro_batch.carrying import Carrying
from tests.proof.world import KEY
from tests.virtual_time import run_virtual

from .simulated import Arrival, QuickHubSpot, micro_batch

Scenario = Callable[[], Awaitable[Any]]


def marked(number: object, **more: str) -> dict[str, str]:
    return {"mark": f"m{number}", **more}


def run(scenario: Scenario) -> Any:
    async def main(_: random.Random) -> Any:
        return await scenario()

    return run_virtual(main, lateness_s=0.0)


async def together(calls: list[Any]) -> list[Any]:
    return list(await asyncio.gather(*calls, return_exceptions=True))


def sizes(hubspot: QuickHubSpot) -> list[int]:
    return [len(arrival.inputs) for arrival in hubspot.arrivals]


def test_a_batch_closes_when_its_linger_is_over() -> None:
    """Counted from its first call; the next one begins another."""
    hubspot = QuickHubSpot(round_trip_s=0.1)

    async def scenario() -> None:
        async with micro_batch(hubspot, linger_s=0.010) as batch, asyncio.TaskGroup() as tasks:
            for after_s in (0.0, 0.004, 0.005, 0.002):  # at 0, 4, 9 and 11 ms
                await anyio.sleep(after_s)
                tasks.create_task(batch.create(marked(after_s)))

    run(scenario)
    assert sizes(hubspot) == [3, 1]
    assert [arrival.at for arrival in hubspot.arrivals] == pytest.approx([0.060, 0.071], abs=1e-4)


def test_a_full_batch_waits_for_nothing() -> None:
    """By count, or by bytes; what is left over lingers from its own first call on."""

    async def scenario(options: dict[str, Any], text: str) -> QuickHubSpot:
        hubspot = QuickHubSpot(round_trip_s=0.1)
        async with micro_batch(hubspot, linger_s=5.0, **options) as batch, asyncio.TaskGroup() as tasks:
            for number in range(25):
                tasks.create_task(batch.create(marked(number, text=text)))
        return hubspot

    by_count = run(lambda: scenario({"max_inputs": 10}, ""))
    assert sizes(by_count) == [10, 10, 5]
    assert [arrival.at for arrival in by_count.arrivals] == pytest.approx([0.05, 0.05, 5.05], abs=1e-3)
    by_bytes = run(lambda: scenario({"max_bytes": 10_000}, "x" * 1_000))
    assert sizes(by_bytes)[:2] == [9, 9]
    assert by_bytes.arrivals[1].at < 0.1
    assert sum(sizes(by_bytes)) == 25


def test_kinds_do_not_mix() -> None:
    """Each operation, unique property and set of properties has requests of its own."""
    hubspot = QuickHubSpot()

    async def scenario() -> None:
        async with micro_batch(hubspot) as batch:
            made = [await batch.create(marked(n, ref=f"r{n}")) for n in range(4)]
            hubspot.arrivals.clear()
            calls: list[Any] = [batch.read(made[0].id, properties=["a"]), batch.read(made[0].id, properties=["b"])]
            calls += [batch.read(made[1].id, properties=["a"]), batch.update(made[2].id, marked(2))]
            calls += [batch.archive(made[3].id), batch.upsert("r9", marked(9), id_property="ref")]
            assert all(not isinstance(result, Exception) for result in await together(calls))

    run(scenario)
    assert sorted((arrival.op, len(arrival.inputs)) for arrival in hubspot.arrivals) == [
        ("archive", 1),
        ("read", 1),
        ("read", 2),
        ("update", 1),
        ("upsert", 1),
    ]


def test_trace_ids_are_unique_also_between_batchers() -> None:
    """In all that one client ever sends."""
    hubspot = QuickHubSpot()

    async def scenario() -> None:
        for seed in (1, 2):
            async with micro_batch(hubspot, seed=seed) as batch:
                await together([batch.create(marked(n)) for n in range(150)])

    run(scenario)
    traces = [one["objectWriteTraceId"] for arrival in hubspot.arrivals for one in arrival.inputs]
    assert len(traces) == len(set(traces)) == 300


def test_what_a_request_carries_is_decided_when_it_has_its_slot() -> None:
    """Calls that come while a request waits for quota go with it, up to a hundred."""
    hubspot = QuickHubSpot(round_trip_s=0.1, limit=1)
    gate = QuotaGate(limit=1, assumed=False, probe_first=False)

    async def scenario() -> None:
        async with micro_batch(hubspot, limiter=gate) as batch, asyncio.TaskGroup() as tasks:
            for number in range(151):
                tasks.create_task(batch.create(marked(number)))
                await anyio.sleep(1.0 if number == 0 else 0.02)

    run(scenario)
    assert sizes(hubspot) == [1, 100, 50]


def test_a_refused_batch_takes_more_along() -> None:
    """After a 429 nothing was done, so the next attempt carries what has come meanwhile, and nobody who has gone."""
    hubspot = QuickHubSpot(round_trip_s=0.1)
    hubspot.statuses = [429]

    async def scenario() -> None:
        async with micro_batch(hubspot) as batch, asyncio.TaskGroup() as tasks:
            gone = tasks.create_task(batch.create(marked("gone")))
            tasks.create_task(batch.create(marked("first")))
            await anyio.sleep(0.05)
            gone.cancel()
            await anyio.sleep(0.0501)
            tasks.create_task(batch.create(marked("second")))

    run(scenario)
    marks = [[one["properties"]["mark"] for one in arrival.inputs] for arrival in hubspot.arrivals]
    assert marks[0] == ["mgone", "mfirst"]
    assert "mgone" not in [mark for batch in marks[1:] for mark in batch]
    assert sorted(mark for batch in marks[1:] for mark in batch) == ["mfirst", "msecond"]


def test_no_two_writes_of_an_id_are_out_at_once() -> None:
    """They go in the order they were submitted, whatever the operation; other ids do not wait."""
    hubspot = QuickHubSpot(round_trip_s=0.1)

    async def scenario() -> None:
        async with micro_batch(hubspot) as batch:
            made = [await batch.create(marked(n)) for n in range(2)]
            hubspot.arrivals.clear()
            calls: list[Any] = [batch.update(made[0].id, {"n": str(n)}) for n in range(3)]
            calls += [batch.archive(made[0].id), batch.update(made[1].id, {"n": "other"})]
            await together(calls)

    run(scenario)
    assert [(a.op, len(a.inputs)) for a in hubspot.arrivals] == [
        ("update", 2),
        ("update", 1),
        ("update", 1),
        ("archive", 1),
    ]
    moments = [arrival.at for arrival in hubspot.arrivals]
    assert all(later - earlier >= 0.1 for earlier, later in pairwise(moments))


def test_a_read_does_not_join_one_that_has_left() -> None:
    """It could miss a write that was done before it was asked."""
    hubspot = QuickHubSpot(round_trip_s=0.1)

    async def scenario() -> list[str | None]:
        async with micro_batch(hubspot) as batch:
            made = await batch.create(marked(1, n="old"))
            async with asyncio.TaskGroup() as tasks:
                early = tasks.create_task(batch.read(made.id, properties=["n"]))
                await anyio.sleep(0.07)
                hubspot.world.meetings[made.id].properties["n"] = "new"
                late = tasks.create_task(batch.read(made.id, properties=["n"]))
            return [early.result().properties["n"], late.result().properties["n"]]

    assert run(scenario) == ["old", "new"]


class TestDeadlines:
    def test_it_covers_the_wait_for_quota(self) -> None:
        """A call that never left says so, and its record never leaves."""
        hubspot = QuickHubSpot(round_trip_s=0.1)
        gate = QuotaGate(limit=1, assumed=False, probe_first=False)

        async def scenario() -> tuple[list[Any], float]:
            async with micro_batch(hubspot, limiter=gate, call_s=3.0) as batch:
                await batch.create(marked(0))
                began_at = anyio.current_time()
                results = await together([batch.create(marked(n)) for n in range(1, 4)])
                waited_s = anyio.current_time() - began_at
                await anyio.sleep(20)
            return results, waited_s

        results, waited_s = run(scenario)
        assert [type(result) for result in results] == [DeadlineExceeded] * 3
        assert [result.sent for result in results] == [False] * 3
        assert waited_s == pytest.approx(3.0, abs=0.01)
        assert sizes(hubspot) == [1]

    @pytest.mark.parametrize("operation", ["create", "update"])
    def test_it_covers_the_answer(self, operation: str) -> None:
        """A write that left may be done, and its error says so; nobody waits longer than that."""
        hubspot = QuickHubSpot(round_trip_s=0.1)

        async def scenario() -> Any:
            async with micro_batch(hubspot, call_s=3.0) as batch:
                made = await batch.create(marked(0))
                hubspot.hold = anyio.Event()
                call = batch.create(marked(1)) if operation == "create" else batch.update(made.id, marked(1))
                began_at = anyio.current_time()
                result = (await together([call]))[0]
                assert anyio.current_time() - began_at == pytest.approx(3.0, abs=0.01)
            return result

        error = run(scenario)
        if operation == "create":
            assert isinstance(error, AmbiguousWriteError)
            assert error.why == "timeout"
            assert isinstance(error.__cause__, DeadlineExceeded)
        else:
            assert isinstance(error, DeadlineExceeded)
            assert error.sent

    def test_each_has_its_own(self) -> None:
        """Who came later waits longer, also in the same batch."""
        hubspot = QuickHubSpot(round_trip_s=0.1)

        async def scenario() -> list[float]:
            hubspot.hold = anyio.Event()
            ends: list[float] = []

            async def call(batch: MicroBatch, number: int) -> None:
                with pytest.raises(AmbiguousWriteError):
                    await batch.create(marked(number))
                ends.append(anyio.current_time())

            async with micro_batch(hubspot, call_s=1.0, linger_s=0.5) as batch, asyncio.TaskGroup() as tasks:
                for number in range(3):
                    tasks.create_task(call(batch, number))
                    await anyio.sleep(0.2)
            return ends

        assert run(scenario) == pytest.approx([1.0, 1.2, 1.4], abs=0.01)

    def test_a_parked_write_too(self) -> None:
        """Behind an earlier write of its id that hangs."""
        hubspot = QuickHubSpot(round_trip_s=0.1)

        async def scenario() -> list[Any]:
            async with micro_batch(hubspot, call_s=1.0) as batch:
                made = await batch.create(marked(0))
                hubspot.hold = anyio.Event()
                return await together([batch.update(made.id, marked(n)) for n in range(2)])

        first, second = run(scenario)
        assert (first.sent, second.sent) == (True, False)
        assert len(hubspot.arrivals) == 2

    def test_what_is_sent_again_too(self) -> None:
        """A part of a refused batch that waits for quota when its time is over has not left, and does not leave."""
        hubspot = QuickHubSpot(round_trip_s=0.1)
        hubspot.statuses = [400]
        gate = QuotaGate(limit=1, assumed=False, probe_first=False)

        async def scenario() -> list[Any]:
            async with micro_batch(hubspot, limiter=gate, call_s=5.0) as batch:
                results = await together([batch.create(marked(n)) for n in range(4)])
                await anyio.sleep(60)
            return results

        results = run(scenario)
        assert [type(result) for result in results] == [DeadlineExceeded] * 4
        assert [result.sent for result in results] == [False] * 4
        assert sizes(hubspot) == [4]

    def test_of_what_is_sent_again_the_rest_goes(self) -> None:
        """Who gives up while his part of a refused batch waits for quota takes nobody along."""
        hubspot = QuickHubSpot(round_trip_s=0.1)
        hubspot.statuses = [400]
        gate = QuotaGate(limit=1, assumed=False, probe_first=False)

        async def scenario() -> list[Any]:
            async with micro_batch(hubspot, limiter=gate) as batch:
                calls = [asyncio.ensure_future(batch.create(marked(n))) for n in range(4)]
                await anyio.sleep(5.0)  # its halves wait
                for gone in (0, 1, 2):
                    calls[gone].cancel()
                return await together(calls)

        results = run(scenario)
        assert [type(result) for result in results] == [asyncio.CancelledError] * 3 + [Meeting]
        marks = [[one["properties"]["mark"] for one in arrival.inputs] for arrival in hubspot.arrivals]
        assert marks == [["m0", "m1", "m2", "m3"], ["m3"]]


class TestBlocks:
    """`hubspot.deadline` around single calls of a batcher."""

    def test_it_ends_its_own_wait_only(self) -> None:
        """Of a batch that is out, one call stops waiting and is in doubt; the others get their meetings."""
        hubspot = QuickHubSpot(round_trip_s=1.0)

        async def scenario() -> list[Any]:
            async with micro_batch(hubspot) as batch:

                async def hurried(number: int) -> Meeting:
                    with Deadline(0.3):
                        return await batch.create(marked(number))

                results = await together([batch.create(marked(0)), hurried(1), batch.create(marked(2))])
                assert anyio.current_time() == pytest.approx(1.005, abs=0.001)
                return results

        first, second, third = run(scenario)
        assert isinstance(first, Meeting)
        assert isinstance(second, AmbiguousWriteError)
        assert isinstance(third, Meeting)
        assert sizes(hubspot) == [3]

    def test_it_leaves_a_batch_that_has_not_left(self) -> None:
        """Surely not sent, and so it says; nobody else's call is touched."""
        hubspot = QuickHubSpot(round_trip_s=0.1)

        async def scenario() -> list[Any]:
            async with micro_batch(hubspot, linger_s=1.0) as batch:

                async def hurried(number: int) -> Meeting:
                    with Deadline(0.3):
                        return await batch.create(marked(number))

                return await together([batch.create(marked(0)), hurried(1)])

        made, late = run(scenario)
        assert isinstance(made, Meeting)
        assert isinstance(late, DeadlineExceeded)
        assert not late.sent
        assert [one["properties"]["mark"] for one in hubspot.arrivals[0].inputs] == ["m0"]

    def test_a_queue_that_is_too_long(self) -> None:
        """A call that needs a request of its own fails at once where the quota's queue is longer than its time; one
        that a request under way will take along waits for that."""
        hubspot = QuickHubSpot(round_trip_s=0.1)
        gate = QuotaGate(limit=1, assumed=False, probe_first=False)

        async def scenario() -> list[Any]:
            async with micro_batch(hubspot, limiter=gate, max_inputs=2) as batch:
                await batch.create(marked(0))
                async with asyncio.TaskGroup() as tasks:
                    first = tasks.create_task(batch.create(marked(1)))
                    await anyio.sleep(1.0)  # its request stands in line, and the slot comes back in 9 s
                    with Deadline(15.0):
                        joins = tasks.create_task(batch.create(marked(2)))
                    await anyio.sleep(0.001)
                    began_at = anyio.current_time()
                    with Deadline(5.0):
                        (late,) = await together([batch.create(marked(3))])
                    assert anyio.current_time() - began_at < 0.01
                return [first.result(), joins.result(), late]

        first, joins, late = run(scenario)
        assert isinstance(first, Meeting)
        assert isinstance(joins, Meeting)
        assert isinstance(late, DeadlineExceeded)
        assert "no room for another" in str(late)
        assert "nothing was sent" in str(late)

    def test_one_around_the_batcher_bounds_nobody(self) -> None:
        """It is opened for all: what it sends for others is not under the deadline that its opener had."""
        hubspot = QuickHubSpot(round_trip_s=0.1)

        async def scenario() -> list[Any]:
            batch = micro_batch(hubspot, key_property=KEY)
            with Deadline(0.5):
                await batch.__aenter__()
            await anyio.sleep(1.0)
            made = await together([batch.create(marked(0, **{KEY: "k"}))])
            await batch.__aexit__(None, None, None)
            return made

        (made,) = run(scenario)
        assert isinstance(made, Meeting)


class TestWhenItFails:
    def test_bugs_reach_everybody(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """An error of the batcher itself is told to all whom it concerns, and the next batch goes."""
        hubspot = QuickHubSpot()
        broken = [True]

        def take(self: Carrying) -> None:
            if broken.pop():
                raise ZeroDivisionError("oops")
            known(self)

        known = Carrying._take
        monkeypatch.setattr(Carrying, "_take", take)

        async def scenario() -> tuple[list[Any], Meeting]:
            async with micro_batch(hubspot) as batch:
                results = await together([batch.create(marked(n)) for n in range(5)])
                broken.append(False)
                return results, await batch.create(marked(9))

        results, meeting = run(scenario)
        assert [type(result) for result in results] == [AccountingError] * 5
        assert isinstance(results[0].__cause__, ZeroDivisionError)
        assert meeting.id

    def test_bugs_in_timers_too(self) -> None:
        """Nobody sees what a callback of the loop raises; who waits gets it."""
        hubspot = QuickHubSpot()
        gate = QuotaGate(limit=10)

        async def scenario() -> list[Any]:
            batch = micro_batch(hubspot, limiter=gate)
            batch._departures._spacing._quota = lambda: 1 / 0  # type: ignore[assignment,return-value]
            async with batch:
                return await together([batch.create(marked(n)) for n in range(3)])

        assert [type(result) for result in run(scenario)] == [AccountingError] * 3

    def test_the_error_of_a_request_that_got_no_slot(self) -> None:
        """It is told to those that waited for that request, a hundred each; nothing was sent."""
        hubspot = QuickHubSpot()

        class Spent(NoLimit):
            def slot(self, lane: Lane, *, at_head: bool = False) -> NoReturn:
                raise DailyLimitExceeded("the calls of the day are spent", policy="DAILY")

        async def scenario() -> list[Any]:
            async with micro_batch(hubspot, limiter=Spent(), call_s=60.0) as batch:
                return await together([batch.create(marked(n)) for n in range(150)])

        assert [type(result) for result in run(scenario)] == [DailyLimitExceeded] * 150
        assert hubspot.arrivals == []

    def test_refused_by_the_limit_to_the_end(self) -> None:
        """After the retries, each is told so."""
        hubspot = QuickHubSpot()
        hubspot.statuses = [429] * 1_000

        async def scenario() -> list[Any]:
            async with micro_batch(hubspot) as batch:
                return await together([batch.create(marked(n)) for n in range(3)])

        assert [type(result) for result in run(scenario)] == [RateLimited] * 3

    def test_a_cancelled_owner(self) -> None:
        """Who opened it is cancelled: what had not left was not sent, what had may be done, and nobody hangs."""
        hubspot = QuickHubSpot(round_trip_s=0.1)

        async def scenario() -> list[Any]:
            results: list[Any] = []
            async with asyncio.TaskGroup() as tasks:

                async def call(batch: MicroBatch, number: int) -> None:
                    try:
                        await batch.create(marked(number))
                    except HubSpotError as error:
                        results.append(error)

                async def own() -> None:
                    async with micro_batch(hubspot) as batch:
                        tasks.create_task(call(batch, 1))
                        await anyio.sleep(0.06)
                        tasks.create_task(call(batch, 2))
                        await anyio.sleep_forever()

                owner = tasks.create_task(own())
                await anyio.sleep(0.062)
                owner.cancel()
            return results

        left, not_sent = run(scenario)
        assert isinstance(left, AmbiguousWriteError)
        assert isinstance(not_sent, TransportFailed)
        assert not not_sent.sent
        assert len(hubspot.arrivals) == 1

    def test_closing_does_not_wait_for_what_nobody_waits_for(self) -> None:
        """All callers were cancelled; the answer is on its way for ever."""
        hubspot = QuickHubSpot(round_trip_s=0.1)

        async def scenario() -> float:
            hubspot.hold = anyio.Event()
            async with micro_batch(hubspot) as batch:
                call = asyncio.create_task(batch.create(marked(1)))
                await anyio.sleep(0.08)
                call.cancel()
                await asyncio.wait([call])
            return anyio.current_time()

        assert run(scenario) == pytest.approx(0.08, abs=0.01)


def test_queues_leave_nothing_behind() -> None:
    """A service that runs for months keeps no queue, key or timer of calls that are over."""
    hubspot = QuickHubSpot()

    async def scenario() -> None:
        async with micro_batch(hubspot) as batch:
            made = [await batch.create(marked(n)) for n in range(3)]
            for number in range(50):
                await together([batch.read(m.id, properties=[f"p{number}"]) for m in made])
            await together([batch.update(made[0].id, marked(n)) for n in range(10)])
            await anyio.sleep(0.1)
            assert batch._departures.is_empty
            assert (len(batch._waiting), list(batch._tickets), batch._carried) == (0, [], 0)

    run(scenario)


def test_calm_times_have_no_debts() -> None:
    """After a flood of full batches a call waits for the limiter, and for no spacing of its own."""
    hubspot = QuickHubSpot(round_trip_s=0.02)
    gate = QuotaGate(limit=100, assumed=False, probe_first=False)

    async def scenario() -> float:
        async with micro_batch(hubspot, limiter=gate) as batch:
            await together([batch.create(marked(n)) for n in range(8_000)])
            began_at = anyio.current_time()
            await batch.create(marked("late"))
            return anyio.current_time() - began_at

    assert run(scenario) <= 10 / 100 / 0.8 + 0.005 + 0.02 + 0.01
    assert len(hubspot.arrivals) == 81


def arrivals_of(hubspot: QuickHubSpot, op: str) -> list[Arrival]:
    return [arrival for arrival in hubspot.arrivals if arrival.op == op]


def test_kinds_share_the_spacing_in_turn() -> None:
    """Where quota is scarce, no kind of call waits for the other one to have a rest."""
    hubspot = QuickHubSpot(round_trip_s=0.02, limit=100)
    gate = QuotaGate(limit=100, assumed=False, probe_first=False)

    async def scenario() -> None:
        async with micro_batch(hubspot, limiter=gate) as batch:
            made = await batch.create(marked("first"))
            async with asyncio.TaskGroup() as tasks:
                for number in range(1_000):
                    tasks.create_task(batch.create(marked(number)))
                    tasks.create_task(batch.read(made.id))
                    await anyio.sleep(0.02)

    run(scenario)
    creates, reads = len(arrivals_of(hubspot, "create")), len(arrivals_of(hubspot, "read"))
    assert creates + reads <= 200
    assert 0.8 <= creates / reads <= 1.25
