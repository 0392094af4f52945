"""What the client sends and the emulator answers, held against HubSpot's schema.

The official specification is not part of this project: put it into a folder and name that in HUBSPOT_SPECS
(`meetings-v3.openapi.json`). The request side is checked without it too, against a summary of the schema written here.
"""

import json
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import msgspec
import pytest

from hubspot_meetings_async import (
    AmbiguousWriteError,
    HubSpotError,
    MeetingProperties,
    MeetingsClient,
    NoLimit,
    Record,
    to_contact,
)
from hubspot_meetings_async.emulator import Emulator
from hubspot_meetings_async.meetings.resource import API_VERSIONS
from hubspot_meetings_async.transport import AiohttpTransport
from hubspot_meetings_async.wire import Request, Response

from .conftest import SWIFT

SPECS = os.environ.get("HUBSPOT_SPECS")


class Exchange(msgspec.Struct):
    """One request as it left, and the answer as it came."""

    method: str
    path: str
    query: str
    body: bytes | None
    headers: dict[str, str]
    response: Response


@pytest.fixture
async def exchanges(api_version: str, emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> list[Exchange]:
    """Everything a client does with meetings: each endpoint, each parameter, alone and in bulk, well and badly."""
    seen: list[Exchange] = []
    plain_send = AiohttpTransport.send

    async def noting(self: AiohttpTransport, request: Request[Any], headers: Any, **hooks: Any) -> Response:
        response = await plain_send(self, request, headers, **hooks)
        seen.append(Exchange(request.method, request.path, request.query, request.body, dict(headers), response))
        return response

    monkeypatch.setattr(AiohttpTransport, "send", noting)
    async with MeetingsClient(
        "token", base_url=emulator.url, api_version=api_version, limiter=NoLimit(), retry=SWIFT
    ) as client:
        await everything(client, emulator)
    return seen


async def everything(client: MeetingsClient, emulator: Emulator) -> None:
    meetings = client.meetings
    typed = MeetingProperties(hs_meeting_title="a", hs_attachment_ids=("1", "2"), hubspot_owner_id="41629779")
    loose = {"hs_meeting_title": "b", "hs_meeting_body": None, "hubspot_owner_id": 41629779, "booking_ref": "r-0"}
    first = (await meetings.create(typed, associations=[to_contact(101)])).id
    second = (await meetings.create(loose)).id
    names = ["hs_meeting_title", "booking_ref"]
    await meetings.get(first)
    await meetings.get(first, properties=names, properties_with_history=names, associations=["contacts", "companies"])
    await meetings.get("r-0", id_property="booking_ref")
    await meetings.update(first, {"hs_meeting_title": "", "hubspot_owner_id": None})
    await meetings.update("r-0", typed, id_property="booking_ref")
    [m async for m in meetings.list()]
    [m async for m in meetings.list(limit=1, properties=names, associations=["contacts"])]
    await meetings.batch_create([typed, loose | {"booking_ref": "r-1"}, {"nope": "x"}])
    await meetings.batch_read([first, 9], properties=names, properties_with_history=names)
    await meetings.batch_read(["r-0"], id_property="booking_ref")
    await meetings.batch_update([{"id": first, "hs_meeting_title": 5}, {"id": 9, "hs_meeting_title": "x"}])
    await meetings.batch_upsert([{"booking_ref": "r-1"}, {"booking_ref": "r-2"}], id_property="booking_ref")
    records = [Record(properties=loose | {"booking_ref": f"b-{n}"}, associations=[to_contact(5)]) for n in range(3)]
    assert (await client.bulk.create(records)).created == 3
    assert (await client.bulk.create([{"nope": "x"}])).rejected == 1
    assert (
        await client.bulk.upsert([{"booking_ref": "b-1", "hs_meeting_title": 1.5}], id_property="booking_ref")
    ).updated
    assert (await client.bulk.update([{"id": first, "hs_meeting_title": True}])).updated == 1
    assert (
        await client.bulk.update([{"booking_ref": "b-1", "hs_meeting_title": "z"}], id_property="booking_ref")
    ).updated
    assert (await client.bulk.read([first, second], properties=names)).read == 2
    assert (await client.bulk.read(["b-1"], id_property="booking_ref", properties_with_history=names)).read == 1
    assert (await client.bulk.archive([second])).archived == 1
    await meetings.archive(first)
    await meetings.batch_archive([first, "9"])
    await meetings.get(first, archived=True)
    await meetings.batch_read([first], archived=True)
    [m async for m in meetings.list(archived=True, properties_with_history=names)]
    refusals: list[Callable[[], Awaitable[Any]]] = [
        lambda: meetings.create({"nope": "x"}),
        lambda: meetings.create({"booking_ref": "b-1"}),
        lambda: meetings.get(404),
        lambda: meetings.get("no-such", id_property="booking_ref"),
    ]
    for refused in refusals:
        with pytest.raises(HubSpotError):
            await refused()
    for status in (401, 403, 423, 429, 477, 502):
        emulator.faults.fail_next(status, times=None, retry_after=86_400 if status == 477 else None)
        with pytest.raises((HubSpotError, AmbiguousWriteError)):
            await meetings.create(loose)
        emulator.faults.clear()


# ---- our own summary of the schema, for the request side


class _Strict(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    pass


class _Id(_Strict):
    id: str


class _Type(_Strict):
    association_category: str
    association_type_id: int


class _Link(_Strict):
    to: _Id
    types: list[_Type]


class _Create(_Strict):
    properties: dict[str, str]
    associations: list[_Link] = []


class _CreateInput(_Strict):
    properties: dict[str, str]
    associations: list[_Link] = []
    object_write_trace_id: str | None = None


class _Update(_Strict):
    properties: dict[str, str]


class _KeyedInput(_Strict):
    id: str
    properties: dict[str, str]
    id_property: str | None = None
    object_write_trace_id: str | None = None


class _Creates(_Strict):
    inputs: list[_CreateInput]


class _Keyed(_Strict):
    inputs: list[_KeyedInput]


class _Ids(_Strict):
    inputs: list[_Id]


class _Reads(_Strict):
    inputs: list[_Id]
    properties: list[str] = []
    properties_with_history: list[str] = []
    id_property: str | None = None


ONE = {"properties", "propertiesWithHistory", "associations", "archived", "idProperty"}
LIST = {"limit", "after", "properties", "propertiesWithHistory", "associations", "archived"}
SUMMARY: dict[tuple[str, str], tuple[type[msgspec.Struct] | None, set[str]]] = {
    ("GET", ""): (None, LIST),
    ("POST", ""): (_Create, set()),
    ("GET", "/{id}"): (None, ONE),
    ("PATCH", "/{id}"): (_Update, {"idProperty"}),
    ("DELETE", "/{id}"): (None, set()),
    ("POST", "/batch/create"): (_Creates, set()),
    ("POST", "/batch/read"): (_Reads, {"archived"}),
    ("POST", "/batch/update"): (_Keyed, set()),
    ("POST", "/batch/upsert"): (_Keyed, set()),
    ("POST", "/batch/archive"): (_Ids, set()),
}
PREFIXES = {"v3": "/crm/v3/objects/meetings"} | {v: f"/crm/objects/{v}/meetings" for v in API_VERSIONS if v != "v3"}


def endpoint_of(exchange: Exchange, prefix: str) -> tuple[str, str]:
    assert exchange.path.startswith(prefix)
    rest = exchange.path.removeprefix(prefix)
    return exchange.method, rest if rest == "" or rest.startswith("/batch/") else "/{id}"


async def test_requests_keep_to_the_schema(exchanges: list[Exchange], api_version: str) -> None:
    """Every request has the members, types and parameters of HubSpot's schema and no others; each endpoint is used."""
    used = set()
    for exchange in exchanges:
        endpoint = endpoint_of(exchange, PREFIXES[api_version])
        used.add(endpoint)
        body, parameters = SUMMARY[endpoint]
        if body is None:
            assert exchange.body is None
        else:
            assert exchange.body is not None
            msgspec.json.decode(exchange.body, type=body)
        query = parse_qsl(exchange.query, keep_blank_values=True, strict_parsing=bool(exchange.query))
        assert {name for name, _ in query} <= parameters
        assert len({name for name, _ in query}) == len(query)
        for name, value in query:
            assert value
            assert name != "archived" or value in ("true", "false")
            assert name != "limit" or 1 <= int(value) <= 100
    assert used == SUMMARY.keys()


async def test_batches_keep_to_their_limits(exchanges: list[Exchange]) -> None:
    """Creates always carry trace ids, unique in their request; nothing that is optional goes out as null."""
    for exchange in exchanges:
        if exchange.body is None:
            continue
        assert b"null" not in exchange.body
        if exchange.path.endswith("/batch/create"):
            traces = [item["objectWriteTraceId"] for item in json.loads(exchange.body)["inputs"]]
            assert len(set(traces)) == len(traces)


# ---- the official specification


def relaxed(spec: dict[str, Any]) -> dict[str, Any]:
    """The official schema where HubSpot's real answers are known to depart from it."""
    schemas = spec["components"]["schemas"]
    schemas["StandardError"]["required"] = ["status", "category", "message"]
    schemas["StandardError"]["properties"]["subCategory"] = {}
    schemas["Error"]["required"] = ["message"]
    schemas["SimplePublicObjectInputForCreate"]["required"] = ["properties"]
    schemas["BatchReadInputSimplePublicObjectId"]["required"] = ["inputs"]
    # The validator knows no scheme for tokens of private apps; that each request carries one is asserted apart.
    for operations in spec["paths"].values():
        for operation in operations.values():
            operation.pop("security", None)
            for answer in operation["responses"].values():
                if not answer.get("content", True):
                    del answer["content"]
    # Errors are described for any media type; the validator decodes JSON only where it is named.
    content = spec["components"]["responses"]["Error"]["content"]
    content["application/json"] = content.pop("*/*")
    schemas["AssociationSpec"]["properties"]["associationCategory"]["enum"].append("WORK")
    return spec


@pytest.mark.skipif(SPECS is None, reason="HUBSPOT_SPECS names no folder with HubSpot's official specification")
class TestOfficialSchema:
    @pytest.fixture(params=["v3"])
    def api_version(self, request: pytest.FixtureRequest) -> str:
        """The specification is that of v3; shapes are the same in the dated versions."""
        return str(request.param)

    @pytest.fixture
    def official(self) -> Any:
        openapi_core = pytest.importorskip("openapi_core")
        spec = json.loads((Path(SPECS or "") / "meetings-v3.openapi.json").read_text("utf-8"))
        return openapi_core.OpenAPI.from_dict(relaxed(spec))

    async def test_requests_and_answers(self, exchanges: list[Exchange], official: Any) -> None:
        """Every request and every answer, refusals included, is valid."""
        from openapi_core.testing import MockRequest, MockResponse

        assert all(exchange.headers["Authorization"] == "Bearer token" for exchange in exchanges)
        wrong: list[str] = []
        for exchange in exchanges:
            request = MockRequest(
                "https://api.hubapi.com",
                exchange.method.lower(),
                exchange.path,
                args=dict(parse_qsl(exchange.query, keep_blank_values=True)),
                headers=exchange.headers,
                data=exchange.body,
                content_type="application/json",
            )
            answer = exchange.response
            response = MockResponse(
                answer.body,
                status_code=answer.status,
                headers=dict(answer.headers),
                content_type=answer.headers.get("Content-Type", "application/json").partition(";")[0],
            )
            checks: list[tuple[Callable[..., Any], tuple[Any, ...]]] = [
                (official.validate_request, (request,)),
                (official.validate_response, (request, response)),
            ]
            for validate, arguments in checks:
                try:
                    validate(*arguments)
                except Exception as error:  # noqa: BLE001 - whatever the validator says goes on the list
                    details = [str(item.message) for item in getattr(error.__cause__, "schema_errors", ())]
                    where = f"{exchange.method} {exchange.path}?{exchange.query} {answer.status}"
                    wrong.append(f"{where}: {error} {details or error.__cause__}")
        assert wrong == [], "\n".join(wrong)
        assert {exchange.response.status for exchange in exchanges} >= {
            200,
            201,
            204,
            207,
            400,
            401,
            403,
            404,
            409,
            429,
        }

    def test_it_would_notice(self, official: Any) -> None:
        """A body that departs from the schema is found."""
        from openapi_core.testing import MockRequest

        for body in (b'{"inputs":[{"id":5}]}', b"{}", b'{"inputs":[{"id":"1","properties":{"a":null}}]}'):
            request = MockRequest(
                "https://api.hubapi.com",
                "post",
                "/crm/v3/objects/meetings/batch/update",
                headers={"Authorization": "Bearer x"},
                data=body,
            )
            with pytest.raises(Exception, match=r"(?i)body"):
                official.validate_request(request)
