"""Under faults and cancels, what each caller was told is true in HubSpot's ledger.

In virtual time, behind the network of the proofs, a few hundred seeded services; and over real sockets, under load.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import anyio
import pytest

from hubspot_meetings_async import (
    AccountingError,
    AmbiguousWriteError,
    Conflict,
    DeadlineExceeded,
    HubSpotError,
    Meeting,
    MeetingsClient,
    MicroBatch,
    NoLimit,
    QuotaGate,
    RetryPolicy,
)
from hubspot_meetings_async.emulator import Emulator, Fault
from tests.proof.network import BODY_FAULTS, FAULTS, READ_FAULTS, Network, Sent, Weather
from tests.proof.world import KEY, Done, Rules, World
from tests.virtual_time import run_virtual

from .simulated import BadNetwork, micro_batch

MODES = ("keyed", "hold", "update", "upsert", "archive", "read")
LIES = ("leaky 400",)
"""A refusal that did something: HubSpot's documents say that there is no such thing, and splitting relies on it."""


@dataclass(slots=True)
class Told:
    """One call: what it asked for, when it was submitted and what its task was told."""

    mark: str
    key: str
    submitted_at: float
    result: Meeting | HubSpotError | None = None
    cancelled: bool = False
    bad: bool = False


class _Naming(Network):
    """Errors name their inputs, as HubSpot's do where inputs have trace ids. Where none is named, nobody can tell a
    meeting with the key from another caller's."""

    def _errors(self, request: Sent, done: Done) -> list[dict[str, Any]]:
        return [
            {
                "status": "error",
                "category": category,
                "message": message,
                "context": {"objectWriteTraceId": [request.inputs[position]["objectWriteTraceId"]]},
            }
            for position, (category, message) in done.errors.items()
        ]


@dataclass(slots=True)
class Service:
    """A few hundred handlers on one micro-batcher, behind a network that fails as the seed wills."""

    mode: str
    seed: int
    world: World = field(init=False)
    network: Network = field(init=False)
    calls: list[Told] = field(default_factory=list)
    hung: bool = False
    sound: bool = False

    def __post_init__(self) -> None:
        rng = random.Random(self.seed)
        self.world = World(Rules(echo=rng.random() < 0.5, multi_status=rng.random() < 0.8))
        writes = [fault for fault in FAULTS if fault not in LIES and rng.random() < 0.6]
        writes += [fault for fault in BODY_FAULTS if rng.random() < 0.3]
        reads = [fault for fault in READ_FAULTS if rng.random() < 0.6]
        weather = Weather(
            rate=0.0 if self.sound else rng.choice((0.0, 0.1, 0.25, 0.5)),
            writes=tuple(writes) or ("5xx after",),
            reads=tuple(reads) or ("5xx before",),
            calm_at=rng.uniform(20, 300),
            latest_s=20.0,
        )
        self.network = (_Naming if self.mode == "keyed" else Network)(self.world, weather, rng)

    def run(self) -> None:
        """All of it, in virtual time."""

        async def main(rng: random.Random) -> None:
            with anyio.move_on_after(3_000) as limit:
                await self._serve(rng)
            self.hung = limit.cancelled_caught
            await anyio.sleep(100)  # what is late lands

        run_virtual(main, seed=self.seed, lateness_s=0.0)

    async def _serve(self, rng: random.Random) -> None:
        limit = rng.choice((None, None, 20, 100))
        keys = [f"k{number}" for number in range(rng.choice((3, 30, 300)))]
        ids = [self.world.make("somebody", {KEY: f"was {n}"}, at=0.0).id for n in range(len(keys))]
        async with (
            micro_batch(
                BadNetwork(self.network),
                limiter=None if limit is None else QuotaGate(limit=limit, assumed=False),
                call_s=None if self.sound else rng.choice((None, 5.0, 60.0)),
                linger_s=rng.choice((0.0, 0.005, 0.1)),
                max_inputs=rng.choice((3, 20, 100)),
                seed=self.seed,
                key_property=KEY if self.mode == "keyed" else None,
            ) as batch,
            asyncio.TaskGroup() as tasks,
        ):
            cancels = 0.1 if self.sound else rng.choice((0.0, 0.1))
            for number in range(rng.choice((20, 100, 300))):
                key = f"n{number}" if self.mode == "hold" else rng.choice(keys)
                if self.mode in ("update", "archive", "read"):
                    key = ids[keys.index(key)]
                task = tasks.create_task(self._call(batch, number, key, bad=not self.sound and rng.random() < 0.03))
                if rng.random() < cancels:
                    tasks.create_task(self._cancel(task, rng.expovariate(10)))
                if rng.random() < 0.3:
                    await anyio.sleep(rng.expovariate(20))

    async def _cancel(self, task: asyncio.Task[None], after_s: float) -> None:
        await anyio.sleep(after_s)
        task.cancel()

    async def _call(self, batch: MicroBatch, number: int, key: str, *, bad: bool) -> None:
        mark = f"m{number}"
        told = Told(mark, key, anyio.current_time(), bad=bad and self.mode in ("keyed", "hold", "update", "upsert"))
        self.calls.append(told)
        properties = {"mark": mark, **({"bad": "1"} if told.bad else {})}
        try:
            match self.mode:
                case "keyed":
                    told.result = await batch.create({**properties, KEY: key})
                case "hold":
                    told.result = await batch.create(properties)
                case "update":
                    told.result = await batch.update(key, properties)
                case "upsert":
                    told.result = await batch.upsert(key, properties, id_property=KEY)
                case "archive":
                    await batch.archive(key)
                case _:
                    told.result = await batch.read(key, properties=["mark"])
        except HubSpotError as error:
            told.result = error
        except asyncio.CancelledError:
            told.cancelled = True

    # ---- the judgement

    def problems(self) -> Iterator[str]:
        """Every promise that was broken, in words."""
        if self.hung:
            yield "somebody hangs"
        yield from self.network.overlaps
        for told in self.calls:
            problem = self._wrong(told)
            if problem is not None:
                yield f"{told.mark} ({told.key}) was told {told.result!r}, but {problem}"
        if self.mode in ("keyed", "upsert"):
            for key, meetings in self.world.by_key.items():
                if len(meetings) > 1:
                    yield f"{key} exists {len(meetings)} times"
        if self.mode == "hold":
            for mark, meetings in self.world.made.items():
                if mark != "somebody" and sum(not meeting.copy for meeting in meetings) > 1:
                    yield f"{mark} exists {len(meetings)} times"
        yield from self._order()

    def _wrong(self, told: Told) -> str | None:
        done = self.world.applied.get(told.mark, [])
        match told.result:
            case AccountingError() as bug:
                return f"that is a bug: {bug.__cause__!r}"
            case Meeting() as meeting:
                return self._wrong_meeting(told, meeting)
            case AmbiguousWriteError():
                return None if self.mode != "read" else "a read is never in doubt"
            case DeadlineExceeded(sent=True):
                return None
            case HubSpotError() if done and not self._undone_later(told):
                return "it was done"
            case _:
                return None

    def _wrong_meeting(self, told: Told, meeting: Meeting) -> str | None:
        known = self.world.meetings.get(meeting.id)
        if known is None:
            return "there is no such meeting"
        if told.bad:
            return "it can not have been done"
        if self.mode in ("update", "read"):
            return None if meeting.id == told.key else "it is another one's"
        if self.mode == "hold":
            return None if known.mark == told.mark else f"it is {known.mark}'s"
        if known.properties.get(KEY) != told.key:
            return f"it has the key {known.properties.get(KEY)}"
        # Only where an answer was lost, nobody can tell whose meeting of this key it is.
        mine = known.mark == told.mark or self.mode == "upsert"
        return None if mine or self._was_lost(told) else f"it is {known.mark}'s"

    def _was_lost(self, told: Told) -> bool:
        return any(told.mark in request.marks and request.fault for request in self.network.requests)

    def _undone_later(self, told: Told) -> bool:
        """A request that was lost may land after its caller was told that a later one was refused."""
        return any(one.how in ("late", "again") for one in self.world.applied.get(told.mark, ()))

    def _order(self) -> Iterator[str]:
        """Of one id or key, first submitted is first carried out, but for requests that land late."""
        order = {told.mark: number for number, told in enumerate(self.calls)}
        for meeting, changes in self.world.changes.items():
            firsts = [one for one in changes if one.how == "first" and one.mark in order]
            for earlier, later in itertools.pairwise(firsts):
                if order[later.mark] < order[earlier.mark]:
                    yield f"{later.mark} was submitted before {earlier.mark}, and carried out on {meeting} after it"


@pytest.mark.parametrize("mode", MODES)
def test_what_callers_are_told_is_true(mode: str) -> None:
    """Whatever the network does, and whoever is cancelled."""
    for seed in range(40):
        service = Service(mode, seed)
        service.run()
        assert list(service.problems()) == [], f"mode {mode}, seed {seed}"
        undecided = [told for told in service.calls if told.result is None and not told.cancelled]
        assert not undecided or mode == "archive"


@pytest.mark.parametrize("mode", ["keyed", "hold", "upsert"])
def test_cancels_harm_no_neighbour(mode: str) -> None:
    """On a sound network with a tenth of the handlers cancelled at random moments, nobody else's call fails."""
    for seed in range(20):
        service = Service(mode, seed, sound=True)
        service.run()
        assert list(service.problems()) == [], f"mode {mode}, seed {seed}"
        told = [call for call in service.calls if not call.cancelled]
        assert all(isinstance(call.result, Meeting | Conflict) for call in told)
        if mode != "keyed":
            assert all(isinstance(call.result, Meeting) for call in told)


def test_2000_handlers_of_which_a_tenth_is_cancelled() -> None:
    """Nobody else's call fails; a cancelled one's meeting exists only if it was in a request that left; no copies."""
    world = World(Rules())
    network = Network(world, Weather(rate=0.0, writes=(), reads=()), random.Random(1))
    fates: Counter[str] = Counter()
    in_flight_at_cancel: dict[str, bool] = {}

    async def scenario(rng: random.Random) -> None:
        async with micro_batch(BadNetwork(network)) as batch, asyncio.TaskGroup() as tasks:

            async def handle(mark: str) -> None:
                try:
                    meeting = await batch.create({"mark": mark})
                except asyncio.CancelledError:
                    fates["cancelled"] += 1
                    in_flight_at_cancel[mark] = any(mark in request.marks for request in network.requests)
                    raise
                assert world.meetings[meeting.id].mark == mark
                fates["created"] += 1

            async def cancel(task: asyncio.Task[None], after_s: float) -> None:
                await anyio.sleep(after_s)
                task.cancel()

            for number in range(2_000):
                await anyio.sleep(rng.expovariate(200))
                task = tasks.create_task(handle(f"m{number}"))
                if number % 10 == 3:
                    # From before it is taken into a batch to after its answer.
                    tasks.create_task(cancel(task, rng.uniform(0, 0.06)))

    run_virtual(scenario, seed=11)
    assert fates["created"] + fates["cancelled"] == 2_000
    assert 50 <= fates["cancelled"] <= 200
    assert all(len(meetings) == 1 for meetings in world.made.values())
    made_though_cancelled = {mark for mark in in_flight_at_cancel if mark in world.made}
    # Between the moment a request gets its slot and its first byte there is no await in this network.
    assert {mark for mark, left in in_flight_at_cancel.items() if left} == made_though_cancelled


STRIKES = (
    Fault(status=502, applied=True),
    Fault(status=502),
    Fault(kind="reset", applied=True),
    Fault(kind="reset"),
    Fault(status=429),
    Fault(status=502, applied=True, applied_inputs=2),
)


@pytest.mark.parametrize("key_property", ["booking_ref", None])
async def test_faults_under_load_over_real_sockets(key_property: str | None) -> None:
    """1,500 handlers, one request in five struck, bad records among them: each caller's answer is in the ledger."""
    async with Emulator(limit=None, seed=5) as emulator:
        emulator.portal.add_property("booking_ref", unique=key_property is not None)
        for fault in STRIKES:
            emulator.faults.at_rate(0.04, fault, operation="meetings.batch_*")
        retry = RetryPolicy(base_s=0.001, cap_s=0.01, locked_s=0.0, tokens=None)
        rng = random.Random(3)
        results: dict[str, Any] = {}
        async with (
            MeetingsClient("t", base_url=emulator.url, limiter=NoLimit(), retry=retry) as client,
            client.micro_batch(linger_s=0.002, max_inputs=20, key_property=key_property) as batch,
            asyncio.TaskGroup() as tasks,
        ):

            async def handle(ref: str, *, bad: bool) -> None:
                properties = {"hs_meeting_title": ref, "booking_ref": ref, **({"nope": "1"} if bad else {})}
                try:
                    results[ref] = await batch.create(properties)
                except HubSpotError as error:
                    results[ref] = error

            for number in range(1_500):
                tasks.create_task(handle(f"r{number}", bad=number % 50 == 0))
                if rng.random() < 0.1:
                    await asyncio.sleep(0.001)
        ledger = {entry.value: entry.id for entry in emulator.portal.ledger("booking_ref")}
        assert emulator.portal.duplicates_by("booking_ref") == {}
        assert sum(emulator.faults.injected.values()) > 10
    for ref, result in results.items():
        match result:
            case Meeting():
                assert ledger[ref] == result.id
            case AmbiguousWriteError():
                assert key_property is None
            case _:
                assert ref not in ledger, result
                assert int(ref[1:]) % 50 == 0, result
    if key_property is not None:
        assert len(ledger) == 1_500 - 30
