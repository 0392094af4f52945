"""What `QuotaGate` does with calls, one behaviour at a time, in virtual time."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import pytest

from hubspot_meetings_async.errors import ConfigurationError, DailyLimitExceeded
from hubspot_meetings_async.limiter import Lane, Limiter, Limits, NoLimit, QuotaGate, search_gate, slot_at_once
from hubspot_meetings_async.limiter.pacing import Pacer

from .virtual_time import run_virtual

INTERACTIVE, BULK = Lane.INTERACTIVE, Lane.BULK


def gate_of(limit: int = 3, **changes: Any) -> QuotaGate:
    """A small gate without guesses: limit 3 in 10 s, open from the start, pace that never binds."""
    return QuotaGate(**{"limit": limit, "assumed": False, "probe_first": False, "bulk_rate": 1e6} | changes)


def quota(limit: int, remaining: int, **more: int) -> dict[str, str]:
    """Rate-limit headers as HubSpot sends them."""
    headers = {"Max": limit, "Remaining": remaining, "Interval-Milliseconds": 10_000} | {
        name.replace("_", "-").title(): value for name, value in more.items()
    }
    return {f"X-HubSpot-RateLimit-{name}": str(value) for name, value in headers.items()}


def about(expected: Any, abs: float = 1e-4) -> Any:
    """`expected`, give or take a tenth of a millisecond."""
    return pytest.approx(expected, abs=abs)


class Caller:
    """Makes calls of a given length on a gate and notes who got a slot, and when."""

    def __init__(self, gate: Limiter) -> None:
        self.gate = gate
        self.granted: list[tuple[str, float]] = []

    @property
    def order(self) -> str:
        return "".join(name for name, _ in self.granted)

    async def call(
        self, name: str, lane: Lane = INTERACTIVE, *, takes_s: float = 0.1, headers: dict[str, str] | None = None,
        refused: dict[str, Any] | None = None, at_head: bool = False, written: int = 1, answered: bool = True,
    ) -> None:  # fmt: skip
        async with self.gate.slot(lane, at_head=at_head) as slot:
            self.granted.append((name, asyncio.get_running_loop().time()))
            for _ in range(written):
                slot.written()
            await asyncio.sleep(takes_s)
            if answered:
                slot.answered(headers or {})
            if refused is not None:
                slot.refused(**{"policy": None, "retry_after_s": None} | refused)


def virtually(scenario: Callable[[], Awaitable[None]]) -> None:
    """Run on punctual virtual time."""

    async def ignoring_rng(_: random.Random) -> None:
        await scenario()

    run_virtual(ignoring_rng, lateness_s=0.0)


def idle(gate: QuotaGate) -> bool:
    """No slot is in flight and nobody waits."""
    stats = gate.stats()
    return not (stats.in_flight or stats.waiting_interactive or stats.waiting_bulk)


class TestSlots:
    def test_reuse_a_window_after_the_answer(self) -> None:
        """The fourth of three goes a window after the first answer, the fifth after the second."""

        async def scenario() -> None:
            caller = Caller(gate_of())
            async with asyncio.TaskGroup() as tasks:
                for name, takes_s in zip("abcde", (1.0, 2.0, 3.0, 1.0, 1.0), strict=True):
                    tasks.create_task(caller.call(name, takes_s=takes_s))
            assert [at for _, at in caller.granted] == about([0, 0, 0, 11.002, 12.002])

        virtually(scenario)

    def test_never_written_is_free_at_once(self) -> None:
        """A call that fails before it leaves costs nothing."""

        async def scenario() -> None:
            gate = gate_of(limit=1)
            for _ in range(5):
                await Caller(gate).call("a", written=0, answered=False, takes_s=0)
            assert asyncio.get_running_loop().time() == about(0)
            assert gate.stats().in_use == 0

        virtually(scenario)

    def test_never_answered(self) -> None:
        """A call that left and got no answer may be stamped for another second."""

        async def scenario() -> None:
            caller = Caller(gate_of(limit=1))
            await caller.call("a", takes_s=2.0, answered=False)
            await caller.call("b")
            assert caller.granted[1][1] == about(2 + 1 + 10.002)

        virtually(scenario)

    def test_written_twice_costs_two(self) -> None:
        """When the transport sends a request again, two slots are charged."""

        async def scenario() -> None:
            gate = gate_of()
            caller = Caller(gate)
            await caller.call("a", written=2)
            assert (gate.stats().in_use, gate.stats().in_flight) == (2, 0)
            await caller.call("b", written=3)
            assert gate.stats().in_use == 5
            assert gate.saturated(INTERACTIVE)

        virtually(scenario)

    def test_answered_without_written(self) -> None:
        """A transport that never says when it wrote is believed when the answer is there; a second answer is not."""

        async def scenario() -> None:
            gate = gate_of()
            async with gate.slot(INTERACTIVE) as slot:
                slot.answered({})
                slot.answered({})
            assert (gate.stats().in_use, gate.stats().in_flight) == (1, 0)
            slot.written()
            slot.refused(policy=None, retry_after_s=None)
            assert (gate.stats().in_use, gate.stats().refused) == (1, 0)

        virtually(scenario)

    def test_one_request_each(self) -> None:
        """A slot can not be entered twice."""

        async def scenario() -> None:
            slot = gate_of().slot(BULK)
            async with slot:
                assert repr(slot) == "<Slot bulk held>"
            with pytest.raises(RuntimeError, match="one request"):
                await slot.__aenter__()

        virtually(scenario)

    def test_error_of_the_call(self) -> None:
        """The call's own error comes out as itself."""

        async def scenario() -> None:
            gate = gate_of()
            with pytest.raises(KeyError):
                async with gate.slot(BULK):
                    raise KeyError
            assert gate.stats().in_use == 0

        virtually(scenario)


class Mine(QuotaGate):
    """A gate that somebody made his own; what he wants to see of calls goes through `slot()`."""


class TestAtOnce:
    """`slot_at_once`: the slot of `slot()`, where that would not wait."""

    @pytest.mark.parametrize("lane", [INTERACTIVE, BULK])
    def test_is_a_slot(self, lane: Lane) -> None:
        """It counts for its lane, rests when it was answered, and is free at once when nothing was sent."""

        async def scenario() -> None:
            gate, loop = gate_of(), asyncio.get_running_loop()
            await Caller(gate).call("a", lane)  # from whose call on the pace is known
            for answered in (True, False):
                slot = slot_at_once(gate, lane, loop)
                assert slot is not None
                assert gate.stats().in_flight == 1
                if answered:
                    slot.written()
                    slot.answered({})
                slot.leave()
                stats = gate.stats()
                assert (stats.in_flight, stats.in_use) == (0, 2)
            granted = (stats.granted_interactive, stats.granted_bulk)
            assert granted == ((3, 0) if lane is INTERACTIVE else (0, 3))

        virtually(scenario)

    @pytest.mark.parametrize("why", ["full", "shut", "probing", "queue", "day", "reserve"])
    def test_who_would_wait(self, why: str) -> None:
        """None, and nothing is taken, where a call waits, has to wait its turn, or goes to see."""

        async def scenario() -> None:
            gate = gate_of(reserve=2 if why == "reserve" else 0, bulk_share=0.0, probe_first=why == "probing")
            loop, lane = asyncio.get_running_loop(), BULK if why == "reserve" else INTERACTIVE
            caller = Caller(gate)
            calls: list[asyncio.Task[None]] = []
            if why == "shut":
                await caller.call("a", refused={"retry_after_s": 1.0})
            if why == "day":
                await caller.call("a", refused={"policy": "DAILY"})
            if why in ("full", "queue"):
                calls = [asyncio.create_task(caller.call(name)) for name in ("abc" if why == "full" else "abcd")]
            if why == "reserve":
                calls = [asyncio.create_task(caller.call("a", BULK))]
            await asyncio.sleep(0.01)
            before = gate.stats()
            assert slot_at_once(gate, lane, loop) is None
            assert gate.stats() == before
            await asyncio.gather(*calls)

        virtually(scenario)

    def test_bulk_without_a_token(self) -> None:
        """Bulk calls beyond the burst wait for their token as ever."""

        async def scenario() -> None:
            gate, loop = gate_of(limit=100, bulk_rate=1.0, bulk_burst=2), asyncio.get_running_loop()
            await Caller(gate).call("a", BULK, takes_s=0)
            slots = [slot_at_once(gate, BULK, loop) for _ in range(3)]
            assert [slot is not None for slot in slots] == [True, False, False]

        virtually(scenario)

    def test_while_another_waits_for_its_token(self) -> None:
        """A bulk call does not overtake the one that has a slot and no token yet; an interactive one may."""

        async def scenario() -> None:
            gate, loop = gate_of(limit=100, bulk_rate=1.0, bulk_burst=1), asyncio.get_running_loop()
            caller = Caller(gate)
            calls = [asyncio.create_task(caller.call("B", BULK)) for _ in range(2)]
            await asyncio.sleep(0.05)
            assert len(caller.granted) == 1
            assert slot_at_once(gate, BULK, loop) is None
            slot = slot_at_once(gate, INTERACTIVE, loop)
            assert slot is not None
            slot.leave()
            await asyncio.gather(*calls)

        virtually(scenario)

    def test_limiters_of_others(self) -> None:
        """Whoever is no plain `QuotaGate` is asked for a slot by `slot()`."""

        async def scenario() -> None:
            loop = asyncio.get_running_loop()
            assert slot_at_once(NoLimit(), INTERACTIVE, loop) is None
            assert slot_at_once(Mine(probe_first=False), INTERACTIVE, loop) is None
            assert slot_at_once(gate_of(), INTERACTIVE, loop) is not None

        virtually(scenario)

    def test_second_loop_refused(self) -> None:
        """A gate belongs to one loop in this way too."""
        gate = gate_of()

        async def scenario() -> None:
            slot_at_once(gate, INTERACTIVE, asyncio.get_running_loop())

        virtually(scenario)
        with pytest.raises(ConfigurationError, match="another event loop"):
            virtually(scenario)


class TestPacer:
    def test_take(self) -> None:
        """A token is taken where one is there; what is owed is paid along with it, or not taken at all."""

        async def scenario() -> None:
            pacer = Pacer(1.0, 3)
            assert not pacer.take()  # it has no bucket yet
            await pacer.wait()
            pacer.owe(5)
            pacer.owe(5)
            assert not pacer.take()
            assert pacer.take(pay=False)
            assert pacer.owed == 2
            await asyncio.sleep(2.5)
            assert pacer.take()
            assert pacer.owed == 0
            assert not pacer.take()

        virtually(scenario)

    def test_change_of_pace(self) -> None:
        """With another pace comes another bucket, for which `wait` is asked."""

        async def scenario() -> None:
            pacer = Pacer(1.0, 3)
            await pacer.wait()
            pacer.pace(2.0)
            assert not pacer.take()
            await pacer.wait()
            await asyncio.sleep(0.1)  # the new bucket begins with what the old one had, rounded down
            assert pacer.take()

        virtually(scenario)


class TestOrder:
    def run_order(self, gate: QuotaGate, entries: list[tuple[str, Lane, bool]]) -> str:
        caller = Caller(gate)

        async def scenario() -> None:
            await caller.call("0")
            async with asyncio.TaskGroup() as tasks:
                for name, lane, at_head in entries:
                    tasks.create_task(caller.call(name, lane, at_head=at_head))
                    await asyncio.sleep(0.01)

        virtually(scenario)
        return caller.order

    @pytest.mark.parametrize("lane", Lane)
    def test_first_come_first_served(self, lane: Lane) -> None:
        """Calls of a lane get their slots in the order they came."""
        names = "abcdefghij"
        assert self.run_order(gate_of(limit=1, bulk_share=0), [(n, lane, False) for n in names]) == "0" + names

    def test_interactive_first(self) -> None:
        """Interactive calls go before bulk calls that came earlier."""
        entries = [("B", BULK, False), ("C", BULK, False), ("i", INTERACTIVE, False), ("j", INTERACTIVE, False)]
        assert self.run_order(gate_of(limit=1, bulk_share=0), entries) == "0ijBC"

    def test_refused_calls_first(self) -> None:
        """Calls that come back at the head go before the others of their lane, in their own order."""
        entries = [
            ("a", BULK, False),
            ("b", BULK, False),
            ("C", BULK, True),
            ("D", BULK, True),
            ("i", INTERACTIVE, False),
        ]
        assert self.run_order(gate_of(limit=1, bulk_share=0), entries) == "0iCDab"

    def test_newcomers_do_not_overtake(self) -> None:
        """A slot that comes free goes to the head of the line, even when somebody else asks at that very moment."""

        async def scenario() -> None:
            gate = gate_of(limit=1)
            caller = Caller(gate)
            async with asyncio.TaskGroup() as tasks:
                holder = gate.slot(INTERACTIVE)
                await holder.__aenter__()
                tasks.create_task(caller.call("a"))
                await asyncio.sleep(1)
                await holder.__aexit__(None, None, None)
                tasks.create_task(caller.call("b"))
                async with asyncio.timeout(1):
                    await asyncio.sleep(0.5)
            assert caller.order == "ab"

        virtually(scenario)

    def test_bulk_keeps_its_share(self) -> None:
        """Under a flood of interactive calls bulk gets the slots of its share, and no more than those."""

        async def scenario() -> None:
            gate = gate_of(limit=10, bulk_share=0.3)
            caller = Caller(gate)
            async with asyncio.TaskGroup() as tasks:
                for _ in range(30):
                    tasks.create_task(caller.call("B", BULK))
                    tasks.create_task(caller.call("i", INTERACTIVE))
            windows = [caller.order[i : i + 10] for i in range(0, 40, 10)]
            assert [window.count("B") for window in windows[1:4]] == [3, 3, 3]

        virtually(scenario)

    def test_reserve(self) -> None:
        """Slots kept for interactive calls are not given to bulk, except for bulk's own share."""

        async def scenario() -> None:
            gate = gate_of(limit=5, reserve=2, bulk_share=0)
            caller = Caller(gate)
            async with asyncio.TaskGroup() as tasks:
                calls = [tasks.create_task(caller.call("B", BULK)) for _ in range(5)]
                await asyncio.sleep(1)
                assert (gate.stats().in_use, gate.stats().waiting_bulk) == (3, 2)
                assert gate.saturated(BULK)
                assert not gate.saturated(INTERACTIVE)
                await caller.call("i", INTERACTIVE)
                for call in calls:
                    call.cancel()

        virtually(scenario)


class TestPacing:
    def test_spread(self) -> None:
        """Bulk calls go a burst at once and then at the pace; interactive calls are not paced."""

        async def scenario() -> None:
            caller = Caller(gate_of(limit=100, bulk_rate=1.0, bulk_burst=2))
            async with asyncio.TaskGroup() as tasks:
                for _ in range(6):
                    tasks.create_task(caller.call("B", BULK))
                    tasks.create_task(caller.call("i", INTERACTIVE))
            times = {name: [at for n, at in caller.granted if n == name] for name in "Bi"}
            assert times["i"] == about([0] * 6)
            assert times["B"][:2] == about([0, 0])
            assert times["B"][2] >= 0.1
            assert all(
                later - earlier >= 0.0999 for earlier, later in zip(times["B"][2:], times["B"][3:], strict=False)
            )

        virtually(scenario)

    def test_a_pause_piles_up_no_tokens(self) -> None:
        """After a pause bulk goes on at its pace, with no more than the burst at once, and nothing goes during it."""

        async def scenario() -> None:
            gate = gate_of(limit=100, bulk_rate=1.0, bulk_burst=2)
            caller = Caller(gate)
            async with asyncio.TaskGroup() as tasks:
                for _ in range(8):
                    tasks.create_task(caller.call("B", BULK))
                await asyncio.sleep(0.05)
                tasks.create_task(caller.call("x", refused={"retry_after_s": 5.0}, takes_s=0.07))
            opened_at = 0.12 + 5.0
            went = [at for name, at in caller.granted if name == "B"]
            assert not [at for at in went if 0.12 < at < opened_at]
            late = [at for at in went if at >= opened_at]
            assert len([at for at in late if at < opened_at + 0.15]) <= 3
            assert len(went) == 8
            assert idle(gate)

        virtually(scenario)

    def test_interactive_calls_slow_bulk(self) -> None:
        """Both lanes together keep the pace: what interactive calls took, bulk makes up for."""

        async def bulk_takes_s(visitors: int, bulk_share: float) -> float:
            caller = Caller(gate_of(limit=100, bulk_rate=1.0, bulk_burst=2, bulk_share=bulk_share))
            began_at = asyncio.get_running_loop().time()
            async with asyncio.TaskGroup() as tasks:
                for _ in range(20):
                    tasks.create_task(caller.call("B", BULK))
                await asyncio.sleep(0.01)
                for _ in range(visitors):
                    tasks.create_task(caller.call("i", INTERACTIVE))
            return max(at for name, at in caller.granted if name == "B") - began_at

        async def scenario() -> None:
            assert await bulk_takes_s(0, 0.0) == about(1.8, abs=0.05)
            assert await bulk_takes_s(5, 0.0) == about(2.3, abs=0.05)
            assert await bulk_takes_s(100, 0.0) >= 9.9
            # The slots of its share are not held back, so that it can not be starved this way.
            assert await bulk_takes_s(5, 0.2) == about(1.8, abs=0.05)

        virtually(scenario)

    def test_limit_learned_by_interactive_calls(self) -> None:
        """Bulk begins at the pace of the limit that is known by then."""

        async def scenario() -> None:
            caller = Caller(QuotaGate(limit=100, probe_first=False, bulk_rate=1.0, bulk_burst=1))
            await caller.call("i", headers=quota(200, 199), takes_s=0)
            async with asyncio.TaskGroup() as tasks:
                for _ in range(3):
                    tasks.create_task(caller.call("B", BULK, takes_s=1.0))
            assert [at for name, at in caller.granted if name == "B"] == about([0, 0.05, 0.1], abs=1e-3)

        virtually(scenario)

    def test_change_of_rate(self) -> None:
        """A limit that goes to and fro lets no burst pass at each change."""

        async def scenario() -> None:
            gate = QuotaGate(limit=100, probe_first=False, bulk_rate=1.0)
            caller = Caller(gate)
            async with asyncio.TaskGroup() as tasks:
                for i in range(40):
                    tasks.create_task(caller.call("B", BULK, headers=quota(100 if i % 2 else 200, 90)))
            assert caller.granted[-1][1] >= (40 - 5) / 20 - 0.3

        virtually(scenario)


class TestLearning:
    def test_limit_from_the_first_header(self) -> None:
        """An assumed limit and window are replaced by what HubSpot tells."""

        async def scenario() -> None:
            gate = QuotaGate()
            await Caller(gate).call(
                "a", headers=quota(190, 189) | {"X-HubSpot-RateLimit-Interval-Milliseconds": "5000"}
            )
            assert (gate.stats().limit, gate.stats().window_s, gate.stats().remaining) == (190, 5.0, 189)

        virtually(scenario)

    def test_given_limit_stays(self) -> None:
        """A limit that is not assumed stays; a lower one in a header is kept all the same."""

        async def scenario() -> None:
            gate = gate_of(limit=5)
            await Caller(gate).call("a", headers=quota(190, 189))
            assert gate.stats().limit == 5
            await Caller(gate).call("a", headers=quota(2, 0))
            assert gate.saturated(INTERACTIVE)

        virtually(scenario)

    def test_headers_of_another_window(self) -> None:
        """A gate of seconds takes nothing from headers that speak of ten."""

        async def scenario() -> None:
            gate = search_gate()
            headers = quota(3, 0)
            await Caller(gate).call("a", headers=headers)
            del headers["X-HubSpot-RateLimit-Interval-Milliseconds"]
            await Caller(gate).call("a", headers=headers)
            assert (gate.stats().hold, gate.stats().remaining) == (0, None)
            assert (gate.stats().name, gate.stats().limit, gate.stats().window_s) == ("secondly", 5, 1.0)

        virtually(scenario)

    def test_hold(self) -> None:
        """Calls of others are left free, and given back when the count says so, without an answer to trigger it."""

        async def scenario() -> None:
            gate = gate_of(limit=100)
            caller = Caller(gate)
            await caller.call("a", headers=quota(100, 2))
            assert gate.stats().hold == 97
            async with asyncio.TaskGroup() as tasks:
                for _ in range(4):
                    tasks.create_task(caller.call("b"))
            assert [round(at) for _, at in caller.granted] == [0, 0, 0, 10, 10]
            assert gate.stats().hold == 0

        virtually(scenario)

    def test_stamp_bound(self) -> None:
        """With `learn_stamp` slots of slow calls rest from their latest possible stamp."""

        async def scenario() -> None:
            gate = gate_of(limit=100, learn_stamp=True)
            caller = Caller(gate)
            async with asyncio.TaskGroup() as tasks:
                for number in range(700):
                    await asyncio.sleep(0.11)
                    tasks.create_task(caller.call("a", takes_s=3.0, headers=quota(100, 100 - min(91, number + 1))))
            assert gate.stats().stamp_bound_s is not None
            assert gate.stats().in_use < 100
            assert gate_of().stats().stamp_bound_s is None

        virtually(scenario)


class TestRefused:
    def test_one_probe(self) -> None:
        """A 429 shuts the gate for all; one call goes first and the others after it, the refused one at the head."""

        async def scenario() -> None:
            gate = gate_of(limit=50)
            caller = Caller(gate)
            await caller.call("a", refused={"policy": "TEN_SECONDLY_ROLLING"})
            assert gate.stats().paused_for_s == about(0.25)
            assert gate.saturated(INTERACTIVE)
            assert gate.wait_estimate_s(BULK) == about(0.25)
            async with asyncio.TaskGroup() as tasks:
                for name in "bcd":
                    tasks.create_task(caller.call(name))
                await asyncio.sleep(0)
                tasks.create_task(caller.call("A", at_head=True))
            assert caller.granted[1:] == [
                (n, about(at)) for n, at in zip("Abcd", (0.35, 0.45, 0.45, 0.45), strict=True)
            ]
            assert (gate.stats().pauses, gate.stats().refused) == (1, 1)

        virtually(scenario)

    def test_probe_refused(self) -> None:
        """Each refused probe doubles the pause."""

        async def scenario() -> None:
            caller = Caller(gate_of(limit=50))
            for _ in range(4):
                await caller.call("a", refused={}, takes_s=0)
            assert [at for _, at in caller.granted] == about([0, 0.25, 0.75, 1.75])

        virtually(scenario)

    def test_startup_probe(self) -> None:
        """At the start one call finds out how full the window is, and the others wait for it, unless it fails."""

        async def scenario() -> None:
            caller = Caller(QuotaGate())
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(caller.call("a", written=0, answered=False, takes_s=0.5))
                for name in "bcd":
                    tasks.create_task(caller.call(name, takes_s=0.2))
            assert [at for _, at in caller.granted] == about([0, 0.5, 0.7, 0.7])

        virtually(scenario)

    def test_of_another_policy(self) -> None:
        """A search refused by its seconds does not shut the gate of ten seconds, and its probe has passed there."""

        async def scenario() -> None:
            gate = QuotaGate()
            await Caller(gate).call("a", refused={"policy": "SECONDLY"})
            assert not gate.saturated(INTERACTIVE)
            named = QuotaGate(name="mine", probe_first=False)
            await Caller(named).call("a", refused={"policy": "SECONDLY"})
            assert named.saturated(INTERACTIVE)

        virtually(scenario)

    def test_unknown_policy(self) -> None:
        """A refusal nobody can name shuts the gate."""

        async def scenario() -> None:
            gate = gate_of()
            await Caller(gate).call("a", refused={"policy": "WHATEVER"})
            assert gate.saturated(INTERACTIVE)

        virtually(scenario)

    def test_granted_and_shut_in_one_moment(self) -> None:
        """A call that was handed a slot in the moment the gate shuts waits again, before all others."""

        async def scenario() -> None:
            gate = gate_of(limit=2)
            caller = Caller(gate)
            async with asyncio.TaskGroup() as tasks:
                first, second = gate.slot(INTERACTIVE), gate.slot(INTERACTIVE)
                await first.__aenter__()
                refused = await second.__aenter__()
                for name in "ab":
                    tasks.create_task(caller.call(name))
                await asyncio.sleep(1)
                await first.__aexit__(None, None, None)
                refused.answered({})
                refused.refused(policy=None, retry_after_s=None)
                await second.__aexit__(None, None, None)
                assert not caller.granted
            assert caller.granted == [("a", about(1.25)), ("b", about(11.002))]

        virtually(scenario)


class TestDaily:
    def test_refused(self) -> None:
        """After a DAILY refusal waiting calls and new ones fail at once, until the reset; then a probe goes first."""

        async def scenario() -> None:
            gate = gate_of(limit=2, probe_first=True)
            caller = Caller(gate)
            resets_at = datetime.now(UTC) + timedelta(hours=3)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(caller.call("a", refused={"policy": "DAILY", "resets_at": resets_at}))
                await asyncio.sleep(0)
                for lane in Lane:
                    with pytest.raises(DailyLimitExceeded) as caught:
                        await caller.call("b", lane)
                    assert caught.value.resets_at == resets_at
            assert asyncio.get_running_loop().time() == about(0.1)
            assert idle(gate)
            assert gate.stats().daily_resets_at == resets_at
            await asyncio.sleep(3 * 3600)
            async with asyncio.TaskGroup() as tasks:
                for name in "cde":
                    tasks.create_task(caller.call(name))
            c, d, e = (at for name, at in caller.granted if name in "cde")
            assert (d - c, e - c) == (about(0.1), about(10.102))

        virtually(scenario)

    def test_probe_every_quarter_of_an_hour(self) -> None:
        """Without a known reset one call in 15 minutes is let through; when it passes, all are."""

        async def scenario() -> None:
            caller = Caller(gate_of(limit=50))
            await caller.call("a", refused={"policy": "DAILY"})
            refused_s = 0
            for _ in range(100):
                await asyncio.sleep(60)
                try:
                    await caller.call("b", refused={"policy": "DAILY"} if len(caller.granted) < 4 else None)
                except DailyLimitExceeded:
                    refused_s += 1
            gaps_s = [
                later - earlier for (_, earlier), (_, later) in zip(caller.granted, caller.granted[1:4], strict=False)
            ]
            assert gaps_s == about([900, 900, 900], abs=2)
            assert refused_s == 14 * 4

        virtually(scenario)

    def test_unused_probe(self) -> None:
        """A probe that never left, or was cancelled, leaves its place to the next call."""

        async def scenario() -> None:
            gate = gate_of(limit=1)
            caller = Caller(gate)
            await caller.call("a", refused={"policy": "DAILY"})
            await asyncio.sleep(901)
            await caller.call("b", written=0, answered=False)
            async with gate.slot(INTERACTIVE):
                with pytest.raises(DailyLimitExceeded):
                    await caller.call("c")

        virtually(scenario)

    def test_bulk_leaves_a_reserve(self) -> None:
        """Bulk stops when only the reserve is left of the day, by the headers or by what the caller tells."""

        async def scenario() -> None:
            gate = gate_of(limit=50)
            caller = Caller(gate)
            await caller.call("a", headers=quota(50, 49, daily=1000, daily_remaining=100))
            assert (gate.stats().daily_limit, gate.stats().daily_remaining) == (1000, 100)
            with pytest.raises(DailyLimitExceeded):
                await caller.call("B", BULK)
            await caller.call("i", INTERACTIVE)
            resets_at = datetime.now(UTC) + timedelta(hours=1)
            gate.learn_daily(limit=1000, remaining=900, resets_at=resets_at)
            await caller.call("B", BULK)
            assert gate.stats().daily_resets_at == resets_at

        virtually(scenario)


class TestEstimates:
    def test_saturated_and_estimate(self) -> None:
        """Both say beforehand what a call will meet."""

        async def scenario() -> None:
            gate, loop = gate_of(), asyncio.get_running_loop()
            caller = Caller(gate)
            assert not gate.saturated(BULK)
            assert gate.wait_estimate_s(BULK) == about(0)
            for _ in range(3):
                await caller.call("a")
            assert gate.saturated(INTERACTIVE)
            assert gate.saturated(BULK)
            async with asyncio.TaskGroup() as tasks:
                for name in "bcdefghi":
                    estimate_s, began_at = gate.wait_estimate_s(INTERACTIVE), loop.time()
                    tasks.create_task(self.check(caller, name, began_at + estimate_s))
                    await asyncio.sleep(0)
            await asyncio.sleep(10.2)
            assert not gate.saturated(BULK)

        async def scenario_while_shut() -> None:
            gate = gate_of(limit=10)
            await Caller(gate).call("a", refused={"retry_after_s": 4.0})
            assert gate.wait_estimate_s(INTERACTIVE) == about(4.0)

        virtually(scenario)
        virtually(scenario_while_shut)

    async def check(self, caller: Caller, name: str, not_before: float) -> None:
        await caller.call(name, takes_s=0.0)
        went_at = next(at for n, at in caller.granted if n == name)
        assert not_before - 1e-6 <= went_at <= not_before + 0.01

    def test_paced(self) -> None:
        """Bulk calls know that those ahead need tokens."""

        async def scenario() -> None:
            gate = gate_of(limit=100, bulk_rate=1.0, bulk_burst=1)
            caller = Caller(gate)
            async with asyncio.TaskGroup() as tasks:
                for _ in range(11):
                    tasks.create_task(caller.call("B", BULK))
                await asyncio.sleep(0.001)
                assert gate.wait_estimate_s(BULK) == about(0.9)
                assert gate.wait_estimate_s(INTERACTIVE) == 0
                assert gate.saturated(BULK)
                assert not gate.saturated(INTERACTIVE)

        virtually(scenario)


class TestCancellation:
    """Cancelled at each place where a call can be parked, it leaves nothing behind and the next one goes."""

    async def cancel_then(self, gate: QuotaGate, lane: Lane, park: Callable[[], Awaitable[None]]) -> None:
        caller = Caller(gate)
        victim = asyncio.ensure_future(caller.call("victim", lane))
        await park()
        victim.cancel()
        with pytest.raises(asyncio.CancelledError):
            await victim

    @pytest.mark.parametrize("lane", Lane)
    @pytest.mark.parametrize("at_head", [False, True])
    def test_in_line(self, lane: Lane, at_head: bool) -> None:
        """Waiting for a slot."""

        async def scenario() -> None:
            gate = gate_of(limit=1)
            caller = Caller(gate)
            await caller.call("a")
            async with asyncio.TaskGroup() as tasks:
                victim = tasks.create_task(caller.call("victim", lane, at_head=at_head))
                tasks.create_task(caller.call("b", lane))
                await asyncio.sleep(1)
                victim.cancel()
                await asyncio.sleep(0)
                assert gate.stats().waiting_interactive + gate.stats().waiting_bulk == 1
            assert caller.granted[1:] == [("b", about(10.102))]
            assert idle(gate)

        virtually(scenario)

    @pytest.mark.parametrize("lane", Lane)
    def test_in_the_moment_of_the_grant(self, lane: Lane) -> None:
        """A slot handed to a call that is cancelled before it runs goes to the next, at once."""

        async def scenario() -> None:
            gate = gate_of(limit=1)
            caller = Caller(gate)
            async with asyncio.TaskGroup() as tasks:
                holder = gate.slot(INTERACTIVE)
                await holder.__aenter__()
                victim = tasks.create_task(caller.call("victim", lane))
                tasks.create_task(caller.call("b", lane))
                await asyncio.sleep(1)
                await holder.__aexit__(None, None, None)
                assert gate.stats().in_flight == 1
                victim.cancel()
            assert caller.granted == [("b", about(1))]
            assert idle(gate)

        virtually(scenario)

    def test_waiting_for_a_token(self) -> None:
        """The slot it held goes to the next, and so does its place in the bucket."""

        async def scenario() -> None:
            gate = gate_of(limit=100, bulk_rate=1.0, bulk_burst=1)
            caller = Caller(gate)
            await caller.call("a", BULK, takes_s=0)
            async with asyncio.TaskGroup() as tasks:
                victim = tasks.create_task(caller.call("victim", BULK))
                await asyncio.sleep(0.05)
                assert gate.stats().in_flight == 1
                tasks.create_task(caller.call("b", BULK))
                victim.cancel()
            assert caller.order == "ab"
            assert caller.granted[1][1] == about(0.1, abs=0.01)
            assert idle(gate)
            assert (gate.stats().in_use, gate.stats().granted_bulk) == (2, 2)

        virtually(scenario)

    def test_with_the_token_in_hand(self) -> None:
        """Cancelled in the moment its token comes."""

        async def scenario() -> None:
            gate = gate_of(limit=100, bulk_rate=1.0, bulk_burst=1)
            caller = Caller(gate)
            await caller.call("a", BULK, takes_s=0)
            async with asyncio.TaskGroup() as tasks:
                victim = tasks.create_task(caller.call("victim", BULK))
                tasks.create_task(caller.call("b", BULK))
                await asyncio.sleep(0)
                asyncio.get_running_loop().call_at(0.1, victim.cancel)
            assert caller.order == "ab"
            assert idle(gate)

        virtually(scenario)

    def test_waiting_again_after_a_pause_began(self) -> None:
        """Its token came while the gate was shut, so that it waits a second time; the next is the probe."""

        async def scenario() -> None:
            gate = gate_of(limit=100, bulk_rate=1.0, bulk_burst=1)
            caller = Caller(gate)
            await caller.call("a", BULK, takes_s=0)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(caller.call("x", refused={"retry_after_s": 2.0}, takes_s=0.05))
                victim = tasks.create_task(caller.call("victim", BULK))
                tasks.create_task(caller.call("b", BULK))
                await asyncio.sleep(1)
                assert (gate.stats().in_flight, gate.stats().waiting_bulk) == (0, 2)
                victim.cancel()
            assert caller.granted[2] == ("b", about(2.05))
            assert idle(gate)

        virtually(scenario)

    def test_as_the_probe(self) -> None:
        """When the probe is cancelled, another call is the probe."""

        async def scenario() -> None:
            gate = gate_of(limit=50, probe_first=True)
            caller = Caller(gate)
            async with asyncio.TaskGroup() as tasks:
                victim = tasks.create_task(caller.call("victim", takes_s=60))
                for name in "bc":
                    tasks.create_task(caller.call(name))
                await asyncio.sleep(1)
                victim.cancel()
            assert caller.granted[1:] == [("b", about(1.0)), ("c", about(1.1))]
            assert gate.stats().in_use == 3

        virtually(scenario)

    def test_told_to_go_home(self) -> None:
        """Cancelled in the moment the day ends."""

        async def scenario() -> None:
            gate = gate_of(limit=1)
            caller = Caller(gate)
            holder = gate.slot(INTERACTIVE)
            held = await holder.__aenter__()
            victim = asyncio.ensure_future(caller.call("victim"))
            await asyncio.sleep(1)
            held.answered({})
            held.refused(policy="DAILY", retry_after_s=None)
            victim.cancel()
            with pytest.raises(asyncio.CancelledError):
                await victim
            await holder.__aexit__(None, None, None)
            assert idle(gate)

        virtually(scenario)

    def test_under_anyio(self) -> None:
        """anyio's deadlines cancel it just as well."""

        async def scenario() -> None:
            gate = gate_of(limit=1)
            caller = Caller(gate)
            await caller.call("a")
            for lane in Lane:
                with anyio.move_on_after(1) as scope:
                    await caller.call("victim", lane)
                assert scope.cancelled_caught
            assert idle(gate)
            await caller.call("b")
            assert caller.granted[1][1] == about(10.102)

        virtually(scenario)


class TestLoops:
    def test_second_loop_refused(self) -> None:
        """A gate used on a second loop says so instead of misbehaving."""
        gate = gate_of()

        async def scenario() -> None:
            await Caller(gate).call("a")

        virtually(scenario)
        assert gate.stats().in_use == 1
        with pytest.raises(ConfigurationError, match="another event loop"):
            virtually(scenario)

    def test_before_any_loop(self) -> None:
        """It can be made, looked at and printed where no loop runs."""
        gate = QuotaGate()
        assert repr(gate) == "<QuotaGate ten_secondly_rolling 100/10s in_use=0 in_flight=0 hold=0 waiting=0+0>"
        assert not gate.saturated(INTERACTIVE)
        assert gate.wait_estimate_s(BULK) == about(0)

    async def test_on_a_real_loop(self) -> None:
        """The same code on the usual loop and clock."""
        gate = QuotaGate(limit=20, window_s=0.05)
        caller = Caller(gate)
        async with asyncio.TaskGroup() as tasks:
            for number in range(60):
                tasks.create_task(caller.call("ab"[number % 2], Lane(number % 2), takes_s=0.001))
        assert len(caller.granted) == 60
        assert idle(gate)


class TestArguments:
    @pytest.mark.parametrize(
        "wrong",
        [
            {"limit": 0}, {"window_s": 0.0}, {"window_s": float("nan")}, {"bulk_rate": 0.0}, {"bulk_burst": 0},
            {"bulk_share": 1.0}, {"reserve": 100}, {"reserve": -1}, {"daily_reserve": 1.0},
        ],
    )  # fmt: skip
    def test_wrong_values(self, wrong: dict[str, Any]) -> None:
        """A wrong value fails at once, and its name is in the message."""
        with pytest.raises(ConfigurationError, match=next(iter(wrong))):
            QuotaGate(**wrong)

    def test_search_gate(self) -> None:
        """The search gate takes its number from the limits."""
        assert search_gate(Limits(search_per_second=7)).stats().limit == 7


async def test_no_limit() -> None:
    """The limiter that is none has the same face and never waits."""
    limiter: Limiter = NoLimit()
    for lane in Lane:
        async with limiter.slot(lane, at_head=True) as slot:
            slot.written()
            slot.answered({})
            slot.refused(policy="DAILY", retry_after_s=None)
        assert not limiter.saturated(lane)
        assert limiter.wait_estimate_s(lane) == 0
    assert limiter.stats().limit == 0
    assert repr(limiter) == "NoLimit()"


def test_gate_is_a_limiter() -> None:
    """`QuotaGate` has the face the call loop asks for."""
    limiter: Limiter = QuotaGate()
    assert limiter.stats().limit == 100
