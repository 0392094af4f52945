"""The library on top of the simulated network: the engine by itself, or everything from the doors down to the bytes.

This module knows how the library is put together. It must not know faults, or what is right.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from unittest import mock

import anyio
import msgspec
from multidict import CIMultiDict

from hubspot_meetings_async.auth.sources import StaticToken
from hubspot_meetings_async.bulk import doors
from hubspot_meetings_async.bulk.doors import Bulk
from hubspot_meetings_async.bulk.engine import Options, Run
from hubspot_meetings_async.bulk.journal.journal import Job, JournalPlace
from hubspot_meetings_async.bulk.operation import Doubt, Operation
from hubspot_meetings_async.calling.caller import Caller
from hubspot_meetings_async.calling.retry import Effect, RetryBudget, RetryPolicy, effect_of, why
from hubspot_meetings_async.errors import AmbiguousWriteError, HubSpotError, TransportFailed
from hubspot_meetings_async.inputs import Inputs
from hubspot_meetings_async.limiter import Lane, NoLimit
from hubspot_meetings_async.meetings.lookup import Found
from hubspot_meetings_async.meetings.resource import Meetings
from hubspot_meetings_async.models import BatchResponse, Meeting, UpsertedMeeting
from hubspot_meetings_async.properties.resource import Properties
from hubspot_meetings_async.wire import Decodes, Quota, Request, Response, Trail, parse

from .network import Answer, Line, Network, NotSent
from .plan import Plan
from .world import KEY

__all__ = ["run_of"]

POLICY: Final = RetryPolicy()
_PLAIN: Final = msgspec.json.Decoder(BatchResponse[Meeting[dict[str, str | None]]])
_UPSERTED: Final = msgspec.json.Decoder(BatchResponse[UpsertedMeeting[dict[str, str | None]]])
SETTLE_S: Final = 60.0


def run_of(plan: Plan, network: Network, line: Line, source: Any, place: JournalPlace, rng: random.Random) -> Run[Any]:
    """A run of the plan over this line."""
    stack = _through_the_doors if plan.full_stack else _engine_alone
    return stack(plan, network, line, source, place, rng)


def _options(plan: Plan, network: Network) -> dict[str, Any]:
    calm = plan.live and anyio.current_time() >= network.weather.calm_at
    return {
        "max_batch_bytes": plan.batch_bytes,
        "workers": plan.workers,
        "delivery_timeout_s": None if calm else plan.delivery_timeout_s,
        "read_in_thread": False,
    }


# ---- the engine alone: an operation is a plain async function


def _engine_alone(
    plan: Plan, network: Network, line: Line, source: Any, place: JournalPlace, rng: random.Random
) -> Run[Any]:
    ends = _Ends(plan, network, line)
    operation = _operation(plan, ends)
    inputs = msgspec.structs.replace(operation.inputs, max_inputs=plan.most_inputs)
    operation = msgspec.structs.replace(operation, inputs=inputs)
    mode = {"keyed": "reconcile", "hold": "hold", "resend": "resend", "probe": "probe"}.get(plan.mode, "repeat")
    key = operation.id_property or ""

    async def job() -> Job:
        return Job(operation=operation.name, mode=mode, key_property=key, host="simulated")

    options = Options(**_options(plan, network), journal=place)
    return Run(operation, source, options=options, job=job, rng=rng, policy=POLICY)


def _operation(plan: Plan, ends: _Ends) -> Operation:
    match plan.mode:
        case "keyed":
            return Operation(
                name="create",
                inputs=Inputs.create(key_property=KEY),
                send=ends.create,
                whole=_PLAIN,
                id_property=KEY,
                doubt=Doubt.FIND,
                find=ends.find,
                unique_keys=True,
                key_is_unique=True,
                accept_existing=plan.accept_existing,
            )
        case "probe":
            return Operation(
                name="create",
                inputs=Inputs.create(key_property=KEY),
                send=ends.create,
                whole=_PLAIN,
                id_property=KEY,
                doubt=Doubt.FIND,
                find=ends.search,
                settle_s=SETTLE_S,
                unique_keys=True,
            )
        case "hold":
            return Operation(
                name="create", inputs=Inputs.create(), send=ends.create_once, whole=_PLAIN, doubt=Doubt.HOLD
            )
        case "resend":
            return Operation(name="create", inputs=Inputs.create(), send=ends.create, whole=_PLAIN)
        case "upsert":
            return Operation(
                name="upsert",
                inputs=Inputs.upsert(id_property=KEY),
                send=ends.upsert,
                whole=_UPSERTED,
                id_property=KEY,
                find=ends.find,
                settle_s=SETTLE_S if plan.verify else 0.0,
                verify=plan.verify,
                read_back=ends.read_back,
            )
        case "update":
            return Operation(
                name="update",
                inputs=Inputs.update(id_property=None),
                send=ends.update,
                whole=_PLAIN,
                settle_s=SETTLE_S,
                verify=plan.verify,
                read_back=ends.read_back,
            )
        case "archive":
            return Operation(name="archive", inputs=Inputs.archive(), send=ends.archive)


class _Ends:
    """What the engine is given to call, on a line."""

    def __init__(self, plan: Plan, network: Network, line: Line) -> None:
        self._plan = plan
        self._network = network
        self._line = line

    async def create(self, body: bytes, trail: Trail, *, decoder: Decodes[Any] = _PLAIN) -> BatchResponse[Any] | None:
        return await self._send("create", body, trail, decoder)

    async def create_once(
        self, body: bytes, trail: Trail, *, decoder: Decodes[Any] = _PLAIN
    ) -> BatchResponse[Any] | None:
        """A create that the call loop does not leave to the run."""
        try:
            return await self._send("create", body, trail, decoder)
        except HubSpotError as error:
            if effect_of(error) is not Effect.UNKNOWN:
                raise
            raise AmbiguousWriteError(f"it left, and the answer is lost: {error.message}", why=why(error)) from error

    async def upsert(
        self, body: bytes, trail: Trail, *, decoder: Decodes[Any] = _UPSERTED
    ) -> BatchResponse[Any] | None:
        return await self._send("upsert", body, trail, decoder)

    async def update(self, body: bytes, trail: Trail, *, decoder: Decodes[Any] = _PLAIN) -> BatchResponse[Any] | None:
        return await self._send("update", body, trail, decoder)

    async def archive(self, body: bytes, trail: Trail) -> BatchResponse[Any] | None:
        return await self._send("archive", body, trail, None)

    async def find(self, keys: Sequence[str], *, properties: Sequence[str], trail: Trail) -> Found:
        answer = await self._ask("find", keys, trail)
        meetings: dict[str, tuple[Meeting, ...]] = {}
        for meeting in answer.results:
            key = meeting.properties[KEY]
            meetings[key] = (*meetings.get(key, ()), meeting)
        missing = {key for error in answer.errors for key in error.context["ids"]}
        return Found(meetings, frozenset(missing))

    async def search(self, keys: Sequence[str], *, properties: Sequence[str], trail: Trail) -> Found:
        found = await self._ask("search", keys, trail)
        meetings: dict[str, tuple[Meeting, ...]] = {}
        for meeting in found.results:
            key = meeting.properties[KEY]
            meetings[key] = (*meetings.get(key, ()), meeting)
        return Found(meetings, frozenset(key for key in keys if key not in meetings))

    async def read_back(self, ids: Sequence[str], properties: Sequence[str]) -> BatchResponse[Any]:
        return await self._ask("read", ids, Trail())

    async def _ask(self, op: str, keys: Sequence[str], trail: Trail) -> BatchResponse[Any]:
        inputs = [{"id": key} for key in keys]
        answer = await self._exchange(op, inputs, trail)
        request = Request(method="POST", path=f"/{op}", decoder=_PLAIN)
        return parse(request, Response(answer.status, {}, answer.body))

    async def _send(
        self, op: str, body: bytes, trail: Trail, decoder: Decodes[Any] | None
    ) -> BatchResponse[Any] | None:
        inputs = msgspec.json.decode(body)["inputs"]
        repair = trail.before_send is None
        if trail.before_send is not None:
            await trail.before_send()
        answer = await self._exchange(op, inputs, trail, repair=repair)
        request: Request[Any] = Request(method="POST", path=f"/{op}", decoder=decoder)
        try:
            value: BatchResponse[Any] | None = parse(request, Response(answer.status, {}, answer.body))
        except HubSpotError as error:
            trail.in_doubt = effect_of(error) is Effect.UNKNOWN
            raise
        trail.in_doubt = False
        return value

    async def _exchange(self, op: str, inputs: list[dict[str, Any]], trail: Trail, *, repair: bool = False) -> Answer:
        def written() -> None:
            trail.in_doubt = True
            trail.requests += 1
            if trail.on_sent is not None:
                trail.on_sent()

        try:
            answer = await self._network.exchange(self._line, op, inputs, on_written=written, repair=repair)
        except NotSent:
            raise TransportFailed("refused", sent=False) from None
        trail.date = answer.date
        if not answer.status:
            raise TransportFailed("no answer", sent=True, timeout=answer.timeout)
        return answer


# ---- the whole library, on a transport of the simulation


def _through_the_doors(
    plan: Plan, network: Network, line: Line, source: Any, place: JournalPlace, rng: random.Random
) -> Run[Any]:
    budget = RetryBudget(POLICY.tokens)
    caller = Caller(
        transport=_Transport(network, line),
        auth=StaticToken("pat-simulated"),
        limiters={Quota.STANDARD: (NoLimit(),), Quota.SEARCH: (NoLimit(),), Quota.NONE: ()},
        policy=POLICY,
        call_s=None,
        rng=rng,
        budget=budget,
    )
    call = caller.lane(Lane.BULK)
    properties = Properties(call, api_version="v3")

    async def account() -> tuple[str, str | None]:
        return "simulated", None

    bulk = Bulk(
        Meetings(call, api_version="v3", properties=properties),
        properties=properties,
        account=account,
        quota=lambda: (0, 0.0),
        policy=POLICY,
        budget=budget,
        rng=rng,
    )
    options = {**_options(plan, network), "journal": "simulated"}
    with mock.patch.object(doors, "journal_file", return_value=place):
        match plan.mode:
            case "keyed":
                existing = "accept" if plan.accept_existing else "reject"
                return bulk.create(source, key_property=KEY, on_existing=existing, **options)  # type: ignore[arg-type]
            case "upsert":
                return bulk.upsert(source, id_property=KEY, verify=plan.verify, **options)
            case "update":
                return bulk.update(source, verify=plan.verify, **options)
            case _:
                how: Any = "hold" if plan.mode == "hold" else "resend"
                return bulk.create(source, on_ambiguous=how, **options)


class _Transport:
    """HubSpot's paths, on the network."""

    def __init__(self, network: Network, line: Line) -> None:
        self._network = network
        self._line = line

    async def send(
        self,
        request: Request[Any],
        headers: Mapping[str, str],
        *,
        on_written: Callable[[], None],
        on_answered: Callable[[Mapping[str, str]], None],
    ) -> Response:
        path = request.path.removeprefix("/crm/v3/")
        if path == "properties/meetings":
            body = {"results": [{"name": KEY, "label": KEY, "type": "string", "hasUniqueValue": True}]}
            return Response(200, CIMultiDict(), msgspec.json.encode(body))
        name = path.removeprefix("objects/meetings/")
        archived = "archived=true" in request.query
        if not name.startswith("batch/"):
            return await self._one(name, archived, on_written, on_answered)
        given = msgspec.json.decode(request.body or b"{}")
        op = name.removeprefix("batch/")
        if op == "read" and "idProperty" in given:
            return await self._exchange("find", given["inputs"], on_written, on_answered, archived=archived)
        return await self._exchange(op, given["inputs"], on_written, on_answered)

    async def _one(
        self,
        key: str,
        archived: bool,
        on_written: Callable[[], None],
        on_answered: Callable[[Mapping[str, str]], None],
    ) -> Response:
        """A read of one meeting by its key; silence has no meaning here."""
        response = await self._exchange("find", [{"id": key}], on_written, on_answered, archived=archived)
        if response.status not in (200, 207):
            return response
        try:
            answer = msgspec.json.decode(response.body)
        except msgspec.DecodeError:
            return response
        if answer["results"]:
            return Response(200, response.headers, msgspec.json.encode(answer["results"][0]))
        if not answer.get("errors"):
            return Response(503, response.headers, b"{}")
        body = msgspec.json.encode({"status": "error", "category": "OBJECT_NOT_FOUND", "message": "none"})
        return Response(404, response.headers, body)

    async def _exchange(
        self,
        op: str,
        inputs: list[dict[str, Any]],
        on_written: Callable[[], None],
        on_answered: Callable[[Mapping[str, str]], None],
        *,
        archived: bool | None = None,
    ) -> Response:
        try:
            answer = await self._network.exchange(self._line, op, inputs, on_written=on_written, archived=archived)
        except NotSent:
            raise TransportFailed("refused", sent=False) from None
        if not answer.status:
            raise TransportFailed("no answer", sent=True, timeout=answer.timeout)
        headers: CIMultiDict[str] = CIMultiDict({"Date": answer.date, "Content-Type": "application/json"})
        on_answered(headers)
        return Response(answer.status, headers, answer.body)

    async def aclose(self) -> None:
        return None
