"""Both readings of HubSpot's documents meet: documented samples and the emulator's answers decode with the models."""

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from hubspot_meetings_async.models import BatchResponse, Meeting, Page, UpsertedMeeting
from hubspot_meetings_async.wire import Request, parse

from . import sampling
from .emulator.account import MEETINGS, Account

DECODERS: dict[str, msgspec.json.Decoder[Any] | None] = {
    "create": msgspec.json.Decoder(Meeting),
    "get": msgspec.json.Decoder(Meeting),
    "update": msgspec.json.Decoder(Meeting),
    "archive": None,
    "list": msgspec.json.Decoder(Page[Meeting]),
    "batch_create": msgspec.json.Decoder(BatchResponse[Meeting]),
    "batch_read": msgspec.json.Decoder(BatchResponse[Meeting]),
    "batch_update": msgspec.json.Decoder(BatchResponse[Meeting]),
    "batch_upsert": msgspec.json.Decoder(BatchResponse[UpsertedMeeting]),
    "batch_archive": None,
}


def decoded(endpoint: str, status: int, payload: Any) -> Any:
    request: Request[Any] = Request(method="GET", path="/", decoder=DECODERS[endpoint])
    return parse(request, sampling.answer(status, payload))


SUCCESSES = [name for name in sampling.names() if not name.startswith("errors/")]


@pytest.mark.parametrize("name", SUCCESSES)
def test_samples_decode(name: str) -> None:
    """Every documented success answer is a value."""
    response = sampling.response(name)
    endpoint = name.split("/", maxsplit=1)[0]
    value = parse(Request(method="GET", path="/", decoder=DECODERS[endpoint]), response)
    assert (value is None) is (DECODERS[endpoint] is None)


def test_every_endpoint_has_a_sample() -> None:
    """The samples cover the endpoints, so that a new one is not forgotten."""
    assert {name.split("/")[0] for name in SUCCESSES} >= DECODERS.keys() - {"update"}


def exchanges(account: Account) -> Iterator[tuple[str, int, Any]]:
    """One answer of the emulator for each endpoint and each form it has."""
    account.portal.add_property("ref", unique=True)
    title = {"hs_meeting_title": "x", "hs_timestamp": "2026-11-23T09:00:00Z"}
    links = [
        {"to": {"id": "101"}, "types": [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 200}]},
    ]
    yield "create", *account.post(MEETINGS, {"properties": title, "associations": links})
    first = account.create(ref="a", **title)
    second = account.create(**title)
    full = "properties=hs_meeting_title,hs_meeting_body&propertiesWithHistory=hs_meeting_title&associations=contacts"
    yield "get", *account.get(f"{MEETINGS}/{first}")
    yield "get", *account.get(f"{MEETINGS}/{first}?{full}")
    yield "update", *account.send("PATCH", f"{MEETINGS}/{first}", {"properties": {"hs_meeting_title": ""}})
    yield "list", *account.get(f"{MEETINGS}?limit=1&{full}")
    yield "list", *account.get(MEETINGS)
    traced = [
        {"properties": title | {"ref": "b"}, "objectWriteTraceId": "1"},
        {"properties": {"nope": "x"}, "objectWriteTraceId": "2"},
    ]
    yield "batch_create", *account.batch("create", traced)
    yield "batch_read", *account.batch("read", [{"id": first}, {"id": "9"}], properties=["hs_meeting_title"])
    changed = {"id": second, "properties": title}
    yield "batch_update", *account.batch("update", [changed, {"id": "9", "properties": title}])
    upserts = [{"id": ref, "idProperty": "ref", "properties": title} for ref in ("a", "c")]
    yield "batch_upsert", *account.batch("upsert", upserts)
    yield "batch_archive", *account.batch("archive", [{"id": second}])
    yield "archive", *account.send("DELETE", f"{MEETINGS}/{first}")
    yield "list", *account.get(f"{MEETINGS}?archived=true&{full}")
    yield "get", *account.get(f"{MEETINGS}/{first}?archived=true")


@pytest.mark.parametrize(
    "behaviour",
    [
        {},
        {"echo_trace_id": True, "unset_properties": "omit", "cleared_properties": "empty"},
        {"always_milliseconds": True, "result_order": "shuffled"},
    ],
    ids=["defaults", "other readings", "other forms"],
)
def test_the_emulators_answers_decode(behaviour: dict[str, Any]) -> None:
    """On every reading of the documents, each of the emulator's success answers is a value with what it said."""
    seen = set()
    for endpoint, status, payload in exchanges(Account(**behaviour)):
        seen.add(endpoint)
        assert 200 <= status < 300, (endpoint, payload)
        value = decoded(endpoint, status, payload)
        if isinstance(value, Meeting):
            assert (value.id, value.properties) == (payload["id"], payload["properties"])
        elif value is not None:
            assert [m.id for m in value.results] == [item["id"] for item in payload["results"]]
            assert [m.properties for m in value.results] == [item["properties"] for item in payload["results"]]
            if isinstance(value, BatchResponse):
                assert value.num_errors == payload.get("numErrors")
                assert len(value.errors) == len(payload.get("errors", ()))
    assert seen == DECODERS.keys()


def test_documents_and_emulator_have_the_same_members() -> None:
    """Each member of the emulator's answers is one that the documents' samples or HubSpot's schema show."""
    record = {"id", "properties", "createdAt", "updatedAt", "archived", "archivedAt", "associations", "new"}
    record |= {"propertiesWithHistory", "objectWriteTraceId", "url"}
    envelope = {"status", "results", "numErrors", "errors", "startedAt", "completedAt", "paging"}
    for endpoint, _, payload in exchanges(Account(echo_trace_id=True)):
        if payload is None:
            assert DECODERS[endpoint] is None
        elif "results" in payload:
            assert set(payload) <= envelope
            assert [set(item) - record for item in payload["results"] if set(item) - record] == []
        else:
            assert set(payload) <= record
