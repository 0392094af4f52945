"""Definitions of properties, and problems named before a call is spent."""

import random
from collections.abc import Mapping
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Any

import anyio
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubspot_meetings_async import MeetingProperties, MeetingsClient, Record
from hubspot_meetings_async.emulator import Emulator, Portal
from hubspot_meetings_async.emulator.refusals import Refusal
from hubspot_meetings_async.errors import (
    AmbiguousWriteError,
    ConfigurationError,
    Conflict,
    DeadlineExceeded,
    HubSpotUnavailable,
    InvalidRecord,
    NotFound,
    RequestRejected,
)
from hubspot_meetings_async.models import (
    ModificationMetadata,
    Page,
    PropertyDefinition,
    PropertyOption,
    property_values,
)
from hubspot_meetings_async.properties.resource import MAX_UNIQUE, Properties, check
from hubspot_meetings_async.wire import Replay, Request, Trail

from .virtual_time import run_virtual

PATHS = {
    "v3": "/crm/v3/properties/meetings",
    "2026-03": "/crm/properties/2026-03/0-47",
    "2026-09": "/crm/properties/2026-09/0-47",
}


def of(client: MeetingsClient, api_version: str, **options: Any) -> Properties:
    """The definitions over a client's connection."""
    return Properties(client.meetings._call, api_version=api_version, **options)


def account() -> Portal:
    """An account with a property of each type."""
    portal = Portal()
    portal.add_property("seats", type="number")
    portal.add_property("day", type="date")
    portal.add_property("paid", type="bool")
    portal.add_property("rooms", type="enumeration", options=["red", "blue"])
    return portal


def definitions_of(portal: Portal) -> Mapping[str, PropertyDefinition]:
    """What the account's properties endpoint would answer, read as the client reads it."""
    body = msgspec.json.encode({"results": list(portal.meetings.book)})
    page = msgspec.json.decode(body, type=Page[PropertyDefinition])
    return {definition.name: definition for definition in page.results}


PORTAL = account()
KNOWN = definitions_of(PORTAL)


def codes(record: object, known: Mapping[str, PropertyDefinition] = KNOWN) -> list[tuple[str, str]]:
    return [(problem.property_name, problem.code) for problem in check(record, known)]


def refused(properties: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What the emulator finds wrong with properties in the form they are sent in."""
    try:
        PORTAL.meetings.book.screen(properties)
    except Refusal as refusal:
        return [(error["context"]["propertyName"][0], error["code"]) for error in refusal.errors or ()]
    return []


class TestDefinitions:
    async def test_all(self, client: MeetingsClient, api_version: str, emulator: Emulator) -> None:
        """Every property of the account, typed, in one request however often it is asked for."""
        properties = of(client, api_version)
        known = await properties.all()
        outcome = known["hs_meeting_outcome"]
        assert (outcome.type, outcome.field_type, outcome.writable) == ("enumeration", "select", True)
        assert outcome.allowed == ("SCHEDULED", "COMPLETED", "RESCHEDULED", "NO_SHOW", "CANCELED")
        assert known["booking_ref"].has_unique_value is True
        assert not known["hs_object_id"].writable
        assert not known["hs_outcome_no_show_count"].writable
        assert known["hubspot_owner_id"].allowed is None
        assert await properties.get("booking_ref") == known["booking_ref"]
        assert await properties.all() is known
        assert [entry.path for entry in emulator.recent_requests] == [PATHS[api_version]]

    async def test_get_of_a_new_one(self, client: MeetingsClient, api_version: str, emulator: Emulator) -> None:
        """A property made elsewhere since is found by its name; one that is not there is `NotFound`."""
        properties = of(client, api_version)
        await properties.all()
        emulator.portal.add_property("seats", type="number")
        assert (await properties.get("seats")).type == "number"
        assert "seats" not in await properties.all()
        assert "seats" in await properties.refresh()
        with pytest.raises(NotFound):
            await properties.get("nope")
        with pytest.raises(InvalidRecord):
            await properties.get("..")

    def test_what_hubspot_leaves_out(self) -> None:
        """A definition with nothing but a name is read, and nothing is claimed of it."""
        known = msgspec.json.decode(b'{"name":"x","options":null,"modificationMetadata":null}', type=PropertyDefinition)
        assert known.writable
        assert known.allowed is None
        assert codes({"x": "anything"}, {"x": known}) == []

    def test_not_writable(self) -> None:
        for flags in (
            {"calculated": True},
            {"archived": True},
            {"modification_metadata": ModificationMetadata(read_only_value=True)},
        ):
            assert not PropertyDefinition(name="x", **flags).writable
        assert PropertyDefinition(
            name="x", modification_metadata=ModificationMetadata(read_only_definition=True)
        ).writable

    def test_versions(self) -> None:
        with pytest.raises(ConfigurationError, match="api_version"):
            Properties(Slow(), api_version="v4")


class Slow:
    """A `Call` that takes ten seconds, and answers one definition named after the request's number, or an error."""

    def __init__(self, *failing: int) -> None:
        self.requests = 0
        self._failing = failing

    async def __call__(self, request: Request[Any], trail: Trail | None = None) -> Any:
        self.requests += 1
        number = self.requests
        await anyio.sleep(10)
        if number in self._failing:
            raise HubSpotUnavailable(f"failure {number}", status=503)
        if request.method == "POST":
            return PropertyDefinition(name="made")
        return Page(results=(PropertyDefinition(name=f"answer_{number}"),))


class TestKeeping:
    def test_one_request_for_all_tasks(self) -> None:
        """A thousand tasks at once make one request; after `keep_s` the next one makes another."""

        async def scenario(rng: random.Random) -> tuple[set[str], int, int]:
            call = Slow()
            properties = Properties(call, api_version="v3", keep_s=60)
            seen: set[str] = set()

            async def one() -> None:
                await anyio.sleep(rng.uniform(0, 9))
                seen.update(await properties.all())

            async with anyio.create_task_group() as tasks:
                for _ in range(1000):
                    tasks.start_soon(one)
            first = call.requests
            await anyio.sleep(49)
            await properties.all()
            assert call.requests == first
            await anyio.sleep(12)
            seen.update(await properties.all())
            return seen, first, call.requests

        assert run_virtual(scenario) == ({"answer_1", "answer_2"}, 1, 2)

    def test_a_shared_failure(self) -> None:
        """Who waits for a request that fails is told so at once, each by an error of its own; the next task asks
        anew."""

        async def scenario(rng: random.Random) -> tuple[int, int, list[str]]:
            call = Slow(1)
            properties = Properties(call, api_version="v3")
            errors: list[HubSpotUnavailable] = []

            async def one() -> None:
                await anyio.sleep(rng.uniform(0, 9))
                with pytest.raises(HubSpotUnavailable, match="failure 1") as caught:
                    await properties.all()
                errors.append(caught.value)

            async with anyio.create_task_group() as tasks:
                for _ in range(50):
                    tasks.start_soon(one)
            return len({id(error) for error in errors}), call.requests, list(await properties.all())

        assert run_virtual(scenario) == (50, 1, ["answer_2"])

    def test_somebody_elses_deadline(self) -> None:
        """Whose time is over while the others wait for his request fails alone: they ask anew."""

        class Late(Slow):
            async def __call__(self, request: Request[Any], trail: Trail | None = None) -> Any:
                if self.requests == 0:
                    self.requests += 1
                    await anyio.sleep(1)
                    raise DeadlineExceeded("late", sent=True, timeout=True)
                return await super().__call__(request, trail)

        async def scenario(rng: random.Random) -> list[object]:
            properties = Properties(Late(), api_version="v3")
            told: list[object] = []

            async def one() -> None:
                try:
                    told.append(list(await properties.all()))
                except DeadlineExceeded:
                    told.append("late")

            async with anyio.create_task_group() as tasks:
                for _ in range(3):
                    tasks.start_soon(one)
            return told

        assert run_virtual(scenario) == ["late", ["answer_2"], ["answer_2"]]

    def test_a_cancelled_reader(self) -> None:
        """When the task that asks is cancelled, one of those that wait asks instead."""

        async def scenario(_: random.Random) -> tuple[list[str], int]:
            call = Slow()
            properties = Properties(call, api_version="v3")
            seen: list[str] = []

            async def one(patience_s: float) -> None:
                with anyio.move_on_after(patience_s):
                    seen.extend(await properties.all())

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(one, 5)
                await anyio.wait_all_tasks_blocked()
                tasks.start_soon(one, 60)
                tasks.start_soon(one, 60)
            return seen, call.requests

        assert run_virtual(scenario) == (["answer_2", "answer_2"], 2)

    def test_refresh_takes_no_older_answer(self) -> None:
        """A request that left before `refresh()` was called may not know what it is called for."""

        async def scenario(_: random.Random) -> list[str]:
            properties = Properties(Slow(), api_version="v3")
            seen: list[str] = []
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(properties.all)
                await anyio.wait_all_tasks_blocked()
                seen.extend(await properties.refresh())
            return seen

        assert run_virtual(scenario) == ["answer_2"]

    def test_create_makes_older_answers_old(self) -> None:
        """A request that was on its way when a property was made is not kept."""

        async def scenario(_: random.Random) -> list[str]:
            properties = Properties(Slow(), api_version="v3")
            async with anyio.create_task_group() as tasks:

                async def create() -> None:
                    await properties.create("made", group_name="g")

                tasks.start_soon(create)
                await anyio.sleep(5)
                tasks.start_soon(properties.all)
            return list(await properties.all())

        assert run_virtual(scenario) == ["answer_3"]


class TestCreate:
    async def test_usual_forms(self, client: MeetingsClient, api_version: str) -> None:
        """What is not said is filled in; the new property is known at once and takes values."""
        properties = of(client, api_version)
        made = await properties.create("room", type="enumeration", options={"r": "Red", "b": "Blue"}, label="Room")
        assert made.allowed == ("r", "b")
        assert made.options is not None
        assert [option.label for option in made.options] == ["Red", "Blue"]
        known = await properties.all()
        assert known["room"].group_name == known["hs_meeting_title"].group_name
        assert (known["room"].field_type, known["room"].label) == ("select", "Room")
        await client.meetings.create({"room": "r"})
        plain = await properties.create("seats", type="number")
        assert (plain.label, plain.has_unique_value, plain.field_type) == ("seats", False, "number")

    async def test_a_name_taken(self, client: MeetingsClient, api_version: str) -> None:
        with pytest.raises(Conflict):
            await of(client, api_version).create("booking_ref")

    @pytest.mark.parametrize("name", ["", "Room", "2nd", "hs_room", "a b", "ä", "a" * 101, None, "a\n"])
    async def test_names_that_can_not_be(self, name: Any) -> None:
        with pytest.raises(ConfigurationError, match="name is lower-case"):
            await Properties(Slow(), api_version="v3").create(name)

    async def test_other_wrong_arguments(self) -> None:
        properties = Properties(Slow(), api_version="v3")
        with pytest.raises(ConfigurationError, match="type must be"):
            await properties.create("a", type="text")
        with pytest.raises(ConfigurationError, match="list of values"):
            await properties.create("a", type="enumeration", options="red", group_name="g")

    async def test_not_repeated(self) -> None:
        """A second create would be refused as if somebody else had made it."""
        asked: list[Request[Any]] = []

        async def call(request: Request[Any], trail: Trail | None = None) -> Any:
            asked.append(request)
            return PropertyDefinition(name="a")

        await Properties(call, api_version="v3").create("a", group_name="g")
        assert [request.replay for request in asked] == [Replay.IF_NOT_DONE]


class TestEnsureKeyProperty:
    async def test_made_once(self, client: MeetingsClient, api_version: str, emulator: Emulator) -> None:
        """It is made unique when it is missing, found from then on, and upserts take it."""
        properties = of(client, api_version)
        made = await properties.ensure_key_property("order_no", label="Order")
        assert (made.has_unique_value, made.type, made.writable, made.label) == (True, "string", True, "Order")
        assert await properties.ensure_key_property("order_no") == (await properties.all())["order_no"]
        assert (await of(client, api_version).ensure_key_property("order_no")).has_unique_value
        assert [entry.method for entry in emulator.recent_requests].count("POST") == 1
        answer = await client.meetings.batch_upsert([{"order_no": "o-1"}], id_property="order_no")
        assert answer.results[0].new is True

    async def test_many_at_once(self, client: MeetingsClient, api_version: str) -> None:
        """Processes that start together all end up with it: the one that is late takes what the other made."""
        found: list[PropertyDefinition] = []

        async def one() -> None:
            found.append(await of(client, api_version).ensure_key_property("order_no"))

        async with anyio.create_task_group() as tasks:
            for _ in range(10):
                tasks.start_soon(one)
        assert [definition.name for definition in found] == ["order_no"] * 10

    async def test_a_lost_answer(self, client: MeetingsClient, api_version: str, emulator: Emulator) -> None:
        """Made or not: the account is looked at; when it was not made, the doubt is raised."""
        emulator.faults.reset_next(operation="properties.create", applied=True)
        assert (await of(client, api_version).ensure_key_property("order_no")).has_unique_value
        emulator.faults.reset_next(operation="properties.create", applied=False)
        with pytest.raises(AmbiguousWriteError):
            await of(client, api_version).ensure_key_property("other_no")

    async def test_there_and_not_fit(self, client: MeetingsClient, api_version: str, emulator: Emulator) -> None:
        """Not unique, or no string: the error says so, and nothing is made."""
        emulator.portal.add_property("plain")
        emulator.portal.add_property("number", type="number", unique=True)
        properties = of(client, api_version)
        with pytest.raises(ConfigurationError, match="'plain' is there and not unique"):
            await properties.ensure_key_property("plain")
        with pytest.raises(ConfigurationError, match="'number' is there as a number"):
            await properties.ensure_key_property("number")
        assert {entry.method for entry in emulator.recent_requests} == {"GET"}

    async def test_no_room(self, client: MeetingsClient, api_version: str, emulator: Emulator) -> None:
        """HubSpot allows ten; the error names those there are. HubSpot's own unique properties do not count."""
        for number in range(MAX_UNIQUE - 2):
            emulator.portal.add_property(f"key_{number}", unique=True)
        properties = of(client, api_version)
        await properties.ensure_key_property("the_tenth")
        with pytest.raises(ConfigurationError, match=r"allows 10; .*booking_ref, key_0, .*the_tenth"):
            await properties.ensure_key_property("the_eleventh")
        assert (await properties.ensure_key_property("key_3")).has_unique_value

    async def test_hubspot_does_not_do_it(self) -> None:
        """A property that comes back as not unique is no key, whatever was asked for."""

        async def call(request: Request[Any], trail: Trail | None = None) -> Any:
            return PropertyDefinition(name="order_no", type="string") if request.method == "POST" else Page(results=())

        with pytest.raises(ConfigurationError, match="not unique"):
            await Properties(call, api_version="v3").ensure_key_property("order_no")


class Room(StrEnum):
    RED = "red"
    GREEN = "green"


class TestCheck:
    def test_nothing_wrong(self) -> None:
        """All forms a record may have, and all forms of values HubSpot reads."""
        start = datetime(2026, 11, 23, 9, tzinfo=UTC)
        typed = MeetingProperties(hs_meeting_title="x", hs_timestamp=start, hs_meeting_outcome="NO_SHOW")
        plain = {"hs_timestamp": "2026-11-23T09:00:00Z", "hs_meeting_start_time": 1795424400000, "seats": 1.5}
        for record in (
            typed,
            plain,
            Record(properties=typed),
            {"id": 5, **plain},
            {"id": "5", "properties": plain},
            {"rooms": None, "day": "", "paid": True, "hubspot_owner_id": 7},
            {"day": date(2026, 11, 21), "rooms": Room.RED},
            {},
        ):
            assert check(record, KNOWN) == ()

    def test_every_problem_of_a_record(self) -> None:
        """All problems at once, in the record's order, each with HubSpot's own code."""
        record = {
            "hs_meeting_titel": "x",
            "hs_object_id": "5",
            "hs_meeting_outcome": "scheduled",
            "seats": "1,000",
            "paid": "yes",
            "day": "21.11.2026",
            "hs_timestamp": "2026-11-21",
            "hs_meeting_end_time": datetime(2026, 11, 21),  # noqa: DTZ001
            "rooms": Room.GREEN,
            "hs_meeting_body": "fine",
        }
        assert codes(record) == [
            ("hs_meeting_titel", "PROPERTY_DOESNT_EXIST"),
            ("hs_object_id", "READ_ONLY_VALUE"),
            ("hs_meeting_outcome", "INVALID_OPTION"),
            ("seats", "INVALID_LONG"),
            ("paid", "INVALID_OPTION"),
            ("day", "INVALID_DATE"),
            ("hs_timestamp", "INVALID_LONG"),
            ("hs_meeting_end_time", "INVALID_VALUE"),
            ("rooms", "INVALID_OPTION"),
        ]

    def test_hints(self) -> None:
        """The nearest name, the allowed options and the nearest of them stand in the message."""
        unknown, option = check({"hs_meeting_titel": "x", "hs_meeting_outcome": "complete"}, KNOWN)
        assert str(unknown) == "Meetings have no property 'hs_meeting_titel'; did you mean 'hs_meeting_title'?"
        assert "SCHEDULED, COMPLETED, RESCHEDULED, NO_SHOW, CANCELED; did you mean 'COMPLETED'?" in option.message
        [far] = check({"zzzzzz": 1}, KNOWN)
        assert far.message == "Meetings have no property 'zzzzzz'"

    def test_long_lists_of_options_are_cut(self) -> None:
        options = tuple(PropertyOption(value=f"o{n}") for n in range(500))
        known = {"x": PropertyDefinition(name="x", type="enumeration", options=options)}
        [problem] = check({"x": "nothing like it"}, known)
        assert problem.message.endswith("o19 and 480 more")

    def test_several_values(self) -> None:
        """A checkbox takes options joined by `;`, with a `;` before them too; a select does not."""
        options = (PropertyOption(value="a"), PropertyOption(value="b"))
        box = {"x": PropertyDefinition(name="x", type="enumeration", field_type="checkbox", options=options)}
        select = {"x": PropertyDefinition(name="x", type="enumeration", field_type="select", options=options)}
        for value in ("a;b", ";b", ["a", "b"], ("b",), "a"):
            assert check({"x": value}, box) == ()
        assert check({"x": "a;c"}, box)[0].message.startswith("'x' is 'a;c', and takes a, b")
        assert codes({"x": "a;b"}, select) == [("x", "INVALID_OPTION")]

    @pytest.mark.parametrize("record", [None, "x", 5, [("a", 1)]])
    def test_what_is_no_record(self, record: object) -> None:
        with pytest.raises(InvalidRecord):
            check(record, KNOWN)

    @given(
        name=st.sampled_from(
            ["seats", "day", "paid", "rooms", "hs_timestamp", "hs_meeting_outcome", "nope", "hs_createdate"]
        ),
        value=st.one_of(
            st.text(max_size=12),
            st.text(alphabet="0123456789-+.eET:Z;", max_size=24),
            st.integers(-(10**20), 10**20),
            st.floats(allow_nan=False, allow_infinity=False),
            st.booleans(),
            st.none(),
            st.datetimes(timezones=st.just(UTC)),
            st.dates(),
            st.sampled_from(
                ["true", "FALSE", "red", "red;blue", "SCHEDULED", "1e5", "1_000", "١", "2026-W47-6", "nan"]
            ),
        ),
    )
    def test_it_says_what_the_emulator_says(self, name: str, value: Any) -> None:
        """Two readings of HubSpot's rules, written apart: what one refuses the other refuses, with the same code."""
        assert codes({name: value}) == refused(property_values({name: value}))


async def test_the_emulator_refuses_what_is_named(client: MeetingsClient, api_version: str) -> None:
    """Over the wire too: a record with problems is refused, and those properties are the ones HubSpot names."""
    known = await of(client, api_version).all()
    record = {"hs_meeting_titel": "x", "hs_object_id": "5", "hs_meeting_outcome": "soon", "hs_timestamp": "tomorrow"}
    with pytest.raises(RequestRejected) as refused:
        await client.meetings.create(record)
    assert set(refused.value.property_names) == {problem.property_name for problem in check(record, known)}
