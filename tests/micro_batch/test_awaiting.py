"""Every way to wait for a call, and to stop waiting: on virtual time and, where threads are in it, over sockets."""

from __future__ import annotations

import asyncio
import gc
import random
import weakref
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any
from unittest.mock import create_autospec

import anyio
import pytest
from starlette.background import BackgroundTask

from hubspot_meetings_async import (
    ConfigurationError,
    InvalidRecord,
    Meeting,
    MeetingsClient,
    MicroBatch,
    NoLimit,
    TransportFailed,
)
from hubspot_meetings_async.emulator import Emulator
from tests.virtual_time import run_virtual

from .simulated import QuickHubSpot, micro_batch


def marked(number: object) -> dict[str, str]:
    return {"mark": f"m{number}"}


def run(scenario: Callable[[], Awaitable[Any]]) -> Any:
    async def main(_: random.Random) -> Any:
        return await scenario()

    return run_virtual(main, lateness_s=0.0)


def sent(hubspot: QuickHubSpot) -> list[str]:
    return [one["properties"]["mark"] for arrival in hubspot.arrivals for one in arrival.inputs]


@contextmanager
def complaints() -> Iterator[list[dict[str, Any]]]:
    """What the running loop says of exceptions that nobody took, and of tasks that nobody ended."""
    heard: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: heard.append(context))
    yield heard
    gc.collect()
    loop.set_exception_handler(None)


async def in_a_task(call: Any) -> Meeting:
    task: asyncio.Task[Meeting] = asyncio.create_task(call)
    return await task


async def in_a_group(call: Any) -> Meeting:
    async with asyncio.TaskGroup() as tasks:
        task: asyncio.Task[Meeting] = tasks.create_task(call)
    return task.result()


async def in_a_wait(call: Any) -> Meeting:
    task: asyncio.Task[Meeting] = asyncio.create_task(call)
    await asyncio.wait([task])
    return task.result()


async def gathered(call: Any) -> Meeting:
    meetings: list[Meeting] = await asyncio.gather(call)
    return meetings[0]


async def as_completed(call: Any) -> Meeting:
    meetings: list[Meeting] = [await one for one in asyncio.as_completed([call])]
    return meetings[0]


async def within_a_timeout(call: Any) -> Meeting:
    async with asyncio.timeout(60):
        meeting: Meeting = await call
    return meeting


WAYS: dict[str, Callable[[Any], Awaitable[Meeting]]] = {
    "await": lambda call: call,
    "create_task": in_a_task,
    "TaskGroup": in_a_group,
    "wait": in_a_wait,
    "gather": gathered,
    "as_completed": as_completed,
    "timeout": within_a_timeout,
    "wait_for": lambda call: asyncio.wait_for(call, 60),
    "shield": asyncio.shield,
    "ensure_future": asyncio.ensure_future,
}


@pytest.mark.parametrize("way", WAYS)
class TestWays:
    def test_a_meeting(self, way: str) -> None:
        """Whatever asyncio has to wait for a coroutine or a future takes a call."""
        hubspot = QuickHubSpot()

        async def scenario() -> None:
            with complaints() as heard:
                async with micro_batch(hubspot) as batch:
                    meeting = await WAYS[way](batch.create(marked(way)))
                assert hubspot.world.meetings[meeting.id].mark == f"m{way}"
            assert heard == []

        run(scenario)

    def test_an_error(self, way: str) -> None:
        """Raised where the call is awaited, and not where it is made."""
        hubspot = QuickHubSpot()

        async def scenario() -> None:
            with complaints() as heard:
                async with micro_batch(hubspot) as batch:
                    call = batch.create({"mark": object()})
                    with pytest.raises((InvalidRecord, ExceptionGroup)) as caught:
                        await WAYS[way](call)
                error = caught.value
                assert isinstance(error.exceptions[0] if isinstance(error, ExceptionGroup) else error, InvalidRecord)
                del call, caught, error
            assert heard == []

        run(scenario)

    def test_a_cancel(self, way: str) -> None:
        """Who stops waiting before the batch has left takes his record along, and nobody else's."""
        hubspot = QuickHubSpot()

        async def scenario() -> None:
            with complaints() as heard:
                async with micro_batch(hubspot, linger_s=1.0) as batch:

                    async def wait() -> None:
                        await WAYS[way](batch.create(marked("gone")))

                    other = asyncio.create_task(batch.create(marked("stays")))
                    waits = asyncio.create_task(wait())
                    await anyio.sleep(0.5)
                    waits.cancel()
                    await asyncio.wait([waits])
                    assert waits.cancelled()
                    assert (await other).id
            assert heard == []

        run(scenario)
        # As with tasks, these stop waiting without a word to what they wait for.
        goes_on = way in ("shield", "wait", "as_completed")
        assert sorted(sent(hubspot)) == (["mgone", "mstays"] if goes_on else ["mstays"])


class TestCancelling:
    def test_a_task_that_never_began(self) -> None:
        """Cancelled before its first step: its record is not sent."""
        hubspot = QuickHubSpot()

        async def scenario() -> None:
            async with micro_batch(hubspot) as batch:
                task = asyncio.create_task(batch.create(marked("gone")))
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                await batch.create(marked("stays"))

        run(scenario)
        assert sent(hubspot) == ["mstays"]

    def test_it_works_at_once(self) -> None:
        """Also in the very turn of the loop in which the batch would leave."""
        hubspot = QuickHubSpot()

        async def scenario() -> None:
            async with micro_batch(hubspot, max_inputs=2) as batch:
                gone = asyncio.ensure_future(batch.create(marked("gone")))
                stays = batch.create(marked("stays"))  # the batch is full
                gone.cancel()
                await stays

        run(scenario)
        assert sent(hubspot) == ["mstays"]

    def test_one_reader_of_several(self) -> None:
        """Those that read the same go on, also when the first one goes; when all have gone, nothing is sent."""
        hubspot = QuickHubSpot()

        async def scenario() -> None:
            async with micro_batch(hubspot) as batch:
                made = await batch.create(marked(1))
                first, second = (asyncio.ensure_future(batch.read(made.id)) for _ in range(2))
                first.cancel()
                assert (await second).id == made.id
                for read in [asyncio.ensure_future(batch.read(made.id)) for _ in range(2)]:
                    read.cancel()
                await anyio.sleep(1.0)

        run(scenario)
        assert [arrival.op for arrival in hubspot.arrivals] == ["create", "read"]

    @pytest.mark.parametrize("status", [200, 400])
    def test_after_it_has_left(self, status: int) -> None:
        """Nobody hears of what became of it, and nobody complains about that."""
        hubspot = QuickHubSpot(round_trip_s=0.1)
        hubspot.statuses = [None if status == 200 else status] * 3

        async def scenario() -> None:
            with complaints() as heard:
                async with micro_batch(hubspot) as batch:
                    calls = [asyncio.ensure_future(batch.create(marked(n))) for n in range(2)]
                    await anyio.sleep(0.08)
                    for call in calls:
                        assert call.cancel()
                    assert not calls[0].cancel()
                    await anyio.sleep(1.0)
                    assert all(call.cancelled() for call in calls)
                    calls.clear()
                    del call
            assert heard == []

        run(scenario)
        assert sent(hubspot)[:2] == ["m0", "m1"]

    def test_with_the_answer_there(self) -> None:
        """A task that is cancelled between its answer and its next step is cancelled, and nobody complains."""
        hubspot = QuickHubSpot(round_trip_s=0.1)
        hubspot.statuses = [400]

        async def scenario() -> None:
            with complaints() as heard:
                async with micro_batch(hubspot) as batch:
                    calls = [asyncio.ensure_future(batch.create(marked(1)))]

                    async def wait() -> None:
                        await calls[0]

                    task = asyncio.create_task(wait())
                    calls[0].add_done_callback(lambda _: task.cancel())
                    await asyncio.wait([task])
                    assert task.cancelled()
                    calls.clear()
            assert heard == []

        run(scenario)

    def test_closing_it(self) -> None:
        """As with a coroutine that nobody wants to run."""
        hubspot = QuickHubSpot()

        async def scenario() -> None:
            async with micro_batch(hubspot) as batch:
                batch.create(marked("gone")).close()
                await batch.create(marked("stays"))

        run(scenario)
        assert sent(hubspot) == ["mstays"]


def test_a_call_is_on_its_way_before_it_is_awaited() -> None:
    """Calls that are made first and awaited one by one share a request."""
    hubspot = QuickHubSpot()

    async def scenario() -> None:
        async with micro_batch(hubspot) as batch:
            calls = [batch.create(marked(n)) for n in range(10)]
            assert len({(await call).id for call in calls}) == 10

    run(scenario)
    assert len(hubspot.arrivals) == 1


def test_what_is_wrong_is_said_to_who_awaits() -> None:
    """One bad record among many calls that are made together fails alone; so do wrong options and closed batchers."""
    hubspot = QuickHubSpot()

    async def scenario() -> list[Any]:
        closed = micro_batch(hubspot)
        calls: list[Any] = [closed.create(marked(0))]
        async with micro_batch(hubspot) as batch:
            calls += [batch.update("../1", marked(1)), batch.upsert("a", marked(2), id_property="")]
            calls += [batch.read("1", properties="mark"), batch.create(marked(3))]
            return await asyncio.gather(*calls, return_exceptions=True)

    *wrong, right = run(scenario)
    assert [type(result) for result in wrong] == [ConfigurationError, InvalidRecord, *[ConfigurationError] * 2]
    assert isinstance(right, Meeting)


class TestCallbacks:
    def test_each_runs_once_in_order_and_in_its_own_context(self) -> None:
        """One, several, some that are taken back, and one that comes late: as of any future."""
        name: ContextVar[str] = ContextVar("name", default="")
        heard: list[tuple[str, str]] = []

        def hear(what: str) -> Callable[[Any], None]:
            return lambda call: heard.append((f"{what} of {call.result().properties['mark']}", name.get()))

        async def scenario() -> None:
            async with micro_batch(QuickHubSpot()) as batch:
                calls = [asyncio.ensure_future(batch.create(marked(n))) for n in range(4)]
                for number, call in enumerate(calls):
                    back = hear("none")
                    for what in ("first", "second", "third")[:number]:
                        name.set(what)
                        call.add_done_callback(hear(what))
                        call.add_done_callback(back)
                        assert call.remove_done_callback(back) == 1
                    assert call.remove_done_callback(back) == 0
                name.set("one")
                calls[0].add_done_callback(hear("only"))
                await asyncio.gather(*calls)
                name.set("end")
                calls[0].add_done_callback(hear("late"))
                await anyio.sleep(0.1)

        run(scenario)
        assert sorted(heard) == [
            ("first of m1", "first"),
            ("first of m2", "first"),
            ("first of m3", "first"),
            ("late of m0", "end"),
            ("only of m0", "one"),
            ("second of m2", "second"),
            ("second of m3", "second"),
            ("third of m3", "third"),
        ]
        assert [what for what, _ in heard if what.endswith("m3")] == ["first of m3", "second of m3", "third of m3"]

    def test_one_that_fails_stops_no_other(self) -> None:
        """The loop hears of its error; everybody else of the batch is woken."""

        async def scenario() -> None:
            with complaints() as heard:
                async with micro_batch(QuickHubSpot()) as batch:
                    calls = [asyncio.ensure_future(batch.create(marked(n))) for n in range(3)]
                    calls[0].add_done_callback(lambda _: int("nothing"))
                    assert len({(await call).id for call in calls}) == 3
            assert [type(context["exception"]) for context in heard] == [ValueError]

        run(scenario)

    def test_one_that_ends_the_program_leaves_nobody_asleep(self) -> None:
        """`SystemExit` ends the loop; who cleans up afterwards finds the others woken."""
        woken: list[str] = []

        def end(_: object) -> None:
            raise SystemExit(3)

        async def handle(batch: MicroBatch) -> None:
            try:
                await batch.create(marked(1))
            finally:
                woken.append("cancelled, as all tasks are at the end")

        async def scenario() -> None:
            async with micro_batch(QuickHubSpot()) as batch:
                asyncio.ensure_future(batch.create(marked(0))).add_done_callback(end)
                await asyncio.create_task(handle(batch))

        with pytest.raises(SystemExit):
            run(scenario)
        assert len(woken) == 1


class TestRings:
    @pytest.mark.parametrize("fate", ["done", "cancelled", "in a task"])
    def test_nothing_waits_for_the_garbage_collector(self, fate: str) -> None:
        """A service keeps neither calls nor records of what went well or was given up."""

        class Kept(dict[str, str]):
            """A record that can be looked for."""

        hubspot = QuickHubSpot()

        async def scenario() -> None:
            async with micro_batch(hubspot) as batch:
                record = Kept(marked(1))
                call: Any = batch.create(record)
                seen = [weakref.ref(record), weakref.ref(call)]
                if fate == "cancelled":
                    call.cancel()
                elif fate == "in a task":
                    await asyncio.create_task(call)
                else:
                    await call
                del record, call
                await anyio.sleep(0.1)
                assert [ref() for ref in seen] == [None, None]

        gc.disable()
        try:
            run(scenario)
        finally:
            gc.enable()


class TestWhoAsksBefore:
    """Tools that look at a function before they call it take these for `async def`, which they were."""

    async def test_background_tasks(self, client: MeetingsClient, emulator: Emulator) -> None:
        """Starlette runs what is no coroutine function in a thread."""
        async with client.micro_batch() as batch:
            await BackgroundTask(batch.create, {"hs_meeting_title": "later"})()
        assert len(emulator.portal.meetings.store) == 1

    async def test_mocks(self) -> None:
        """A mock of a batcher can be awaited."""
        fake = create_autospec(MicroBatch, instance=True)
        for mocked in (fake.create({}), fake.update(1, {}), fake.upsert("a", {}, id_property="b"), fake.read(1)):
            await mocked
        await fake.archive(1)

    async def test_from_another_thread(self, client: MeetingsClient) -> None:
        """`run_coroutine_threadsafe` takes a call that was made where no loop runs."""
        loop = asyncio.get_running_loop()
        async with client.micro_batch() as batch:

            def elsewhere() -> Meeting:
                return asyncio.run_coroutine_threadsafe(batch.create({"hs_meeting_title": "x"}), loop).result(30)

            made = await asyncio.to_thread(elsewhere)
        assert made.properties["hs_meeting_title"] == "x"


async def test_a_cancelled_owner_leaves_calls_with_an_answer(emulator: Emulator) -> None:
    """Nobody hangs on a batcher that was given up."""
    async with MeetingsClient("t", base_url=emulator.url, limiter=NoLimit()) as client:
        batch = client.micro_batch(linger_s=3_600)

        async def own() -> None:
            async with batch:
                await anyio.sleep_forever()

        owner = asyncio.create_task(own())
        await asyncio.sleep(0)
        call = batch.create({"hs_meeting_title": "x"})
        owner.cancel()
        with pytest.raises(TransportFailed):
            await call
