"""Timers that cancel: each its own task, in time, and nobody else's cancellation taken for theirs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import Context, ContextVar
from typing import Any, TypeVar, TypeVarTuple

import anyio
import pytest

from hubspot_meetings_async.calling.alarms import Alarm, Alarms

from .virtual_time import VirtualTimeLoop

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


async def within(alarm: Alarm, work: Awaitable[Any]) -> str:
    """How `work` ended under an alarm."""
    try:
        await work
    except asyncio.CancelledError as error:
        if not alarm.is_over(error):
            raise
        return "rang"
    finally:
        alarm.end()
    return "done"


class Loop(VirtualTimeLoop):
    """Notes who sets timers and in which context, and can stand still."""

    def __init__(self) -> None:
        super().__init__(lateness_s=0.0)
        self.timers: list[tuple[object, Context | None]] = []

    def call_at(
        self, when: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        self.timers.append((getattr(callback, "__self__", None), context))
        return super().call_at(when, callback, *args, context=context)

    def stand_still(self, seconds: float) -> None:
        """As if code had blocked it for so long."""
        self._virtual_now += seconds


def run(scenario: Callable[[Loop], Coroutine[Any, Any, T]]) -> T:
    async def main() -> T:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, Loop)
        return await scenario(loop)

    with asyncio.Runner(loop_factory=Loop) as runner:
        return runner.run(main())


def test_each_rings_in_time() -> None:
    """One timer serves them all: those that end before it are skipped, the others ring in order."""

    async def scenario(loop: Loop) -> tuple[list[tuple[str, float]], int]:
        alarms = Alarms(loop, 10.0)
        ended: list[tuple[str, float]] = []

        async def one(work_s: float) -> None:
            how = await within(alarms.set(loop.time()), anyio.sleep(work_s))
            ended.append((how, round(loop.time(), 3)))

        async with asyncio.TaskGroup() as tasks:
            for number in range(100):
                tasks.create_task(one(0.5 if number % 10 else 60.0))
                await anyio.sleep(0.1)
        return ended, sum(who is alarms for who, _ in loop.timers)

    ended, timers = run(scenario)
    assert [how for how, _ in ended].count("rang") == 10
    assert [at for how, at in ended if how == "rang"] == pytest.approx([10.0 + n for n in range(10)], abs=0.01)
    assert timers == 10


def test_it_leaves_no_trace() -> None:
    """A task that was rung is not cancelled afterwards, and may be cancelled by others as ever."""

    async def scenario(loop: Loop) -> None:
        task = asyncio.current_task()
        assert task is not None
        assert await within(Alarm(loop, loop.time() + 1), anyio.sleep(5)) == "rang"
        assert await within(Alarm(loop, loop.time() + 5), anyio.sleep(1)) == "done"
        assert task.cancelling() == 0
        await anyio.sleep(10)

    run(scenario)


@pytest.mark.parametrize("first", ["alarm", "other"])
def test_others_cancel_too(first: str) -> None:
    """Where somebody else cancels the task in the same turn, his cancellation is the one that counts."""

    async def scenario(loop: Loop) -> str:
        async def work() -> str:
            return await within(Alarm(loop, loop.time() + 1), anyio.sleep_forever())

        task = asyncio.ensure_future(work())
        if first == "other":
            loop.call_at(loop.time() + 1, task.cancel)
            await anyio.sleep(1.0)
        else:
            await anyio.sleep(0.0)
            loop.call_at(loop.time() + 1, task.cancel)
        try:
            return await task
        except asyncio.CancelledError:
            return "cancelled"

    assert run(scenario) == "cancelled"


def test_a_moment_after_the_loop_stood_still() -> None:
    """What came in while the loop was stopped is read before its time is called over; who still waits then is rung."""

    async def scenario(loop: Loop) -> list[str]:
        alarms = Alarms(loop, 1.0, moment_s=1.0)
        ended: list[str] = []

        async def one(work_s: float) -> None:
            how = await within(alarms.set(loop.time()), anyio.sleep(work_s))
            ended.append(f"{how} {loop.time():.0f}")

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(one(30.2))
            tasks.create_task(one(90.0))
            await anyio.sleep(0.5)
            loop.stand_still(29.5)
        return ended

    assert run(scenario) == ["done 30", "rang 31"]


def test_a_timer_belongs_to_no_call() -> None:
    """The timer that outlives a call does not keep what that call's context held."""
    held: ContextVar[object] = ContextVar("held")

    async def scenario(loop: Loop) -> bool:
        held.set(object())
        alarms = Alarms(loop, 5.0)
        alarms.set(loop.time()).end()
        (context,) = (context for who, context in loop.timers if who is alarms)
        return context is not None and held not in context

    assert run(scenario)
