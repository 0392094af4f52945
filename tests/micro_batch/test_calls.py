"""What a task gets from its call, against the emulator over real sockets."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from msgspec import Struct

from hubspot_meetings_async import (
    AmbiguousWriteError,
    ConfigurationError,
    Conflict,
    HubSpotUnavailable,
    InvalidRecord,
    Meeting,
    MeetingProperties,
    MeetingsClient,
    NoLimit,
    NotFound,
    RequestRejected,
    Unauthorized,
    to_contact,
)
from hubspot_meetings_async.emulator import Emulator, Fault

from ..conftest import SWIFT


def titled(number: object, **more: str) -> dict[str, str]:
    return {"hs_meeting_title": f"meeting {number}", **more}


class MyMeeting(Struct, frozen=True):
    hs_meeting_title: str
    booking_ref: str | None = None


class TestEachGetsItsOwn:
    async def test_100_handlers_cost_one_request(self, client: MeetingsClient, emulator: Emulator) -> None:
        """A hundred tasks that create at the same time: one request, and each has its own meeting."""
        async with client.micro_batch() as batch:
            meetings = await asyncio.gather(*(batch.create(titled(number)) for number in range(100)))
        assert [m.properties["hs_meeting_title"] for m in meetings] == [f"meeting {n}" for n in range(100)]
        assert len({m.id for m in meetings}) == 100
        assert emulator.stats().requests == 1

    async def test_a_single_call_goes_by_itself(self, client: MeetingsClient, emulator: Emulator) -> None:
        """Nobody else has to come."""
        async with client.micro_batch() as batch:
            meeting = await batch.create(MeetingProperties(hs_meeting_title="alone"))
        assert meeting.properties["hs_meeting_title"] == "alone"
        assert emulator.stats().requests == 1

    async def test_one_bad_record_fails_alone(self, client: MeetingsClient) -> None:
        """The others of its batch are created."""
        async with client.micro_batch() as batch:
            calls = [batch.create(titled(n, **({"nope": "1"} if n == 7 else {}))) for n in range(20)]
            results = await asyncio.gather(*calls, return_exceptions=True)
        assert [n for n, result in enumerate(results) if isinstance(result, RequestRejected)] == [7]
        assert all(isinstance(result, Meeting) for n, result in enumerate(results) if n != 7)

    async def test_what_can_not_be_sent_is_said_at_once(self, client: MeetingsClient, emulator: Emulator) -> None:
        """InvalidRecord comes before anything travels."""
        async with client.micro_batch(key_property="booking_ref", max_bytes=1_000) as batch:
            with pytest.raises(InvalidRecord, match="booking_ref"):
                await batch.create(titled(1))
            with pytest.raises(InvalidRecord, match="max_bytes"):
                await batch.create(titled("x" * 2_000, booking_ref="a"))
            with pytest.raises(InvalidRecord, match="1-20 digits"):
                await batch.update("../501", titled(1))
        assert emulator.stats().requests == 0

    async def test_associations_travel_along(self, client: MeetingsClient, emulator: Emulator) -> None:
        """A create sets its links."""
        contact = emulator.portal.add_object("contacts", properties={"email": "a@example.com"})
        async with client.micro_batch() as batch:
            made = await batch.create(titled(1), associations=[to_contact(contact)])
        read = await client.meetings.get(made.id, associations=["contacts"])
        assert read.associations is not None
        assert [one.id for one in read.associations["contacts"].results] == [str(contact)]


class TestOperations:
    async def test_update_upsert_read_archive(self, client: MeetingsClient, emulator: Emulator) -> None:
        """Each by id or by a unique property, each kind in its own requests."""
        async with client.micro_batch() as batch:
            made = await batch.create(titled(1, booking_ref="a"))
            updated = await batch.update(made.id, titled(2))
            by_key = await batch.update("a", titled(3), id_property="booking_ref")
            again = await batch.upsert("a", titled(4), id_property="booking_ref")
            new = await batch.upsert("b", titled(5), id_property="booking_ref")
            read = await batch.read("b", properties=["hs_meeting_title"], id_property="booking_ref")
            await batch.archive(made.id)
            binned = await batch.read(made.id, archived=True)
        assert [updated.id, by_key.id, again.id, binned.id] == [made.id] * 4
        assert (again.new, new.new) == (False, True)
        assert (read.id, read.properties["hs_meeting_title"]) == (new.id, "meeting 5")
        assert emulator.stats().requests == 8

    async def test_into(self, client: MeetingsClient) -> None:
        """Reads give the caller's Struct; what does not fit is this caller's error alone."""

        class Odd(Struct):
            hs_meeting_title: int
            booking_ref: str | None = None

        async with client.micro_batch() as batch:
            made = await batch.create(titled(1, booking_ref="a"))
            fine, odd = await asyncio.gather(
                batch.read(made.id, into=MyMeeting), batch.read(made.id, into=Odd), return_exceptions=True
            )
        assert isinstance(fine, Meeting)
        assert fine.properties == MyMeeting("meeting 1", "a")
        assert "hs_meeting_title" in str(odd)

    async def test_the_same_read_is_shared(self, client: MeetingsClient, emulator: Emulator) -> None:
        """A hundred tasks that read three meetings send three inputs; the missing one is each one's own NotFound."""
        async with client.micro_batch() as batch:
            made = [await batch.create(titled(n)) for n in range(2)]
            before = emulator.stats().requests
            ids = [made[0].id, made[1].id, "999"]
            results = await asyncio.gather(*(batch.read(ids[n % 3]) for n in range(99)), return_exceptions=True)
        assert [getattr(result, "id", None) for result in results[:3]] == [made[0].id, made[1].id, None]
        missing = [result for result in results if isinstance(result, NotFound)]
        assert len(missing) == len({id(error) for error in missing}) == 33
        assert emulator.stats().requests == before + 1

    async def test_writes_of_one_id_keep_their_order(self, client: MeetingsClient) -> None:
        """Also across operations: the last one submitted is what remains."""
        async with client.micro_batch() as batch:
            made = await batch.create(titled(0))
            results = await asyncio.gather(
                *(batch.update(made.id, titled(n)) for n in range(1, 6)),
                batch.archive(made.id),
                batch.update(made.id, titled("late")),
                return_exceptions=True,
            )
        assert [r.properties["hs_meeting_title"] for r in results[:5] if isinstance(r, Meeting)] == [
            f"meeting {n}" for n in range(1, 6)
        ]
        assert results[5] is None
        assert isinstance(results[6], NotFound)

    async def test_a_key_that_is_taken(self, client: MeetingsClient) -> None:
        """Conflict, also for the second of two at the same time; the first one's meeting stands."""
        async with client.micro_batch(key_property="booking_ref") as batch:
            first, second = await asyncio.gather(
                batch.create(titled(1, booking_ref="a")),
                batch.create(titled(2, booking_ref="a")),
                return_exceptions=True,
            )
            with pytest.raises(Conflict):
                await batch.create(titled(1, booking_ref="a"))
        assert isinstance(first, Meeting)
        assert isinstance(second, Conflict)
        assert first.id in str(second)


class TestLostAnswers:
    async def test_a_create_without_a_key_is_ambiguous(self, client: MeetingsClient, emulator: Emulator) -> None:
        """Each caller is told so, and nothing is sent again."""
        emulator.faults.strike_next(Fault(kind="reset", applied=True))
        async with client.micro_batch() as batch:
            results = await asyncio.gather(*(batch.create(titled(n)) for n in range(5)), return_exceptions=True)
        assert [type(result) for result in results] == [AmbiguousWriteError] * 5
        assert len({id(result) for result in results}) == 5
        assert len(emulator.portal.meetings.store) == 5

    @pytest.mark.parametrize("applied_inputs", [0, 3, 5])
    async def test_a_create_with_a_key_is_looked_up(
        self, client: MeetingsClient, emulator: Emulator, applied_inputs: int
    ) -> None:
        """What is there is found, what is missing is sent again, and each exists once."""
        async with client.micro_batch(key_property="booking_ref") as batch:
            await batch.create(titled("first", booking_ref="first"))
            emulator.faults.strike_next(Fault(status=502, applied=True, applied_inputs=applied_inputs))
            meetings = await asyncio.gather(*(batch.create(titled(n, booking_ref=f"b{n}")) for n in range(5)))
        assert [m.properties["booking_ref"] for m in meetings] == [f"b{n}" for n in range(5)]
        assert len(emulator.portal.meetings.store) == 6

    async def test_what_may_be_repeated_is_repeated(self, client: MeetingsClient, emulator: Emulator) -> None:
        """An update whose answer was lost is sent again."""
        async with client.micro_batch() as batch:
            made = await batch.create(titled(0))
            emulator.faults.strike_next(Fault(kind="reset", applied=True))
            updated = await batch.update(made.id, titled(1))
        assert updated.properties["hs_meeting_title"] == "meeting 1"

    async def test_refused_batches_are_halved(self, client: MeetingsClient, emulator: Emulator) -> None:
        """A 400 for the whole batch is not the answer to each of its records."""
        emulator.faults.strike_next(Fault(status=400, message="something in it is wrong"))
        async with client.micro_batch() as batch:
            meetings = await asyncio.gather(*(batch.create(titled(n)) for n in range(8)))
        assert len({m.id for m in meetings}) == 8

    async def test_a_bad_token_is_told_to_each(self, emulator: Emulator) -> None:
        """And the batcher goes on: it is not a run that ends."""
        emulator.faults.strike_next(Fault(status=401), times=2)
        async with (
            MeetingsClient("t", base_url=emulator.url, limiter=NoLimit(), retry=SWIFT) as client,
            client.micro_batch() as batch,
        ):
            results = await asyncio.gather(*(batch.create(titled(n)) for n in range(3)), return_exceptions=True)
            assert [type(result) for result in results[:2]] == [Unauthorized] * 2
            emulator.faults.clear()
            assert (await batch.create(titled(4))).properties["hs_meeting_title"] == "meeting 4"

    async def test_hubspot_down(self, emulator: Emulator) -> None:
        """Reads that never succeed end with what was seen, in each caller's own error."""
        async with (
            MeetingsClient("t", base_url=emulator.url, limiter=NoLimit(), retry=SWIFT) as client,
            client.micro_batch() as batch,
        ):
            emulator.faults.strike_next(Fault(status=503), times=50)
            with pytest.raises(HubSpotUnavailable):
                await batch.read("501")


class TestLifetime:
    async def test_it_must_be_open(self, client: MeetingsClient) -> None:
        """Before and after its block, a call says what to do."""
        batch = client.micro_batch()
        with pytest.raises(ConfigurationError, match="async with"):
            await batch.create(titled(1))
        async with batch:
            pass
        with pytest.raises(ConfigurationError, match="closed"):
            await batch.create(titled(1))
        with pytest.raises(ConfigurationError, match="opened once"):
            await batch.__aenter__()
        assert "closed" in repr(batch)

    async def test_closing_sends_what_was_submitted(self, client: MeetingsClient, emulator: Emulator) -> None:
        """At once, not after the linger; parked writes of one id too."""
        made = await client.meetings.create(titled(0))
        async with asyncio.TaskGroup() as tasks:
            async with client.micro_batch(linger_s=3_600) as batch:
                calls: list[asyncio.Task[Any]] = [tasks.create_task(batch.create(titled(n))) for n in range(3)]
                calls += [tasks.create_task(batch.update(made.id, titled(n))) for n in range(3)]
                await asyncio.sleep(0)
            assert all(call.done() for call in calls)
        assert [call.result().properties["hs_meeting_title"] for call in calls] == [
            *(f"meeting {n}" for n in range(3)),
            *(f"meeting {n}" for n in range(3)),
        ]

    async def test_an_error_of_the_block_comes_out_as_itself(self, client: MeetingsClient) -> None:
        """Not in an ExceptionGroup."""
        with pytest.raises(ZeroDivisionError):
            async with client.micro_batch():
                _ = 1 / 0

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({"linger_s": -1}, "linger_s"),
            ({"linger_s": True}, "linger_s"),
            ({"linger_s": float("nan")}, "linger_s"),
            ({"max_inputs": 101}, "1-100"),
            ({"max_inputs": 0}, "1-100"),
            ({"max_bytes": 10}, "max_bytes"),
            ({"on_ambiguous": "probe", "key_property": "booking_ref"}, "search index"),
            ({"on_ambiguous": "reconcile"}, "key_property"),
            ({"on_ambiguous": "no"}, "on_ambiguous"),
            ({"key_property": 3}, "key_property"),
        ],
    )
    def test_wrong_options(self, options: dict[str, Any], words: str) -> None:
        """Said at once, in words."""
        with pytest.raises(ConfigurationError, match=words):
            MeetingsClient("t").micro_batch(**options)

    async def test_wrong_arguments(self, client: MeetingsClient) -> None:
        """Said to who gave them; nobody else is disturbed."""
        async with client.micro_batch() as batch:
            with pytest.raises(ConfigurationError, match="not both"):
                await batch.read("501", properties=["a"], into=MyMeeting)  # type: ignore[call-overload]
            with pytest.raises(ConfigurationError, match="list of names"):
                await batch.read("501", properties="hs_meeting_title")
            with pytest.raises(ConfigurationError, match="id_property"):
                await batch.upsert("501", {}, id_property="")
            with pytest.raises(InvalidRecord):
                await batch.create("title")  # type: ignore[arg-type]

    async def test_a_key_property_that_is_not_unique(self, client: MeetingsClient) -> None:
        """Each create says so; nothing was sent."""
        async with client.micro_batch(key_property="hs_meeting_body") as batch:
            calls = [batch.create(titled(n, hs_meeting_body=f"{n}")) for n in range(2)]
            results = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(result) for result in results] == [ConfigurationError] * 2

    def test_it_belongs_to_its_loop(self, emulator_url: str) -> None:
        """Another loop is told, instead of waiting for ever."""
        client = MeetingsClient("t", base_url=emulator_url, limiter=NoLimit())

        async def opened() -> Any:
            batch = client.micro_batch()
            await batch.__aenter__()
            other = asyncio.new_event_loop()
            try:
                with pytest.raises(ConfigurationError, match="another event loop"):
                    await asyncio.to_thread(lambda: other.run_until_complete(batch.archive(501)))
            finally:
                other.close()
                await batch.__aexit__(None, None, None)
                await client.aclose()

        asyncio.run(opened())


@pytest.fixture
def emulator_url() -> str:
    """An address at which nobody has to listen."""
    return "http://127.0.0.1:9"
