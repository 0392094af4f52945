"""One schedule, played: sessions of the real engine, ended as planned and resumed until the job is done.

This module knows how a plan is carried out and what is written down meanwhile. It must not judge: that is for the
checker.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Mapping
from contextvars import Context
from dataclasses import dataclass, field
from typing import Any, Final, TypeVarTuple, Unpack

import anyio

from hubspot_meetings_async.bulk.engine import Run
from hubspot_meetings_async.bulk.outcomes import Outcome, Report

from ..virtual_time import VirtualTimeLoop
from .network import Line, Network, Sent
from .plan import End, Mode, Plan
from .simulated_journal import Disk, Place, SimulatedStore
from .stacks import run_of
from .world import KEY, SOMEBODY, World

__all__ = ["History", "Session", "play", "replay"]

_Ts = TypeVarTuple("_Ts")

MOST_SESSIONS: Final = 14
SAFETY_SESSIONS: Final = 6
LONGEST_S: Final = 40_000.0
_DRAIN_S: Final = 120.0


@dataclass(slots=True)
class Session:
    """One process's run. `told` are outcomes that its caller had in hand; `unread` those found when it had ended."""

    number: int
    resumed: bool
    began_at: float
    end: End | None
    told: list[tuple[float, Outcome[Any]]] = field(default_factory=list)
    unread: list[Outcome[Any]] = field(default_factory=list)
    died: bool = False
    power_lost: bool = False
    interrupted_at: float | None = None
    ended_at: float = 0.0
    report: Report | None = None
    error: BaseException | None = None
    ended: bool = False
    steps: int = 0

    @property
    def outcomes(self) -> list[Outcome[Any]]:
        """All that its caller could know."""
        return [outcome for _, outcome in self.told] + self.unread


@dataclass(slots=True)
class History:
    """What happened. `events` is for people, when it is asked for."""

    plan: Plan
    world: World
    network: Network
    disk: Disk
    sessions: list[Session] = field(default_factory=list)
    done: bool = False
    out_of_order: list[str] = field(default_factory=list)
    events: list[str] | None = None
    leaked: list[str] = field(default_factory=list)
    holes: int = 0
    hangs: bool = False

    @property
    def lines(self) -> list[str]:
        """The events, one line each."""
        return self.events or []


class SteppingLoop(VirtualTimeLoop):
    """Counts every callback that becomes ready, and thereby every resumption of every task."""

    steps = 0
    on_step: Callable[[], None] | None = None

    def call_soon(
        self, callback: Callable[[Unpack[_Ts]], object], *args: *_Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """As usual; what `on_step` schedules runs just before this callback."""
        self.steps += 1
        if self.on_step is not None:
            self.on_step()
        return super().call_soon(callback, *args, context=context)


class Play:
    """Plays one plan."""

    def __init__(self, plan: Plan, *, telling: bool) -> None:
        self.plan = plan
        self.rng = random.Random(f"play {plan.mode} {plan.seed}")
        self.world = World(plan.rules)
        self.network = Network(self.world, plan.weather, random.Random(f"network {plan.mode} {plan.seed}"))
        self.disk = Disk(power=plan.durability == "power")
        self.history = History(plan, self.world, self.network, self.disk, events=[] if telling else None)
        self.network.on_left = self._left
        if telling:
            self.network.note = self._note
        self._by_mark = {item.mark: item for item in plan.items}
        self._triggers: dict[str, float] = {}
        self._strike: Any = None
        self._now: Callable[[], float] = lambda: 0.0
        self.network.on_answer = lambda: self._count("answer")

    def _note(self, *words: object) -> None:
        assert self.history.events is not None
        self.history.events.append(f"{self._now():10.4f}  " + " ".join(map(str, words)))

    async def go(self) -> History:
        plan, loop = self.plan, asyncio.get_running_loop()
        self._now = loop.time
        loop.set_exception_handler(lambda _, context: self.history.leaked.append(f"{context}"))
        for meeting_id in plan.ids:
            self.world.make(SOMEBODY, {"mark": SOMEBODY}, at=-9_000.0)
            made = self.world.meetings.popitem()[1]
            made.id = meeting_id
            self.world.meetings[meeting_id] = made
        for key in plan.others:
            when = self.rng.choice((-9_000.0, self.rng.uniform(0.0, 3.0)))
            if when < 0:
                self.world.make(SOMEBODY, {KEY: key, "mark": SOMEBODY}, at=when)
            else:
                loop.call_later(when, self._somebody, key)
        most = MOST_SESSIONS if plan.live else SAFETY_SESSIONS
        ends: list[End | None] = [*plan.ends, *[None] * most][:most]
        with anyio.fail_after(LONGEST_S):
            for number, end in enumerate(ends, 1):
                session = await self._session(number, end)
                self.history.sessions.append(session)
                if session.ended and session.report is not None and not session.report.not_sent and self._settled():
                    self.history.done = True
                    break
                await anyio.sleep(self.rng.choice((0.0, self.rng.uniform(0.0, 60.0))))
                if plan.live and number > most // 2:
                    await anyio.sleep_until(plan.weather.calm_at)
        await anyio.sleep(_DRAIN_S)
        return self.history

    def _settled(self) -> bool:
        """In modes that can look again, a job with ambiguous records is worth another session, once HubSpot is calm."""
        if self.plan.mode not in ("keyed", "upsert", "update") or not self.plan.live:
            return True
        calm = self.history.sessions[-1].began_at >= self.plan.weather.calm_at
        return calm or "?" not in self.disk.promised.codes.values()

    def _somebody(self, key: str) -> None:
        if not self.world.by_key.get(key):
            self.world.make(SOMEBODY, {KEY: key, "mark": SOMEBODY}, at=self._now())
            self.network.note("somebody makes", key)

    # ---- one session

    async def _session(self, number: int, end: End | None) -> Session:
        plan, loop = self.plan, asyncio.get_running_loop()
        line = Line(number)
        session = Session(number, self.disk.meta is not None, loop.time(), end)
        full_after = int(end.at) if end is not None and end.kind == "full" else None

        def make(meta: Mapping[str, str]) -> SimulatedStore:
            return SimulatedStore(
                self.disk, meta, rng=self.rng, full_after=full_after, on_row=lambda: self._count("row")
            )

        place = Place(make, resume=plan.resume)
        run = run_of(plan, self.network, line, self._source(number), place, self.rng)
        before = asyncio.all_tasks()
        scope = anyio.CancelScope()
        task = loop.create_task(self._consume(run, session, line, scope))
        self.network.note(f"session {number}", end or "to the end")

        def strike() -> None:
            self._triggers.clear()
            if end is None or task.done():
                return
            session.interrupted_at = loop.time()
            self.network.note(end.kind)
            match end.kind:
                case "crash" | "power":
                    session.died = line.dead = True
                    if place.store is not None:
                        place.store.die()
                    session.power_lost = end.kind == "power"
                    if session.power_lost:
                        self.history.holes += not self.disk.power
                        self.disk.lose_power(self.rng)
                    else:
                        self.disk.reread()
                    task.cancel()
                case "cancel":
                    task.cancel()
                case "scope":
                    scope.cancel()
                case "stop":
                    run.stop()
                case _:
                    pass

        self._strike = strike
        timer = None
        if end is not None and end.kind not in ("full", "break", "raise"):
            if end.trigger == "moment":
                timer = loop.call_later(end.at, strike)
            else:
                self._triggers = {end.trigger: end.at}
        if isinstance(loop, SteppingLoop):
            self._watch_steps(loop, strike)
        await asyncio.wait({task})
        if timer is not None:
            timer.cancel()
        self._triggers = {}
        if isinstance(loop, SteppingLoop):
            loop.on_step = None
            session.steps = loop.steps
        session.ended_at = loop.time()
        session.error = asyncio.CancelledError() if task.cancelled() else task.exception()
        self.network.note("session ended", repr(session.error), run.report)
        if not session.died:
            session.report = run.report
            session.unread = run.unread
        session.ended = session.error is None and session.interrupted_at is None
        left = asyncio.all_tasks() - before - {task}
        self.history.leaked += [repr(one) for one in left]
        return session

    def _watch_steps(self, loop: SteppingLoop, strike: Callable[[], None]) -> None:
        loop.steps = 0

        def step() -> None:
            if loop.steps == self._triggers.get("step"):
                loop.on_step = None
                loop.call_soon(strike)

        loop.on_step = step

    async def _consume(self, run: Run[Any], session: Session, line: Line, scope: anyio.CancelScope) -> None:
        end = session.end
        with scope:
            async with run:
                async for outcome in run:
                    if line.dead:
                        return
                    session.told.append((anyio.current_time(), outcome))
                    if self.history.events is not None:
                        self._note("told", type(outcome).__name__, outcome.ordinal, getattr(outcome, "why", ""))
                    if end is not None and end.kind in ("break", "raise") and len(session.told) >= end.at * 3:
                        session.interrupted_at = anyio.current_time()
                        if end.kind == "break":
                            break
                        raise LookupError("the consumer's own")
                    if self.plan.slow_consumer and self.rng.random() < 0.1:
                        await anyio.sleep(self.rng.uniform(0.0, 2.0))

    def _count(self, what: str) -> None:
        if what in self._triggers:
            self._triggers[what] -= 1
            if self._triggers[what] <= 0:
                self._strike()

    def _source(self, number: int) -> Any:
        items = [item.record for item in self.plan.items]
        if self.plan.resume == "key" and number > 1 and self.plan.mode == "keyed":
            self.rng.shuffle(items)
        if self.plan.source == "list":
            return items
        return self._stream(items)

    async def _stream(self, items: list[Any]) -> AsyncIterator[Any]:
        for item in items:
            if self.plan.source == "slow async" and self.rng.random() < 0.05:
                await anyio.sleep(self.rng.uniform(0.0, 3.0))
            yield item

    # ---- what has to be true the moment a request leaves

    def _left(self, request: Sent) -> None:
        self._count("sent")
        plan, book = self.plan, self.disk.promised
        if plan.verify is not None and (request.repair or plan.full_stack):
            return
        for mark, given in zip(request.marks, request.inputs, strict=True):
            if plan.resume == "key":
                key = given.get("id") or given["properties"][KEY]
                code = book.codes.get(book.keys.get(key, -1), "nothing")
            elif plan.mode == "archive":
                code = "i" if any(book.codes.get(i.index) == "i" for i in plan.items if i.mark == mark) else "nothing"
            else:
                code = book.codes.get(self._by_mark[mark].index, "nothing")
            if code != "i":
                self.history.out_of_order.append(f"request {request.number} sends {mark}; the journal says {code!r}")


def play(mode: Mode, seed: int, *, telling: bool = False) -> History:
    """Play the schedule of a seed."""
    return replay(Plan.draw(mode, seed), telling=telling)


def replay(plan: Plan, *, telling: bool = False) -> History:
    """Play a plan."""
    played = Play(plan, telling=telling)
    kind = SteppingLoop if any(end.trigger == "step" for end in plan.ends) else VirtualTimeLoop
    with asyncio.Runner(loop_factory=lambda: kind(plan.seed)) as runner:
        try:
            return runner.run(played.go())
        except TimeoutError:
            played.history.hangs = True
            return played.history
