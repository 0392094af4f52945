"""Inputs: what a source's item becomes on the wire."""

from __future__ import annotations

from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest

from hubspot_meetings_async.errors import ConfigurationError, InvalidRecord
from hubspot_meetings_async.inputs import Inputs, Record
from hubspot_meetings_async.models import MeetingProperties, to_contact


def sent(form: Inputs, item: object, ordinal: int = 0) -> dict[str, Any]:
    """The input that `item` becomes, as JSON says it."""
    result: dict[str, Any] = msgspec.json.decode(form.entry(ordinal, item, f"t{ordinal}").encoded)
    return result


CREATE = Inputs.create()
UPDATE = Inputs.update(id_property=None)
UPSERT = Inputs.upsert(id_property="ref")
READ = Inputs.read(properties=("a",), properties_with_history=(), id_property=None)

LINKS = [{"to": {"id": "101"}, "types": [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 200}]}]
START = datetime(2026, 11, 23, 10, tzinfo=ZoneInfo("Europe/Berlin"))


@pytest.mark.parametrize(
    ("form", "item", "expected"),
    [
        (CREATE, {"a": "1"}, {"properties": {"a": "1"}, "objectWriteTraceId": "t0"}),
        (CREATE, {"properties": {"a": "1"}}, {"properties": {"a": "1"}, "objectWriteTraceId": "t0"}),
        (
            CREATE,
            {"properties": {"a": "1"}, "associations": LINKS, "objectWriteTraceId": "mine"},
            {"properties": {"a": "1"}, "associations": LINKS, "objectWriteTraceId": "mine"},
        ),
        (
            CREATE,
            Record(properties={"a": 1}, associations=[to_contact(101)], ref="line 7"),
            {"properties": {"a": "1"}, "associations": LINKS, "objectWriteTraceId": "t0"},
        ),
        (
            CREATE,
            MeetingProperties(hs_timestamp=START, hs_meeting_title=None, hs_attachment_ids=("7", "8")),
            {
                "properties": {
                    "hs_timestamp": "2026-11-23T09:00:00.000Z",
                    "hs_meeting_title": "",
                    "hs_attachment_ids": "7;8",
                },
                "objectWriteTraceId": "t0",
            },
        ),
        (
            CREATE,
            {"a": datetime(2026, 1, 1, tzinfo=UTC), "b": True, "c": ("x", "y"), "d": 1.5},
            {
                "properties": {"a": "2026-01-01T00:00:00.000Z", "b": "true", "c": "x;y", "d": "1.5"},
                "objectWriteTraceId": "t0",
            },
        ),
        (UPDATE, {"id": 7, "a": "1"}, {"id": "7", "properties": {"a": "1"}, "objectWriteTraceId": "t0"}),
        (
            UPDATE,
            {"id": "7", "properties": {"a": ""}},
            {"id": "7", "properties": {"a": ""}, "objectWriteTraceId": "t0"},
        ),
        (
            UPDATE,
            Record(id=7, properties=MeetingProperties(hs_meeting_title="T")),
            {"id": "7", "properties": {"hs_meeting_title": "T"}, "objectWriteTraceId": "t0"},
        ),
        (
            UPSERT,
            {"ref": "r1", "a": "1"},
            {"id": "r1", "idProperty": "ref", "properties": {"ref": "r1", "a": "1"}, "objectWriteTraceId": "t0"},
        ),
        (
            UPSERT,
            {"id": "r1", "properties": {"a": "1"}},
            {"id": "r1", "idProperty": "ref", "properties": {"a": "1", "ref": "r1"}, "objectWriteTraceId": "t0"},
        ),
        (READ, "7", {"id": "7"}),
        (READ, 7, {"id": "7"}),
        (READ, {"id": "7", "a": "1"}, {"id": "7"}),
        (READ, Record(id=7), {"id": "7"}),
    ],
)
def test_items_of_every_form_become_inputs(form: Inputs, item: object, expected: dict[str, Any]) -> None:
    """A mapping, HubSpot's own input form, a Struct, a Record and a bare id all travel as HubSpot wants them."""
    assert sent(form, item) == expected


@pytest.mark.parametrize(
    ("form", "item", "words"),
    [
        (CREATE, None, "a record is a mapping"),
        (CREATE, ["a"], "not a list"),
        (CREATE, {"properties": {"a": "1"}, "extra": 1}, "extra"),
        (CREATE, Record(id=5, properties={"a": "1"}), "takes no id"),
        (CREATE, {"a": datetime(2026, 1, 1)}, "time zone"),  # noqa: DTZ001 - naive on purpose
        (CREATE, {"a": float("nan")}, "nan"),
        (CREATE, {"a": b"bytes"}, "bytes"),
        (CREATE, {"a": {"b": 1}}, "dict"),
        (CREATE, {"a": "\ud800"}, "JSON"),
        (CREATE, {"properties": MeetingProperties(), "associations": object()}, "JSON"),
        (UPDATE, {"a": "1"}, "needs an id"),
        (UPDATE, {"id": "abc", "a": "1"}, "digits"),
        (UPDATE, {"id": True, "a": "1"}, "1-20 digits, not 'true'"),
        (UPDATE, {"id": "../../contacts/1", "a": "1"}, "digits"),
        (UPDATE, {"id": "7", "properties": {}, "associations": LINKS}, "associations"),
        (UPSERT, {"a": "1"}, "a value of 'ref'"),
        (UPSERT, {"ref": "", "a": "1"}, "a value of 'ref'"),
        (READ, None, "a record is"),
        (READ, {"a": "1"}, "needs an id"),
        (READ, "", "needs an id"),
    ],
)
def test_items_that_can_not_be_sent_are_refused_in_words(form: Inputs, item: object, words: str) -> None:
    """Each refusal names what is wrong with the record."""
    with pytest.raises(InvalidRecord, match=words):
        form.entry(0, item, "t0")


def test_an_entry_is_a_snapshot() -> None:
    """A record that its owner changes after it was taken is sent as it was."""
    record = {"a": "before"}
    taken = CREATE.entry(0, record, "t0")
    record["a"] = "after"
    assert b"before" in CREATE.body([taken])


def test_a_body_holds_its_inputs_and_options() -> None:
    """The body of a read names properties, histories and the id property once, before the inputs."""
    form = Inputs.read(properties=("a", "b"), properties_with_history=("c",), id_property="ref")
    body = form.body([form.entry(0, "x", ""), form.entry(1, "y", "")])
    assert msgspec.json.decode(body) == {
        "properties": ["a", "b"],
        "propertiesWithHistory": ["c"],
        "idProperty": "ref",
        "inputs": [{"id": "x"}, {"id": "y"}],
    }
    assert form.max_inputs == 50


@pytest.mark.parametrize(
    "make",
    [
        lambda: Inputs.upsert(id_property=""),
        lambda: Inputs.upsert(id_property="hs_object_id"),
        lambda: Inputs.update(id_property="hs_object_id"),
        lambda: Inputs.read(properties="abc", properties_with_history=(), id_property=None),
    ],
)
def test_wrong_options_are_refused_at_once(make: Any) -> None:
    """Options that HubSpot would refuse for every record are refused before the first one."""
    with pytest.raises(ConfigurationError):
        make()


PLAIN: list[tuple[Inputs, dict[str, Any]]] = [
    (Inputs.create(), {"hs_meeting_title": "Review", "booking_ref": "B-1"}),
    (Inputs.create(key_property="booking_ref"), {"hs_meeting_title": "Review", "booking_ref": "B-1"}),
    (Inputs.upsert(id_property="booking_ref"), {"hs_meeting_title": "Review", "booking_ref": "B-1"}),
    (Inputs.update(id_property="booking_ref"), {"hs_meeting_title": "Review", "booking_ref": "B-1"}),
    (Inputs.update(id_property=None), {"id": "501", "hs_meeting_title": "Review"}),
    (Inputs.update(id_property=None), {"id": "501", "properties": {"hs_meeting_title": "Review"}}),
]


@pytest.mark.parametrize(("form", "record"), PLAIN)
def test_the_usual_record_becomes_the_same_input_in_fewer_steps(form: Inputs, record: dict[str, Any]) -> None:
    """A dict of strings takes a way of its own; another mapping of the same content the general one."""
    usual, general = form.entry(7, record, "t-7"), form.entry(7, MappingProxyType(record), "t-7")
    assert msgspec.structs.replace(general, record=record) == usual
    assert msgspec.json.decode(usual.encoded)["objectWriteTraceId"] == "t-7"
    assert usual.content == general.content


@pytest.mark.parametrize(("form", "record"), PLAIN)
def test_half_a_character_is_refused_on_either_way(form: Inputs, record: dict[str, Any]) -> None:
    """JSON has no form for it."""
    spoilt = {**record, "hs_meeting_title": "\ud800"}
    if "properties" in record:
        spoilt = {**record, "properties": {"hs_meeting_title": "\ud800"}}
    for item in (spoilt, MappingProxyType(spoilt)):
        with pytest.raises(InvalidRecord):
            form.entry(0, item, "t-0")
