"""What a gate says to the store that several processes share, in virtual time, with a store that is told what to say.

That several gates together keep a quota is tried with the real store, in `integrations/test_redis_gate.py`.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from hubspot_meetings_async.errors import ConfigurationError
from hubspot_meetings_async.limiter import Lane, QuotaGate
from hubspot_meetings_async.limiter.store import Granted, Message, StoreAway

from .virtual_time import run_virtual

INTERACTIVE, BULK = Lane.INTERACTIVE, Lane.BULK


class Store:
    """Grants everything after `takes_s`, unless `says` has something else for the next messages."""

    def __init__(
        self, *says: Granted | Exception, takes_s: float = 0.001, usual: Granted | Exception | None = None
    ) -> None:
        self.says = list(says)
        self.usual = usual or granted()
        self.takes_s = takes_s
        self.heard: list[Message] = []

    async def exchange(self, message: Message) -> Granted:
        self.heard.append(message)
        said = self.says.pop(0) if self.says else self.usual
        await asyncio.sleep(self.takes_s)
        if isinstance(said, Exception):
            raise said
        return said if message.wanted else msgspec.structs.replace(said, granted=False)

    @property
    def ended(self) -> list[str]:
        """What it was told of slots."""
        return [ended.how for message in self.heard for ended in message.ended]

    @property
    def asked(self) -> int:
        """How often it was asked for a slot."""
        return sum(message.wanted is not None for message in self.heard)


def granted(**changes: Any) -> Granted:
    answer: dict[str, Any] = {"granted": True, "epoch": "one", "at": 1_000_000}
    return Granted(**(answer | changes))


def wait(seconds: float) -> Granted:
    return granted(granted=False, wait_us=round(1e6 * seconds))


def gate_of(store: Store, **changes: Any) -> QuotaGate:
    settings: dict[str, Any] = {"limit": 10, "assumed": False, "probe_first": False, "store": store}
    return QuotaGate(**(settings | changes))


async def call(gate: QuotaGate, lane: Lane = INTERACTIVE, *, takes_s: float = 0.1, refused: bool = False) -> float:
    async with gate.slot(lane) as slot:
        began_at = asyncio.get_running_loop().time()
        slot.written()
        await asyncio.sleep(takes_s)
        slot.answered({})
        if refused:
            slot.refused(policy=None, retry_after_s=None)
    return began_at


def virtually(scenario: Callable[[], Awaitable[None]]) -> None:
    async def ignoring_rng(_: random.Random) -> None:
        await scenario()

    run_virtual(ignoring_rng, lateness_s=0.0)


class TestAsking:
    def test_waits_as_told(self) -> None:
        """A call goes when the store grants its slot, and asks again when told to."""

        async def scenario() -> None:
            store = Store(wait(0.2), wait(0.1), granted(wait_us=5_000))
            assert await call(gate_of(store)) == pytest.approx(0.3 + 3 * 0.001 + 0.005, abs=1e-3)
            assert len({message.wanted.id for message in store.heard if message.wanted}) == 1

        virtually(scenario)

    @pytest.mark.parametrize("lane", Lane)
    def test_one_of_each_lane_asks(self, lane: Lane) -> None:
        """However many wait in a process, one of each lane asks; the others follow in order."""

        async def scenario() -> None:
            store = Store(wait(0.2))
            gate, order = gate_of(store), list[int]()

            async def numbered(number: int) -> None:
                async with gate.slot(lane):
                    order.append(number)

            async with asyncio.TaskGroup() as tasks:
                for number in range(5):
                    tasks.create_task(numbered(number))
                await asyncio.sleep(0.1)
                assert store.asked == 1
                assert store.heard[0].wanted is not None
                assert gate.saturated(lane)
                assert not gate.saturated(BULK if lane is INTERACTIVE else INTERACTIVE)
            assert order == list(range(5))

        virtually(scenario)

    def test_a_mistake_comes_out(self) -> None:
        """A store that never will answer is the caller's to hear of; the slot is not lost."""

        async def scenario() -> None:
            gate = gate_of(Store(ConfigurationError("wrong password")))
            with pytest.raises(ConfigurationError, match="wrong password"):
                await call(gate)
            assert gate.stats().in_use == 0
            await call(gate)

        virtually(scenario)


class TestTelling:
    def test_of_each_end(self) -> None:
        """The store hears what became of each slot, as soon as nobody asks for another."""

        async def scenario() -> None:
            store = Store()
            gate = gate_of(store)
            await call(gate)
            assert store.ended == ["passed"]
            async with gate.slot(BULK):
                pass
            async with gate.slot(BULK) as slot:
                slot.written()
            with pytest.raises(KeyError):
                async with gate.slot(BULK):
                    raise KeyError
            assert store.ended == ["passed", "unused", "lost", "unused"]

        virtually(scenario)

    def test_of_ends_at_one_time(self) -> None:
        """Calls that end while the store is told of another are told of too, by whoever is at it."""

        async def scenario() -> None:
            store = Store(takes_s=0.01)
            gate = gate_of(store)
            async with asyncio.TaskGroup() as tasks:
                for number in range(4):
                    tasks.create_task(call(gate, takes_s=0.1 - 0.008 * number))
            assert store.ended == ["passed"] * 4
            assert len(store.heard) <= 4 + 3

        virtually(scenario)

    def test_age(self) -> None:
        """A slot's age counts from its answer, on this process' clock; one never answered may be stamped yet."""

        async def scenario() -> None:
            store = Store()
            gate = gate_of(store)
            async with gate.slot(BULK) as slot:
                slot.written()
                slot.answered({})
                await asyncio.sleep(2.0)
            async with gate.slot(BULK) as slot:
                slot.written()
            ages = [ended.age_us for message in store.heard for ended in message.ended]
            assert ages == pytest.approx([2_000_000, -1_000_000], abs=10)

        virtually(scenario)

    def test_with_the_next_question(self) -> None:
        """While somebody asks, ends travel with the questions; a refusal does not wait for one."""

        async def scenario() -> None:
            store = Store(granted(), granted(), wait(0.25), granted())
            gate = gate_of(store)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(call(gate, takes_s=0.1))
                tasks.create_task(call(gate, takes_s=0.15, refused=True))
                await asyncio.sleep(0.05)
                waiting = tasks.create_task(call(gate))
                await asyncio.sleep(0.08)
                assert store.ended == []
                await asyncio.sleep(0.05)
                assert store.ended == ["passed", "refused"]
                assert store.asked == 3
                await waiting

        virtually(scenario)

    def test_a_repeat_costs_a_slot_more(self) -> None:
        """When the transport sends a request again, the store hears of two slots."""

        async def scenario() -> None:
            store = Store()
            async with gate_of(store).slot(INTERACTIVE) as slot:
                slot.written()
                slot.written()
                slot.answered({})
            ids = [ended.id for message in store.heard for ended in message.ended]
            assert len(ids) == len(set(ids)) == 2

        virtually(scenario)

    def test_counts(self) -> None:
        """HubSpot's count travels with the end, for the store to compare."""

        async def scenario() -> None:
            store = Store(granted(at=7_000_000, wait_us=3))
            headers = {
                "X-HubSpot-RateLimit-Max": "100",
                "X-HubSpot-RateLimit-Remaining": "60",
                "X-HubSpot-RateLimit-Interval-Milliseconds": "10000",
            }
            async with gate_of(store, limit=100).slot(INTERACTIVE) as slot:
                slot.written()
                slot.answered(headers)
            (ended,) = store.heard[-1].ended
            assert (ended.count, ended.granted_at) == (40, 7_000_003)

        virtually(scenario)


class TestCancellation:
    @pytest.mark.parametrize("lane", Lane)
    @pytest.mark.parametrize("at_s", [0.0005, 0.1, 0.2505])
    def test_while_asking(self, lane: Lane, at_s: float) -> None:
        """A call that gives up while it asks, or between two questions, gives its slot back and blocks nobody."""

        async def scenario() -> None:
            store = Store(wait(0.25))
            gate = gate_of(store)
            victim = asyncio.ensure_future(call(gate, lane))
            await asyncio.sleep(0)
            neighbour = asyncio.ensure_future(call(gate, lane))
            await asyncio.sleep(at_s)
            victim.cancel()
            await neighbour
            assert victim.cancelled()
            assert store.ended.count("unused") == 1
            stats = gate.stats()
            assert (stats.in_use, stats.in_flight) == (1, 0)

        virtually(scenario)

    def test_while_telling(self) -> None:
        """What a cancelled call was about to tell is told by the next one."""

        async def scenario() -> None:
            store = Store()
            gate = gate_of(store)
            victim = asyncio.ensure_future(call(gate, takes_s=0.1))
            await asyncio.sleep(0.1015)
            assert store.ended == ["passed"]
            victim.cancel()
            await asyncio.wait([victim])
            await call(gate)
            assert store.ended == ["passed", "passed", "passed"]
            ids = [ended.id for message in store.heard for ended in message.ended]
            assert ids[0] == ids[1] != ids[2]

        virtually(scenario)


class TestAway:
    def test_no_caller_hears_of_it(self) -> None:
        """A call whose question fails goes on without the store, and the store is asked again half a second later."""

        async def scenario() -> None:
            store = Store(granted(processes=5, in_use=1), granted(), StoreAway("gone"), StoreAway("gone"))
            gate = gate_of(store, limit=100)
            await call(gate)
            assert await call(gate) < 0.15
            assert gate.stats().store_away
            asked = store.asked
            await call(gate, takes_s=0.3)
            assert store.asked == asked
            await asyncio.sleep(0.2)
            await call(gate)
            assert store.asked == asked + 1
            await asyncio.sleep(0.5)
            await call(gate)
            assert not gate.stats().store_away

        virtually(scenario)

    def test_slots_in_use_are_told_when_it_is_back(self) -> None:
        """A store that is back hears of all slots that are not free yet, before it grants one."""

        async def scenario() -> None:
            store = Store(StoreAway("gone"))
            gate = gate_of(store, limit=100)
            for _ in range(3):
                await call(gate)
            await asyncio.sleep(0.5)
            await call(gate)
            back = store.heard[1]
            assert back.kept is not None
            assert [kept.left_us for kept in back.kept] == pytest.approx([9_301_000, 9_401_000, 9_501_000], abs=20_000)

        virtually(scenario)

    def test_another_memory_is_told_too(self) -> None:
        """A store with another memory than before hears of the slots in use, and then of the same wish."""

        async def scenario() -> None:
            store = Store(granted(), granted(), granted(granted=False, unknown=True, epoch="two"), granted(epoch="two"))
            gate = gate_of(store)
            await call(gate)
            await call(gate)
            assert [message.epoch for message in store.heard[2:4]] == ["one", "two"]
            assert store.heard[2].wanted == store.heard[3].wanted
            assert store.heard[3].kept is not None
            assert len(store.heard[3].kept) == 1

        virtually(scenario)

    @pytest.mark.parametrize(("own", "part"), [(75, 72), (25, 27)])
    def test_parts(self, own: int, part: int, caplog: pytest.LogCaptureFixture) -> None:
        """Without the store a process keeps to what it used of the limit lately; the parts of two make the whole."""

        async def scenario() -> None:
            store = Store(takes_s=0.0, usual=granted(processes=2, in_use=100))
            gate = gate_of(store, limit=100)
            async with asyncio.TaskGroup() as tasks:
                for _ in range(own):
                    tasks.create_task(call(gate))
            store.usual = StoreAway("gone")
            await call(gate)

        virtually(scenario)
        assert f"keeps to {part} of 100 calls" in caplog.text


def test_arguments() -> None:
    """At least one process shares a quota."""
    with pytest.raises(ConfigurationError, match="processes"):
        gate_of(Store(), processes=0)
