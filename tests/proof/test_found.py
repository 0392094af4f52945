"""What the simulation found, each as a test of its own."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

import anyio
import msgspec
import pytest

from hubspot_meetings_async.bulk.engine import Options, Run
from hubspot_meetings_async.bulk.journal.journal import Job
from hubspot_meetings_async.bulk.journal.rows import pack, unpack
from hubspot_meetings_async.bulk.operation import Doubt, Operation
from hubspot_meetings_async.bulk.outcomes import Ambiguous, Created, NotSent, Outcome, Rejected, Updated
from hubspot_meetings_async.bulk.settling import settle_answer
from hubspot_meetings_async.calling.retry import Effect, effect_of
from hubspot_meetings_async.errors import Conflict, HubSpotError, HubSpotUnavailable, Unauthorized
from hubspot_meetings_async.inputs import Inputs
from hubspot_meetings_async.meetings.lookup import Found
from hubspot_meetings_async.models import BatchError, BatchResponse, Meeting, UpsertedMeeting
from hubspot_meetings_async.wire import Trail

from ..bulk.fake_hubspot import FakeHubSpot
from ..virtual_time import run_virtual
from .simulated_journal import Disk, Place, SimulatedStore
from .world import KEY


def run_of(operation: Operation, records: Any, **options: Any) -> Run[Any]:
    return Run(operation, records, options=Options(**{"read_in_thread": False, **options}), rng=random.Random(1))


def test_a_batch_that_waits_for_a_worker_when_a_slow_source_ends_is_sent() -> None:
    """The source ends while an unfilled batch waits for the one worker: the batch is not forgotten (keyed, seed 8)."""

    async def records() -> AsyncIterator[dict[str, str]]:
        for mark in ("a", "b"):
            yield {"n": mark}
            await anyio.sleep(2)

    async def scenario(rng: random.Random) -> int:
        fake = FakeHubSpot(rng, latency_s=30)
        operation = Operation(name="create", inputs=Inputs.create(), send=fake.create)
        with anyio.fail_after(600):
            report = await run_of(operation, records(), workers=1)
        return report.created

    assert run_virtual(scenario) == 2


# ---- going on with a job


class Scene:
    """A keyed create on a scripted HubSpot, with a journal on a simulated disk, in one or more sessions."""

    def __init__(self, **changes: Any) -> None:
        self.disk = Disk(power=False)
        self.store: SimulatedStore | None = None
        self.operation = Operation(
            **{
                "name": "create",
                "inputs": Inputs.create(key_property=KEY),
                "send": self.send,
                "id_property": KEY,
                "doubt": Doubt.FIND,
                "find": self.find,
                "unique_keys": True,
                "key_is_unique": True,
                **changes,
            }
        )
        self.sent: list[list[str]] = []
        self.left: int | None = None
        self.enough = asyncio.Event()
        self.known: dict[str, Meeting] = {}
        self.answer: Callable[[list[dict[str, Any]]], HubSpotError | None] = lambda inputs: None
        self.silent: set[str] = set()

    async def send(self, body: bytes, trail: Trail) -> BatchResponse[Meeting]:
        if trail.before_send is not None:
            await trail.before_send()
        inputs: list[dict[str, Any]] = msgspec.json.decode(body)["inputs"]
        names = [given.get("id") or given["properties"][KEY] for given in inputs]
        self.sent.append(names)
        if len(self.sent) == self.left:
            self.enough.set()
        trail.in_doubt = True
        if trail.on_sent is not None:
            trail.on_sent()
        await anyio.sleep(0.1)
        error = self.answer(inputs)
        if error is not None:
            trail.in_doubt = effect_of(error) is Effect.UNKNOWN
            raise error
        trail.in_doubt = False
        for name, given in zip(names, inputs, strict=True):
            values: dict[str, str | None] = {key: str(value) for key, value in given["properties"].items()}
            known = self.known.get(name)
            self.known[name] = Meeting(id=known.id if known else str(len(self.known) + 1), properties=values)
        return BatchResponse(status="COMPLETE", results=tuple(self.known[name] for name in names))

    async def find(self, keys: Sequence[str], *, properties: Sequence[str], trail: Trail) -> Found:
        asked = [key for key in keys if key not in self.silent]
        self.silent.clear()
        found = {key: (self.known[key],) for key in asked if key in self.known}
        return Found(found, frozenset(key for key in asked if key not in found))

    async def run(
        self, records: Any, *, dies_after: int | None = None, outcomes: list[Outcome[Any]] | None = None, **options: Any
    ) -> list[Outcome[Any]]:
        """A session's outcomes; it dies with the request that has this number."""
        outcomes = [] if outcomes is None else outcomes
        place = Place(self._open, resume="ordinal")

        async def job() -> Job:
            return Job(operation=self.operation.name, mode="test", host="test")

        given = Options(**{"read_in_thread": False, "max_batch_bytes": 1_000, "journal": place, **options})
        run: Run[Any] = Run(self.operation, records, options=given, job=job, rng=random.Random(1))

        async def consume() -> None:
            async with run:
                async for outcome in run:
                    outcomes.append(outcome)

        if dies_after is None:
            with anyio.fail_after(3_600):
                await consume()
            return outcomes
        task = asyncio.ensure_future(consume())
        self.left = dies_after
        await self.enough.wait()
        assert self.store is not None
        self.store.die()
        self.disk.reread()
        task.cancel()
        await asyncio.wait({task})
        return outcomes

    def _open(self, meta: Mapping[str, str]) -> SimulatedStore:
        self.store = SimulatedStore(self.disk, meta, rng=random.Random(1))
        return self.store


def records(count: int, body: str = "x" * 400) -> list[dict[str, str]]:
    return [{KEY: f"k{number}", "body": body} for number in range(count)]


def test_records_of_one_id_keep_their_order_when_a_job_goes_on() -> None:
    """A record that was in doubt goes before a later one of the same key, which the journal does not know yet
    (keyed, seed 145)."""

    async def scenario(rng: random.Random) -> None:
        scene = Scene(name="upsert", inputs=Inputs.upsert(id_property=KEY), doubt=Doubt.REPEAT, unique_keys=False)
        source = [*records(3), {KEY: "k0", "body": "newer"}]
        await scene.run(source[:3], dies_after=1)
        await scene.run(source)
        assert scene.known["k0"].properties["body"] == "newer"

    run_virtual(scenario)


def test_what_was_in_doubt_before_and_is_not_reached_now_is_ambiguous() -> None:
    """A run that ends early does not call a record unsent that an earlier run had sent (keyed, seed 188)."""

    async def scenario(rng: random.Random) -> None:
        scene = Scene()
        await scene.run(records(31), workers=16, dies_after=16)
        scene.answer = lambda inputs: Unauthorized("expired", status=401)
        reached = {key for names in scene.sent for key in names}
        outcomes: list[Outcome[Any]] = []
        with pytest.raises(Unauthorized):
            await scene.run(records(31), outcomes=outcomes)
        assert "k30" in reached
        assert [o.ordinal for o in outcomes if isinstance(o, NotSent) and o.record[KEY] in reached] == []

    run_virtual(scenario)


def test_a_batch_that_was_refused_for_one_key_is_not_refused_for_another() -> None:
    """A record that the look after a 409 passes over in silence is sent again, not rejected (keyed, seed 44)."""

    async def scenario(rng: random.Random) -> None:
        scene = Scene()
        scene.known["k0"] = Meeting(id="900", properties={KEY: "k0", "body": "short"})
        scene.silent = {"k1"}

        def answer(inputs: list[dict[str, Any]]) -> HubSpotError | None:
            taken = any(given["properties"][KEY] in scene.known for given in inputs)
            return Conflict("k0 is taken", status=409) if taken else None

        scene.answer = answer
        outcomes = await scene.run(records(2, body="short"))
        assert [type(outcome) for outcome in outcomes] == [Created, Created]

    run_virtual(scenario)


def test_a_second_record_of_a_key_is_one_also_if_an_earlier_run_had_the_first() -> None:
    """The key of a record that an earlier run has settled is remembered (keyed, seed 11)."""

    async def scenario(rng: random.Random) -> None:
        scene = Scene()
        await scene.run(records(3))
        scene.disk.rows.pop()  # as if the source had not ended there
        scene.disk.reread()
        outcomes = await scene.run([*records(3), {KEY: "k1", "body": "another"}])
        (outcome,) = outcomes
        assert isinstance(outcome, Rejected)
        assert "duplicate_key_in_input" in str(outcome.error)

    run_virtual(scenario)


@pytest.mark.parametrize("mode", ["reconcile", "repeat"])
@pytest.mark.parametrize("at", [0, 5])
@pytest.mark.parametrize("dies", [False, True])
def test_a_poison_record_at_the_start_does_not_keep_the_others_from_their_turn(mode: str, at: int, dies: bool) -> None:
    """HubSpot fails on one record of the first batch: the others go through, also in the next run (keyed, seed 14)."""

    async def scenario(rng: random.Random) -> None:
        scene = Scene()
        if mode == "repeat":
            scene = Scene(name="upsert", inputs=Inputs.upsert(id_property=KEY), doubt=Doubt.REPEAT, unique_keys=False)

        def answer(inputs: list[dict[str, Any]]) -> HubSpotError | None:
            sick = any("poison" in given["properties"] for given in inputs)
            return HubSpotUnavailable("fails", status=500) if sick else None

        scene.answer = answer
        source = [{KEY: f"k{number}"} for number in range(64)]
        source[at]["poison"] = "1"
        if dies:
            await scene.run(source, dies_after=1)
        outcomes = await scene.run(source, max_batch_bytes=1_000_000)
        by_key = {outcome.record[KEY]: outcome for outcome in outcomes}
        assert all(isinstance(by_key[f"k{number}"], (Created, Updated)) for number in range(64) if number != at)
        assert isinstance(by_key[f"k{at}"], (Rejected, Ambiguous))

    run_virtual(scenario)


def test_a_conflict_with_itself_is_no_conflict() -> None:
    """A middlebox sent the batch twice, and the second answer arrives: with `on_existing="reject"` too, the records are
    created (keyed, seed 57)."""

    async def scenario(rng: random.Random) -> None:
        scene = Scene(accept_existing=False)

        def answer(inputs: list[dict[str, Any]]) -> HubSpotError | None:
            for given in inputs:
                key = given["properties"][KEY]
                scene.known[key] = Meeting(id=key[1:], properties=given["properties"])
            return Conflict("taken", status=409)

        scene.answer = answer
        outcomes = await scene.run(records(2, body="short"))
        assert [type(outcome) for outcome in outcomes] == [Created, Created]

    run_virtual(scenario)


@pytest.mark.parametrize("ordinals", [[12, 17, 30, 15], [10, 3, 12], [5], [5, 6, 7], [7, 6], [4, 4, 6]])
def test_ordinals_out_of_order_come_back_as_they_were(ordinals: list[int]) -> None:
    """A batch whose ends look like a range, and which is none, is not written as one (keyed, seed 233)."""
    assert list(unpack(pack(ordinals))) == ordinals


def test_a_result_that_names_two_records_proves_nothing() -> None:
    """Trace id of one, id of the other: neither update is told as done by it (update, seed 3)."""
    form = Inputs.update(id_property=None)
    entries = [form.entry(number, {"id": str(number), "a": "b"}, f"t{number}") for number in range(2)]
    liar = Meeting(id="1", object_write_trace_id="t0")
    answer: BatchResponse[Meeting] = BatchResponse(status="COMPLETE", results=(liar,))
    outcomes, again, *_ = settle_answer("update", entries, answer)
    assert (outcomes, again) == ([], entries)


def test_one_meeting_is_not_two_records_of_an_upsert() -> None:
    """Two results with one id: which record has it, nobody knows (upsert, seed 79)."""
    form = Inputs.upsert(id_property=KEY)
    entries = [form.entry(number, {KEY: f"k{number}"}, f"t{number}") for number in range(2)]
    keys: list[dict[str, str | None]] = [{KEY: "k0"}, {KEY: "k1"}]
    results = tuple(UpsertedMeeting(id="5", properties=key, new=True) for key in keys)
    answer: BatchResponse[Meeting] = BatchResponse(status="COMPLETE", results=results)
    outcomes, *_ = settle_answer("upsert", entries, answer, id_property=KEY)
    assert [type(outcome) for outcome in outcomes] == [Ambiguous, Ambiguous]


def test_an_update_in_doubt_does_not_overwrite_a_later_one_of_its_id() -> None:
    """A resumed run that sends an old value of an id again sends the newer ones again, too (update, seed 8)."""

    async def scenario(rng: random.Random) -> None:
        scene = Scene(name="upsert", inputs=Inputs.upsert(id_property=KEY), doubt=Doubt.REPEAT, unique_keys=False)
        lost = True

        def answer(inputs: list[dict[str, Any]]) -> HubSpotError | None:
            nonlocal lost
            lost, now = False, lost
            return HubSpotUnavailable("lost", status=502) if now else None

        scene.answer = answer
        source = [{KEY: "k0", "body": "old"}, {KEY: "k0", "body": "new"}]
        await scene.run(source, delivery_timeout_s=0.15)
        outcomes = await scene.run(source)
        assert [outcome.ordinal for outcome in outcomes] == [0, 1]
        assert scene.known["k0"].properties["body"] == "new"

    run_virtual(scenario)


def test_final_verification_looks_at_what_follows_an_update_that_was_given_up() -> None:
    """An update whose time was over lands late, over a newer one: `verify="final"` repairs that (upsert, seed 298)."""

    async def scenario(rng: random.Random) -> None:
        scene = Scene(name="upsert", inputs=Inputs.upsert(id_property=KEY), doubt=Doubt.REPEAT, unique_keys=False)
        slow = True

        async def send(body: bytes, trail: Trail) -> BatchResponse[Meeting]:
            nonlocal slow
            if slow:
                slow = False
                trail.in_doubt = True
                await anyio.sleep(30)
            return await scene.send(body, trail)

        async def read_back(ids: Sequence[str], properties: Sequence[str]) -> BatchResponse[Meeting]:
            stored = scene.known["k0"]
            if len(scene.sent) == 1:  # by now, the first has landed
                stored = Meeting(id=stored.id, properties={KEY: "k0", "body": "old"})
            return BatchResponse(status="COMPLETE", results=(stored,))

        changed = {"send": send, "settle_s": 60.0, "verify": "final", "read_back": read_back}
        scene.operation = msgspec.structs.replace(scene.operation, **changed)
        await scene.run([{KEY: "k0", "body": "old"}, {KEY: "k0", "body": "new"}], delivery_timeout_s=5)
        assert len(scene.sent) == 2

    run_virtual(scenario)


def test_an_update_that_was_not_sent_does_not_overwrite_a_later_one_of_its_id() -> None:
    """One whose time was over before it left goes with the next run, and the newer ones after it (update, seed 32)."""

    async def scenario(rng: random.Random) -> None:
        scene = Scene(name="upsert", inputs=Inputs.upsert(id_property=KEY), doubt=Doubt.REPEAT, unique_keys=False)
        calls = 0

        async def send(body: bytes, trail: Trail) -> BatchResponse[Meeting]:
            nonlocal calls
            calls += 1
            if calls == 1:
                await anyio.sleep(30)
            return await scene.send(body, trail)

        scene.operation = msgspec.structs.replace(scene.operation, send=send)
        source = [{KEY: "k0", "body": "old"}, {KEY: "k0", "body": "new"}]
        first = await scene.run(source, delivery_timeout_s=5)
        assert [type(outcome) for outcome in first] == [NotSent, Updated]
        await scene.run(source)
        assert scene.known["k0"].properties["body"] == "new"

    run_virtual(scenario)


def test_a_stray_result_is_not_taken_for_a_record_that_failed() -> None:
    """An error that names nobody and a result that is nobody's: neither is tied to the other (upsert, seed 516)."""
    form = Inputs.upsert(id_property=KEY)
    entries = [form.entry(number, {KEY: f"k{number}"}, f"t{number}") for number in range(2)]
    key: dict[str, str | None] = {KEY: "k0"}
    results = (UpsertedMeeting(id="5", properties=key, new=True), UpsertedMeeting(id="77"))
    errors = (BatchError(message="bad", category="VALIDATION_ERROR"),)
    answer: BatchResponse[Meeting] = BatchResponse(status="COMPLETE", results=results, errors=errors)
    outcomes, *_ = settle_answer("upsert", entries, answer, id_property=KEY)
    assert all(not isinstance(outcome, (Created, Updated)) or outcome.meeting.id == "5" for outcome in outcomes)


def test_the_last_batch_is_verified_while_the_journal_still_writes_it_down() -> None:
    """The look at the end waits for no disk: a doubt in the last batch is known to it (upsert, seed 298)."""

    async def scenario(rng: random.Random) -> None:
        scene = Scene(name="upsert", inputs=Inputs.upsert(id_property=KEY), doubt=Doubt.REPEAT, unique_keys=False)
        scene.disk = Disk(power=True)
        looked: list[Sequence[str]] = []

        async def read_back(ids: Sequence[str], properties: Sequence[str]) -> BatchResponse[Meeting]:
            looked.append(ids)
            return BatchResponse(status="COMPLETE", results=(scene.known["k0"],))

        def answer(inputs: list[dict[str, Any]]) -> HubSpotError | None:
            return HubSpotUnavailable("lost", status=502) if len(scene.sent) == 1 else None

        scene.answer = answer
        changed = {"settle_s": 60.0, "verify": "final", "read_back": read_back}
        scene.operation = msgspec.structs.replace(scene.operation, **changed)
        await scene.run([{KEY: "k0", "body": "new"}])
        assert looked == [["1"]]

    run_virtual(scenario)


def test_a_record_whose_key_is_taken_and_that_nobody_could_look_for_is_ambiguous() -> None:
    """The batch traveled twice, and the conflict with itself is all that is known of it (keyed, seed 1753)."""

    async def scenario(rng: random.Random) -> None:
        scene = Scene()

        async def find(keys: Sequence[str], *, properties: Sequence[str], trail: Trail) -> Found:
            await anyio.sleep(3_600)
            raise AssertionError

        scene.operation = msgspec.structs.replace(scene.operation, find=find)
        scene.answer = lambda inputs: Conflict("taken", status=409)
        outcomes = await scene.run(records(2), delivery_timeout_s=5)
        assert [type(outcome) for outcome in outcomes] == [Ambiguous, Ambiguous]

    run_virtual(scenario)


def test_a_repair_sends_no_value_that_a_later_one_overwrites() -> None:
    """A repair that fails half way must not leave an old value behind (upsert, seed 5575)."""

    async def scenario(rng: random.Random) -> None:
        scene = Scene(name="upsert", inputs=Inputs.upsert(id_property=KEY), doubt=Doubt.REPEAT, unique_keys=False)

        async def read_back(ids: Sequence[str], properties: Sequence[str]) -> BatchResponse[Meeting]:
            body = "old" if len(bodies) == 3 else "new"
            values: dict[str, str | None] = {KEY: "k0", "body": body}
            stored = Meeting(id=ids[0], properties=values)
            return BatchResponse(status="COMPLETE", results=(stored,))

        bodies: list[str] = []

        def answer(inputs: list[dict[str, Any]]) -> HubSpotError | None:
            bodies.append(inputs[0]["properties"]["body"])
            return HubSpotUnavailable("lost", status=502) if len(bodies) == 1 else None

        scene.answer = answer
        changed = {"settle_s": 60.0, "verify": "final", "read_back": read_back}
        scene.operation = msgspec.structs.replace(scene.operation, **changed)
        await scene.run([{KEY: "k0", "body": "old"}, {KEY: "k0", "body": "new"}])
        assert bodies == ["old", "old", "new", "new"]

    run_virtual(scenario)


def test_a_record_in_doubt_that_clashes_by_another_value_is_rejected_in_the_end() -> None:
    """Its answer was lost once, and it is refused for ever: not sent again and again (keyed, seed 11)."""

    async def scenario(rng: random.Random) -> None:
        scene = Scene()
        conflict = BatchError(message="another value is taken", category="CONFLICT")

        async def send(body: bytes, trail: Trail) -> BatchResponse[Meeting]:
            scene.sent.append([])
            if len(scene.sent) == 1:
                raise HubSpotUnavailable("lost", status=502)
            trace_id = msgspec.json.decode(body)["inputs"][0]["objectWriteTraceId"]
            error = msgspec.structs.replace(conflict, context={"objectWriteTraceId": [trace_id]})
            return BatchResponse(status="COMPLETE", results=(), errors=(error,), num_errors=1)

        scene.operation = msgspec.structs.replace(scene.operation, send=send)
        outcomes = await scene.run(records(1))
        assert [type(outcome) for outcome in outcomes] == [Rejected]
        assert len(scene.sent) <= 3

    run_virtual(scenario)


def test_an_order_that_is_to_be_restored_is_restored_after_another_crash() -> None:
    """The run that sends an old value again dies before it has sent the newer one again: the next one does
    (update, seed 174)."""

    async def scenario(rng: random.Random) -> None:
        scene = Scene(name="upsert", inputs=Inputs.upsert(id_property=KEY), doubt=Doubt.REPEAT, unique_keys=False)
        scene.answer = lambda inputs: HubSpotUnavailable("lost", status=502) if len(scene.sent) == 1 else None
        source = [{KEY: "k0", "body": "old"}, {KEY: "k0", "body": "new"}]
        await scene.run(source, delivery_timeout_s=0.15)
        assert len(scene.sent) == 2
        await scene.run(source, dies_after=4)
        assert scene.known["k0"].properties["body"] == "old"
        await scene.run(source)
        assert scene.known["k0"].properties["body"] == "new"

    run_virtual(scenario)
