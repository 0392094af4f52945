"""A HubSpot of a hundred lines, for the engine's tests: no sockets, any answer, and a ledger of what was done.

It is called like an operation of the engine, `await fake.create(body, trail)`, on whatever loop runs.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import anyio
import msgspec

from hubspot_meetings_async.errors import (
    AmbiguousWriteError,
    HubSpotError,
    HubSpotUnavailable,
    NotFound,
    RateLimited,
    RequestRejected,
    TransportFailed,
)
from hubspot_meetings_async.models import BatchError, BatchResponse, Meeting, UpsertedMeeting
from hubspot_meetings_async.wire import Trail

Verdict = Callable[[random.Random], str]

VERDICTS = (
    "ok",
    "ok shuffled",
    "207",
    "lost before",
    "lost after",
    "lost in part",
    "5xx",
    "refused",
    "conflict",
    "limited",
    "unreachable",
    "short",
    "empty",
    "twice",
    "foreign",
    "echo",
)


class FakeHubSpot:
    """`meetings` maps ids to properties; `written` counts how often each mark (property `n`) was applied."""

    def __init__(self, rng: random.Random, verdicts: tuple[str, ...] = ("ok",), *, latency_s: float = 0.05) -> None:
        self._rng = rng
        self._verdicts = verdicts
        self._latency_s = latency_s
        self.meetings: dict[str, dict[str, Any]] = {}
        self.written: dict[str, int] = {}
        self.created: dict[str, list[str]] = {}
        self.batches: list[list[dict[str, Any]]] = []
        self.in_flight: list[str] = []
        self.open = self.most_open = 0
        self.overlaps = 0
        self._now = 0

    async def create(self, body: bytes, trail: Trail) -> BatchResponse[Meeting]:
        """`batch/create`: lost answers are final, as the call loop makes them."""
        return await self._carry_out(body, trail, self._apply_create, repeatable=False)

    async def upsert(self, body: bytes, trail: Trail) -> BatchResponse[UpsertedMeeting]:
        """`batch/upsert` by the property `n`."""
        return await self._carry_out(body, trail, self._apply_upsert, repeatable=True)

    async def update(self, body: bytes, trail: Trail) -> BatchResponse[Meeting]:
        """`batch/update` by record id."""
        return await self._carry_out(body, trail, self._apply_update, repeatable=True)

    async def read(self, body: bytes, trail: Trail) -> BatchResponse[Meeting]:
        """`batch/read` by record id."""
        return await self._carry_out(body, trail, self._apply_read, repeatable=True)

    async def archive(self, body: bytes, trail: Trail) -> None:
        """`batch/archive`."""
        await self._carry_out(body, trail, self._apply_archive, repeatable=True)

    # ---- what each call does with one input: a meeting, or None for a refusal

    def _apply_create(self, given: dict[str, Any]) -> Meeting | None:
        properties = given["properties"]
        if properties.get("bad"):
            return None
        meeting_id = str(1000 + len(self.meetings))
        self.meetings[meeting_id] = dict(properties)
        mark = str(properties.get("n"))
        self.written[mark] = self.written.get(mark, 0) + 1
        self.created.setdefault(mark, []).append(meeting_id)
        return Meeting(id=meeting_id, properties=_returned(properties, meeting_id))

    def _apply_upsert(self, given: dict[str, Any]) -> Meeting | None:
        known = self.created.get(given["id"])
        if known is None or given["properties"].get("bad"):
            meeting = self._apply_create(given)
            return meeting and UpsertedMeeting(id=meeting.id, properties=meeting.properties, new=True)
        self.meetings[known[0]].update(given["properties"])
        return UpsertedMeeting(id=known[0], properties=_returned(self.meetings[known[0]], known[0]), new=False)

    def _apply_update(self, given: dict[str, Any]) -> Meeting | None:
        if given["properties"].get("bad") or given["id"] not in self.meetings:
            return None
        self.meetings[given["id"]].update(given["properties"])
        return Meeting(id=given["id"], properties=_returned(self.meetings[given["id"]], given["id"]))

    def _apply_read(self, given: dict[str, Any]) -> Meeting | None:
        properties = self.meetings.get(given["id"])
        return None if properties is None else Meeting(id=given["id"], properties=_returned(properties, given["id"]))

    def _apply_archive(self, given: dict[str, Any]) -> Meeting | None:
        self.meetings.pop(given["id"], None)
        return Meeting(id=given["id"])

    # ---- the wire

    async def _carry_out(
        self, body: bytes, trail: Trail, apply: Callable[[dict[str, Any]], Meeting | None], *, repeatable: bool
    ) -> BatchResponse[Any]:
        inputs: list[dict[str, Any]] = msgspec.json.decode(body)["inputs"]
        assert 1 <= len(inputs) <= 100
        assert len({given["objectWriteTraceId"] for given in inputs if "objectWriteTraceId" in given}) in (
            0,
            len(inputs),
        )
        keys = [given["id"] for given in inputs if "id" in given]
        assert len(set(keys)) == len(keys), "an id twice in one batch"
        self.overlaps += len(set(keys) & set(self.in_flight))
        verdict = self._rng.choice(self._verdicts)
        if verdict == "unreachable":
            raise TransportFailed("refused", sent=False)
        trail.in_doubt = True
        trail.requests += 1
        trail.bytes_sent += len(body)
        trail.last_sent_at = anyio.current_time()
        trail.first_sent_at = trail.first_sent_at if trail.first_sent_at is not None else trail.last_sent_at
        if trail.on_sent is not None:
            trail.on_sent()
        self.batches.append(inputs)
        self.in_flight += keys
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        try:
            applied = self._at_once(verdict, inputs, apply, trail)
            await anyio.sleep(self._rng.uniform(0.2, 1.8) * self._latency_s)
            return self._answer(verdict, inputs, applied, trail, repeatable=repeatable)
        finally:
            self.open -= 1
            for key in keys:
                self.in_flight.remove(key)

    def _at_once(
        self,
        verdict: str,
        inputs: list[dict[str, Any]],
        apply: Callable[[dict[str, Any]], Meeting | None],
        trail: Trail,
    ) -> dict[str, Meeting | None]:
        if verdict in ("lost before", "limited", "refused", "conflict", "5xx"):
            return {}
        some = inputs if verdict != "lost in part" else inputs[: len(inputs) // 2]
        return {_name(given): apply(given) for given in some}

    def _answer(
        self,
        verdict: str,
        inputs: list[dict[str, Any]],
        applied: dict[str, Meeting | None],
        trail: Trail,
        *,
        repeatable: bool,
    ) -> BatchResponse[Any]:
        error: HubSpotError | None = None
        match verdict:
            case "lost before" | "lost after" | "lost in part":
                error = TransportFailed("reset", sent=True)
            case "5xx":
                error = HubSpotUnavailable("bad gateway", status=502)
            case "limited":
                trail.rate_limited += 1
                error = RateLimited("ten_secondly_rolling", status=429)
            case "refused" | "conflict":
                status = 400 if verdict == "refused" else 409
                error = RequestRejected("Property values were not valid", status=status)
            case _:
                pass
        if isinstance(error, (TransportFailed, HubSpotUnavailable)):
            if repeatable:
                raise error
            ambiguous = AmbiguousWriteError("lost", why="reset" if isinstance(error, TransportFailed) else "5xx")
            raise ambiguous from error
        trail.in_doubt = False
        if error is not None:
            raise error
        return self._success(verdict, inputs, applied)

    def _success(
        self, verdict: str, inputs: list[dict[str, Any]], applied: dict[str, Meeting | None]
    ) -> BatchResponse[Any]:
        results = [meeting for meeting in applied.values() if meeting is not None]
        failed = [given for given in inputs if applied[_name(given)] is None]
        if failed and len(failed) == len(inputs) and "objectWriteTraceId" not in inputs[0]:
            raise NotFound("none of them", status=404, category="OBJECT_NOT_FOUND")
        errors = tuple(
            BatchError(
                status="error",
                category="VALIDATION_ERROR",
                message="bad",
                context={"objectWriteTraceId": [given["objectWriteTraceId"]]}
                if "objectWriteTraceId" in given
                else {"ids": [given["id"]]},
            )
            for given in failed
        )
        match verdict:
            case "ok shuffled" | "207":
                self._rng.shuffle(results)
            case "short":
                results = results[:-1] if len(results) > 1 else []
            case "empty":
                results, errors = [], ()
            case "twice":
                results = results + results[:1]
            case "foreign":
                results = [*results, Meeting(id="77", properties={"n": "nobody"}, object_write_trace_id="foreign")]
            case "echo":
                traces = {id(m): name for name, m in applied.items() if m is not None}
                results = [msgspec.structs.replace(m, object_write_trace_id=traces[id(m)]) for m in results]
            case _:
                pass
        return BatchResponse(status="COMPLETE", results=tuple(results), errors=errors, num_errors=len(errors) or None)


def _name(given: dict[str, Any]) -> str:
    return str(given.get("objectWriteTraceId") or given["id"])


def _returned(properties: dict[str, Any], meeting_id: str) -> dict[str, str | None]:
    written = {name: None if value is None else str(value) for name, value in properties.items()}
    return {**written, "hs_object_id": meeting_id, "hs_createdate": "2026-11-21T08:00:00Z"}
