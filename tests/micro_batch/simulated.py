"""HubSpots without sockets for micro-batches in virtual time: one with a fixed round trip, one behind a bad network."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import anyio
import msgspec
from multidict import CIMultiDict

from hubspot_meetings_async import Limiter, MicroBatch, NoLimit
from hubspot_meetings_async.auth.sources import StaticToken
from hubspot_meetings_async.calling.caller import Caller
from hubspot_meetings_async.calling.retry import RetryBudget, RetryPolicy
from hubspot_meetings_async.errors import TransportFailed
from hubspot_meetings_async.limiter import Lane
from hubspot_meetings_async.meetings.resource import Meetings
from hubspot_meetings_async.micro_batch.kinds import Kinds
from hubspot_meetings_async.properties.resource import Properties
from hubspot_meetings_async.transport import Transport
from hubspot_meetings_async.wire import Quota, Request, Response
from tests.proof.network import Line, Network, NotSent
from tests.proof.world import KEY, Done, Rules, World

Inputs = list[dict[str, Any]]


def micro_batch(
    transport: Transport,
    *,
    limiter: Limiter | None = None,
    call_s: float | None = None,
    linger_s: float = 0.005,
    max_inputs: int = 100,
    max_bytes: int = 1_000_000,
    seed: int = 0,
    **options: Any,
) -> MicroBatch:
    """A micro-batcher on any transport, put together as the client does it."""
    policy, rng = RetryPolicy(), random.Random(seed)
    budget = RetryBudget(policy.tokens)
    gate = limiter or NoLimit()
    caller = Caller(
        transport=transport,
        auth=StaticToken("pat-simulated"),
        limiters={Quota.STANDARD: (gate,), Quota.SEARCH: (gate,), Quota.NONE: ()},
        policy=policy,
        call_s=None,
        rng=rng,
        budget=budget,
        heeds_deadlines=False,
    )
    call = caller.lane(Lane.INTERACTIVE)
    properties = Properties(call, api_version="v3")
    meetings = Meetings(call, api_version="v3", properties=properties)
    options = {"key_property": None, "on_ambiguous": None, **options}
    return MicroBatch(
        Kinds(meetings, properties, **options),
        linger_s=linger_s,
        max_inputs=max_inputs,
        max_bytes=max_bytes,
        call_s=call_s,
        quota=gate.stats,
        wait_estimate_s=lambda: gate.wait_estimate_s(Lane.INTERACTIVE),
        policy=policy,
        budget=budget,
        rng=rng,
    )


@dataclass(slots=True)
class Arrival:
    """A batch call that came; `status` is that of its answer."""

    at: float
    op: str
    inputs: Inputs
    status: int = 0


_DEFINITIONS = {"results": [{"name": KEY, "label": KEY, "type": "string", "hasUniqueValue": True}]}


class QuickHubSpot:
    """Carries every batch out in the middle of `round_trip_s`, and refuses more than `limit` requests in `window_s`.

    `statuses` are those of the next answers, before anything is carried out; None is a good one.
    """

    def __init__(self, *, round_trip_s: float = 0.05, limit: int | None = None, window_s: float = 10.0) -> None:
        self.world = World(Rules())
        self.arrivals: list[Arrival] = []
        self.statuses: list[int | None] = []
        self.hold: anyio.Event | None = None
        """Answers wait for it, if there is one."""
        self._round_trip_s = round_trip_s
        self._limit = limit
        self._window_s = window_s

    async def send(
        self,
        request: Request[Any],
        headers: Mapping[str, str],
        *,
        on_written: Callable[[], None],
        on_answered: Callable[[Mapping[str, str]], None],
    ) -> Response:
        """One request, as the transport sends it."""
        on_written()
        await anyio.sleep(self._round_trip_s / 2)
        if request.path.endswith("properties/meetings"):
            return self._reply(200, _DEFINITIONS, on_answered)
        given = msgspec.json.decode(request.body or b"{}")
        arrival = Arrival(anyio.current_time(), request.path.rpartition("/")[2], given["inputs"])
        self.arrivals.append(arrival)
        assert 1 <= len(arrival.inputs) <= 100
        ids = [one["id"] for one in arrival.inputs if "id" in one]
        assert len(set(ids)) == len(ids), "an id twice in one batch"
        refused = self.statuses.pop(0) if self.statuses else None
        if refused is None and self._over_limit():
            refused = 429
        done = self._carry_out(arrival, given) if refused is None else None
        if self.hold is not None:
            await self.hold.wait()
        await anyio.sleep(self._round_trip_s / 2)
        arrival.status = done.status if done is not None else refused or 0
        if done is None:
            return self._reply(arrival.status, {"message": "no", "policyName": "TEN_SECONDLY_ROLLING"}, on_answered)
        if arrival.op == "archive":
            on_answered({})
            return Response(204, {}, b"")
        return self._reply(done.status, _told(arrival.inputs, done), on_answered)

    def _over_limit(self) -> bool:
        now = anyio.current_time()
        counted = [one for one in self.arrivals if one.at > now - self._window_s and one.status != 429]
        return self._limit is not None and len(counted) > self._limit

    def _carry_out(self, arrival: Arrival, given: dict[str, Any]) -> Done:
        if arrival.op != "read":
            return self.world.call(
                arrival.op, arrival.inputs, at=arrival.at, request=len(self.arrivals) - 1, how="first"
            )
        done = Done(200)
        for position, one in enumerate(arrival.inputs):
            known = self.world.meetings.get(one["id"])
            found = [known] if known is not None else self.world.by_key.get(one["id"], [])
            if found:
                done.results[position] = self.world.shown(found[0])
            else:
                done.errors[position] = ("OBJECT_NOT_FOUND", "no such meeting")
                done.status = 207
        return done

    def _reply(self, status: int, body: Any, on_answered: Callable[[Mapping[str, str]], None]) -> Response:
        headers: CIMultiDict[str] = CIMultiDict({"Content-Type": "application/json"})
        on_answered(headers)
        return Response(status, headers, msgspec.json.encode(body))

    async def aclose(self) -> None:
        """Nothing is open."""


def _told(inputs: Inputs, done: Done) -> dict[str, Any]:
    results = [{**result, "createdAt": "2026-11-21T08:00:00Z"} for result in done.results.values()]
    errors = [
        {
            "status": "error",
            "category": category,
            "message": message,
            "context": {"objectWriteTraceId": [inputs[position].get("objectWriteTraceId", inputs[position].get("id"))]},
        }
        for position, (category, message) in done.errors.items()
    ]
    return {"status": "COMPLETE", "results": results[::-1], "errors": errors, "numErrors": len(errors)}


class BadNetwork:
    """HubSpot's paths behind the network of the proofs, with its faults."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._line = Line(0)

    async def send(
        self,
        request: Request[Any],
        headers: Mapping[str, str],
        *,
        on_written: Callable[[], None],
        on_answered: Callable[[Mapping[str, str]], None],
    ) -> Response:
        """One request, as the transport sends it."""
        path = request.path.removeprefix("/crm/v3/")
        if path == "properties/meetings":
            return Response(200, CIMultiDict(), msgspec.json.encode(_DEFINITIONS))
        archived = "archived=true" in request.query
        name = path.removeprefix("objects/meetings/")
        if not name.startswith("batch/"):
            return _alone(await self._exchange("find", [{"id": name}], on_written, on_answered, archived=archived))
        given = msgspec.json.decode(request.body or b"{}")
        op = name.removeprefix("batch/")
        if op == "read" and "idProperty" in given:
            return await self._exchange("find", given["inputs"], on_written, on_answered, archived=archived)
        return await self._exchange(op, given["inputs"], on_written, on_answered)

    async def _exchange(
        self,
        op: str,
        inputs: Inputs,
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
        """Nothing is open."""


def _alone(response: Response) -> Response:
    """The answer to a read of one meeting by its key, from that to a batch of one; silence has no meaning here."""
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
    body = {"status": "error", "category": "OBJECT_NOT_FOUND", "message": "none"}
    return Response(404, response.headers, msgspec.json.encode(body))
