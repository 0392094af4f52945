"""Several gates on one quota in Redis: what one gate promises, all keep together. Virtual time, the real script.

Most run on a window of two seconds, since every exchange with Redis costs real time; the soak tests on the real one.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import secrets
from dataclasses import dataclass, field
from typing import Any

import pytest

from benchmarks.limiter_sim import Delay, Window, World, percentile, together, uniform
from benchmarks.redis_server import RedisServer
from hubspot_meetings_async.limiter import Lane, QuotaGate

from ..virtual_time import run_virtual
from .virtual_redis import VirtualServer, VirtualSlots

INTERACTIVE, BULK = Lane.INTERACTIVE, Lane.BULK


@pytest.fixture
def store(redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> VirtualServer:
    """An empty Redis, and processes that have the same names in every run: chance is drawn from them."""
    names = itertools.count(1)
    monkeypatch.setattr(secrets, "token_hex", lambda size: f"{next(names):0{2 * size}x}")
    return VirtualServer(redis_server.port)


@dataclass(frozen=True)
class Size:
    """A window, the jitter that goes with it, how many windows to look at, and what must be used of it."""

    limit: int
    window_s: float
    most_ms: float
    windows: int
    least_use: float

    @property
    def seconds(self) -> float:
        return self.windows * self.window_s

    @property
    def steady_from(self) -> float:
        return 4 * self.window_s

    def server(self) -> Window:
        return Window(self.limit, self.window_s)

    def forward(self) -> Delay:
        return uniform(self.most_ms / 30, self.most_ms)


# A millisecond here and there is more of a small window.
SMALL, REAL = Size(38, 2.0, 30, 8, 98.0), Size(190, 10.0, 150, 11, 99.0)
CALM = Size(40, 10.0, 150, 6, 99.0)
SIZES = (pytest.param(SMALL, id="small"), pytest.param(REAL, id="real", marks=pytest.mark.soak))


@dataclass
class Fleet:
    """Processes, each with a gate of its own, that call one server."""

    store: VirtualServer
    server: Window
    rng: random.Random
    processes: int = 4
    size: Size = REAL
    latencies_s: tuple[float, ...] = (0.0005,)
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.worlds = [self.world(self.latencies_s[number % len(self.latencies_s)]) for number in range(self.processes)]

    def world(self, latency_s: float = 0.0005) -> World:
        options = {"limit": self.size.limit, "window_s": self.size.window_s} | self.options
        gate = QuotaGate(store=VirtualSlots(self.store, latency_s=latency_s), **options)
        return World(gate, self.server, self.rng, self.size.forward())

    async def saturate(self, seconds: float, *, workers: int = 16, lane: Lane = BULK, **jobs: Any) -> None:
        until = asyncio.get_running_loop().time() + seconds
        calls = [world.worker(lane, until) for world in self.worlds for _ in range(workers)]
        await together(seconds, *calls, *jobs.values())

    def granted(self) -> list[int]:
        stats = [world.limiter.stats() for world in self.worlds]
        return [each.granted_bulk + each.granted_interactive for each in stats]


def refused_share(server: Window) -> float:
    return len(server.refused) / (len(server.accepted) + len(server.refused))


@pytest.mark.parametrize("size", SIZES)
class TestUse:
    @pytest.mark.parametrize("lane", Lane)
    def test_together_as_one(self, store: VirtualServer, size: Size, lane: Lane) -> None:
        """Several processes use 99 % of a window they share, none is refused, and each gets its part."""
        server = size.server()

        async def scenario(rng: random.Random) -> list[int]:
            fleet = Fleet(store, server, rng, size=size)
            await fleet.saturate(size.seconds, workers=8, lane=lane)
            return fleet.granted()

        granted = run_virtual(scenario)
        assert not server.refused
        assert server.fullest_window() <= size.limit
        assert server.use_steady(since=size.steady_from) >= size.least_use
        assert server.use_first(3 * size.window_s) >= 99.0
        assert max(granted) <= 1.2 * min(granted)

    def test_far_from_redis(self, store: VirtualServer, size: Size) -> None:
        """A process five milliseconds further away from Redis than others gets a part too."""
        server = size.server()

        async def scenario(rng: random.Random) -> list[int]:
            fleet = Fleet(store, server, rng, size=size, latencies_s=(0.0002, 0.0002, 0.0002, 0.0025))
            await fleet.saturate(size.seconds, workers=8)
            return fleet.granted()

        granted = run_virtual(scenario)
        assert min(granted) >= 0.5 * max(granted)
        assert not server.refused

    def test_one_of_many_is_busy(self, store: VirtualServer, size: Size) -> None:
        """What idle processes leave is used: shares are not fixed."""
        server = size.server()

        async def scenario(rng: random.Random) -> None:
            fleet = Fleet(store, server, rng, processes=8, size=size)
            for world in fleet.worlds:
                await world.call(INTERACTIVE)
            await together(size.seconds, *(fleet.worlds[0].worker(BULK, size.seconds) for _ in range(8)))

        run_virtual(scenario)
        assert server.use_steady(since=size.steady_from) >= size.least_use
        assert not server.refused


class TestLimit:
    def test_limit_is_learned_by_all(self, store: VirtualServer) -> None:
        """A process that has not called yet knows the limit that another one was told."""

        async def scenario(rng: random.Random) -> None:
            fleet = Fleet(store, Window(190), rng, processes=2, options={"limit": 100})
            first, second = (world.limiter for world in fleet.worlds)
            await fleet.worlds[0].call(INTERACTIVE)
            async with second.slot(INTERACTIVE):
                assert second.stats().limit == first.stats().limit == 190
                assert second.stats().processes == 2

        run_virtual(scenario)


@pytest.mark.parametrize("size", SIZES)
class TestLanes:
    def test_interactive_behind_backfills(self, store: VirtualServer, size: Size) -> None:
        """Who serves people waits for a moment behind three that backfill; the window is used all the same."""
        server = size.server()

        async def scenario(rng: random.Random) -> list[float]:
            fleet = Fleet(store, server, rng, size=size)
            people, *backfills = fleet.worlds
            jobs = [world.worker(BULK, size.seconds) for world in backfills for _ in range(8)]
            await together(size.seconds, people.visitor(size.window_s / 10, size.seconds), *jobs)
            return people.waits[INTERACTIVE]

        waits_s = run_virtual(scenario)
        assert len(waits_s) > 60
        assert percentile(waits_s, 50) <= 0.060
        assert percentile(waits_s, 99) <= 0.400
        assert server.use_steady(since=size.steady_from) >= size.least_use
        assert not server.refused

    @pytest.mark.parametrize("share", [0.2, 0.5])
    def test_bulk_share_under_a_flood(self, store: VirtualServer, size: Size, share: float) -> None:
        """Floods of interactive calls in two processes leave the bulk of two others its share, to two points."""
        server = size.server()

        async def scenario(rng: random.Random) -> float:
            fleet = Fleet(store, server, rng, size=size, options={"bulk_share": share})
            lanes = (INTERACTIVE, INTERACTIVE, BULK, BULK)
            until = size.seconds
            jobs = [
                world.worker(lane, until) for world, lane in zip(fleet.worlds, lanes, strict=True) for _ in range(40)
            ]
            await together(until, *jobs)
            return sum(fleet.granted()[2:]) / sum(fleet.granted())

        assert run_virtual(scenario) == pytest.approx(share, abs=0.02)
        assert server.use_steady(since=size.steady_from) >= size.least_use
        assert not server.refused


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(3))
def test_an_hour(store: VirtualServer, seed: int) -> None:
    """The same over an hour."""
    server = Window(190)

    async def scenario(rng: random.Random) -> None:
        await Fleet(store, server, rng).saturate(3600)

    run_virtual(scenario, seed)
    assert not server.refused
    assert server.use_steady(since=40) >= 99.0


class TestTrouble:
    @pytest.mark.parametrize("size", SIZES)
    def test_others_use_the_window_too(self, store: VirtualServer, size: Size) -> None:
        """Traffic that is no process of ours is left its room, by all of them together."""
        server, seconds = size.server(), 2 * size.seconds

        async def scenario(rng: random.Random) -> None:
            fleet = Fleet(store, server, rng, processes=3, size=size)
            await fleet.saturate(seconds, workers=8, others=fleet.worlds[0].others(4.0, seconds))

        run_virtual(scenario)
        assert refused_share(server) <= (0.015 if size is REAL else 0.05)
        assert (len(server.accepted) + server.foreign_accepted) / (19 * seconds) >= (0.97 if size is REAL else 0.9)

    def test_one_pause_for_all(self, store: VirtualServer) -> None:
        """A 429 in one process shuts the gate for the others, until one probe has passed."""

        async def scenario(rng: random.Random) -> None:
            fleet = Fleet(store, Window(190), rng, processes=3, options={"probe_first": False})
            loop, gates = asyncio.get_running_loop(), [world.limiter for world in fleet.worlds]
            async with gates[0].slot(BULK) as slot:
                slot.written()
                slot.answered({})
                slot.refused(policy=None, retry_after_s=2.0)
            refused_at, began = loop.time(), list[float]()

            async def call(gate: Any) -> None:
                async with gate.slot(INTERACTIVE) as slot:
                    began.append(loop.time() - refused_at)
                    slot.written()
                    await asyncio.sleep(0.5)
                    slot.answered({})

            await asyncio.gather(*(call(gate) for gate in gates))
            assert began[0] == pytest.approx(2.0, abs=0.05)
            assert all(0.5 <= at - began[0] <= 0.9 for at in began[1:])

        run_virtual(scenario)

    def test_a_crash_frees_its_slots(self, store: VirtualServer) -> None:
        """Slots of a process that is no more come free within 15 seconds and a window."""

        async def scenario(rng: random.Random) -> float:
            fleet = Fleet(store, Window(10), rng, processes=2, options={"limit": 10, "probe_first": False})
            crashed, other = (world.limiter for world in fleet.worlds)
            lost = [crashed.slot(INTERACTIVE) for _ in range(10)]
            for slot in lost:
                (await slot.__aenter__()).written()
            async with other.slot(INTERACTIVE):
                return asyncio.get_running_loop().time()

        assert 25.0 <= run_virtual(scenario) <= 25.5


class TestAway:
    @pytest.mark.parametrize("size", [pytest.param(CALM, id="calm"), *SIZES[1:]])
    @pytest.mark.parametrize("seed", range(2))
    def test_calls_go_on(self, store: VirtualServer, size: Size, seed: int, caplog: pytest.LogCaptureFixture) -> None:
        """Redis away for 15 s and back with nothing: next to nothing is lost or refused, and no caller is told."""
        server = size.server()

        async def scenario(rng: random.Random) -> list[int]:
            async def outage() -> None:
                await asyncio.sleep(20)
                store.away = True
                await asyncio.sleep(15)
                assert all(world.limiter.stats().store_away for world in fleet.worlds)
                store.lose_memory()
                store.away = False

            fleet = Fleet(store, server, rng, size=size)
            await fleet.saturate(60, workers=8, outage=outage())
            assert not any(world.limiter.stats().store_away for world in fleet.worlds)
            return fleet.granted()

        granted = run_virtual(scenario, seed)
        during = sum(20 <= at < 35 for at in server.accepted)
        after = sum(35 <= at < 55 for at in server.accepted)
        assert during >= 0.90 * 1.5 * size.limit
        assert after >= 0.93 * 2 * size.limit
        assert refused_share(server) <= 0.01
        assert max(granted) <= 1.3 * min(granted)
        assert len([record for record in caplog.records if "is away" in record.getMessage()]) == 4

    def test_who_was_busy_stays_busy(self, store: VirtualServer) -> None:
        """While Redis is away a process keeps to the part that it used: one busy among idle ones keeps nearly all."""
        server = CALM.server()

        async def scenario(rng: random.Random) -> None:
            async def outage() -> None:
                await asyncio.sleep(20)
                store.away = True

            fleet = Fleet(store, server, rng, processes=8, size=CALM)
            for world in fleet.worlds:
                await world.call(INTERACTIVE)
            await together(50, outage(), *(fleet.worlds[0].worker(BULK, 60) for _ in range(8)))

        run_virtual(scenario)
        assert sum(30 <= at < 50 for at in server.accepted) >= 0.85 * 2 * CALM.limit
        assert not server.refused

    @pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.soak) for seed in range(1, 6))])
    def test_a_short_loss_of_memory(self, store: VirtualServer, seed: int) -> None:
        """A Redis that lost everything without being away is told again by all."""
        server = CALM.server()

        async def scenario(rng: random.Random) -> None:
            async def restart() -> None:
                await asyncio.sleep(25)
                store.lose_memory()

            await Fleet(store, server, rng, size=CALM).saturate(50, workers=8, restart=restart())

        run_virtual(scenario, seed)
        assert len(server.refused) <= 3
        assert len(server.accepted) >= 0.97 * 5 * CALM.limit

    def test_started_while_away(self, store: VirtualServer) -> None:
        """Processes that never heard of Redis keep to an equal part of the limit, until they do."""
        store.away = True
        server = Window(190)

        async def scenario(rng: random.Random) -> None:
            await Fleet(store, server, rng, options={"processes": 4}).saturate(30)

        run_virtual(scenario)
        assert not server.refused
        assert len(server.accepted) >= 0.9 * 3 * 190


class TestExchanges:
    def test_what_redis_is_asked(self, store: VirtualServer) -> None:
        """In a saturated quota each of four processes asks less than twice a call, whatever waits in them."""
        server = SMALL.server()

        async def scenario(rng: random.Random) -> None:
            await Fleet(store, server, rng, size=SMALL).saturate(10, workers=100)

        run_virtual(scenario)
        assert store.exchanges <= 2 * 4 * len(server.accepted)

    def test_two_for_a_lone_call(self, store: VirtualServer) -> None:
        """A call that meets nobody costs two: for its slot, and to say what became of it."""

        async def scenario(rng: random.Random) -> None:
            fleet = Fleet(store, Window(190), rng, processes=1)
            await fleet.worlds[0].call(INTERACTIVE)
            before = store.exchanges
            for _ in range(10):
                await fleet.worlds[0].call(INTERACTIVE)
            assert store.exchanges == before + 20

        run_virtual(scenario)


class TestTorture:
    @pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.soak) for seed in range(1, 6))])
    def test_no_slot_is_lost(self, store: VirtualServer, seed: int) -> None:
        """Calls that are cancelled anywhere, can not connect or time out: none is refused, and all slots come back."""
        server = CALM.server()

        async def scenario(rng: random.Random) -> None:
            fleet = Fleet(store, server, rng, processes=3, size=CALM)
            loop, until = asyncio.get_running_loop(), 50.0

            def arrive(answer: asyncio.Future[tuple[bool, dict[str, str]]]) -> None:
                stamped = server.stamp(loop.time())
                if not answer.cancelled():
                    answer.set_result(stamped)

            async def call(world: World) -> None:
                async with world.limiter.slot(rng.choice(list(Lane)), at_head=rng.random() < 0.1) as slot:
                    if (fate := rng.random()) < 0.05:
                        raise ConnectionError
                    slot.written()
                    answer: asyncio.Future[tuple[bool, dict[str, str]]] = loop.create_future()
                    loop.call_later(world.forward(rng), arrive, answer)
                    ok, headers = await answer
                    if fate < 0.10:
                        raise TimeoutError
                    slot.answered(headers)
                    if not ok:
                        slot.refused(policy="TEN_SECONDLY_ROLLING", retry_after_s=None)

            async def caller(world: World) -> None:
                while loop.time() < until:
                    task = asyncio.ensure_future(call(world))
                    if rng.random() < 0.3:
                        loop.call_later(rng.choice((0, 0.001, 0.01, 0.1, 1, 10)) * rng.random(), task.cancel)
                    await asyncio.wait([task])
                    if not task.cancelled() and isinstance(error := task.exception(), AssertionError | RuntimeError):
                        raise error

            await together(until + 100, *(caller(world) for world in fleet.worlds for _ in range(10)))
            for world in fleet.worlds:
                stats = world.limiter.stats()
                assert (stats.in_flight, stats.waiting_interactive, stats.waiting_bulk) == (0, 0, 0)
            await asyncio.sleep(26)
            await fleet.worlds[0].call(INTERACTIVE)
            assert fleet.worlds[0].limiter.stats().in_use == 1

        run_virtual(scenario, seed)
        assert not server.refused
        assert server.fullest_window() <= CALM.limit
        assert len(server.accepted) >= 0.85 * 5 * CALM.limit


def test_fork_and_loops_are_refused_as_ever(store: VirtualServer) -> None:
    """A shared gate belongs to one event loop too."""
    gate = QuotaGate(store=VirtualSlots(store))

    async def scenario(_: random.Random) -> None:
        async with gate.slot(INTERACTIVE):
            pass

    run_virtual(scenario)
    with pytest.raises(Exception, match="another event loop"):
        run_virtual(scenario)
