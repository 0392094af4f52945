"""The way to HubSpot and back, with everything that happens on it.

This module knows time, faults and what leaves when. It must not know the library under test, nor its journal.

A request that has left goes on by itself, whatever becomes of the process that sent it.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any, Final, NamedTuple

import msgspec

from .world import Done, Meeting, World

__all__ = ["BODY_FAULTS", "FAULTS", "READ_FAULTS", "WRITES", "Answer", "Line", "Network", "NotSent", "Sent", "Weather"]

WRITES: Final = ("create", "upsert", "update", "archive")

FAULTS: Final = (
    "not sent",
    "reset before",
    "reset after",
    "partly, then reset",
    "5xx before",
    "5xx after",
    "partly, then 5xx",
    "timeout before",
    "timeout after",
    "locked",
    "429",
    "late after 504",
    "late after a timeout",
    "twice",
    "unreadable",
    "odd status",
    "leaky 400",
    "slow",
)
BODY_FAULTS: Final = ("short", "empty", "doubled", "foreign", "two ids", "shared id", "pending", "miscounted")
READ_FAULTS: Final = ("not sent", "reset before", "5xx before", "timeout before", "429", "unreadable", "silent", "slow")

_BASE: Final = datetime(2026, 11, 21, 8, tzinfo=UTC)
_5XX: Final = (500, 502, 503, 504)
_ODD: Final = (520, 521, 522, 524, 599, 408)


class NotSent(Exception):
    """No byte left."""


class Answer(NamedTuple):
    """What came back. `status` 0: nothing did, because of a reset or (`timeout`) of silence."""

    status: int
    body: bytes = b""
    timeout: bool = False
    date: str = ""


@dataclass(slots=True)
class Sent:
    """A request that left. `ended_at`: when its client stopped waiting; `undone`: its answer proves that it did
    nothing; `repair`: it left without asking the journal."""

    number: int
    session: int
    op: str
    inputs: list[dict[str, Any]]
    marks: tuple[str, ...]
    at: float
    fault: str
    repair: bool = False
    ended_at: float | None = None
    undone: bool = False


@dataclass(slots=True, kw_only=True)
class Weather:
    """How often a request meets a fault, and which. Until `calm_at` (virtual seconds) only."""

    rate: float
    writes: tuple[str, ...]
    reads: tuple[str, ...]
    calm_at: float = float("inf")
    latest_s: float = 40.0
    meddling: float = 0.0
    poison_after_others: bool = False
    fatal: float = 0.0


@dataclass(slots=True)
class Line:
    """The connection of one process."""

    session: int
    dead: bool = False


@dataclass(slots=True)
class Network:
    """Carries requests to the world and answers back."""

    world: World
    weather: Weather
    rng: random.Random
    requests: list[Sent] = field(default_factory=list)
    note: Callable[..., None] = lambda *words: None
    on_left: Callable[[Sent], None] = lambda request: None
    on_answer: Callable[[], None] = lambda: None
    flying: dict[str, int] = field(default_factory=dict)
    overlaps: list[str] = field(default_factory=list)

    async def exchange(
        self,
        line: Line,
        op: str,
        inputs: list[dict[str, Any]],
        *,
        on_written: Callable[[], None],
        archived: bool | None = None,
        repair: bool = False,
    ) -> Answer:
        """Send one request and wait for its answer. Raises: NotSent."""
        loop = asyncio.get_running_loop()
        if line.dead:
            await loop.create_future()
        write = op in WRITES
        fault = self._fault(write, loop.time())
        if fault == "not sent":
            await asyncio.sleep(self.rng.uniform(0.001, 0.02))
            self.note("not sent", op)
            raise NotSent
        marks = tuple(self.world.mark_of(given) for given in inputs) if write else ()
        request = Sent(len(self.requests), line.session, op, inputs, marks, loop.time(), fault, repair)
        self.requests.append(request)
        keys = [given["id"] for given in inputs if "id" in given] if write else []
        for key in keys:
            if self.flying.get(key):
                self.overlaps.append(f"{key} twice at once, request {request.number}")
            self.flying[key] = self.flying.get(key, 0) + 1
        self.note("sent", request.number, op, fault or "-", *marks)
        if write:
            self.on_left(request)
        on_written()
        future: asyncio.Future[Answer] = loop.create_future()
        loop.call_later(self.rng.uniform(0.005, 0.05), self._arrived, loop, request, future, archived)
        try:
            answer = await future
        finally:
            request.ended_at = loop.time()
            for key in keys:
                self.flying[key] -= 1
        request.undone = write and answer.status in (400, 401, 403, 409, 429) and fault != "leaky 400"
        self.note("answered", request.number, answer.status)
        self.on_answer()
        return answer

    def _fault(self, write: bool, now: float) -> str:
        weather = self.weather
        if now >= weather.calm_at:
            return ""
        if weather.fatal and self.rng.random() < weather.fatal:
            return "fatal"
        if self.rng.random() >= weather.rate:
            return ""
        return self.rng.choice(weather.writes if write else weather.reads)

    # ---- at HubSpot

    def _arrived(
        self, loop: asyncio.AbstractEventLoop, request: Sent, future: asyncio.Future[Answer], archived: bool | None
    ) -> None:
        rng = self.rng
        if request.op not in WRITES:
            self._read(loop, request, future, archived)
            return
        if any(map(self.world.is_poison, request.inputs)) and request.fault not in ("429", "fatal"):
            if self.weather.poison_after_others:
                self._apply(loop, request, self._some(request, poison=False), "first")
            self._reply(loop, future, _error(500))
            return
        if request.fault == "leaky 400" and len(request.inputs) == 1:
            request.fault = ""  # of one record it would be a plain lie, which nobody could see through
        match request.fault:
            case "reset before":
                self._reply(loop, future, Answer(0))
            case "timeout before":
                self._reply(loop, future, Answer(0, timeout=True), after_s=rng.uniform(5, 60))
            case "5xx before":
                self._reply(loop, future, _error(rng.choice(_5XX)))
            case "429":
                self._reply(loop, future, _error(429, policyName="TEN_SECONDLY_ROLLING"))
            case "fatal":
                self._reply(loop, future, _error(rng.choice((401, 403))))
            case "locked":
                self._reply(loop, future, _error(423))
            case "late after 504" | "late after a timeout":
                timeout = request.fault != "late after 504"
                wait_s = rng.uniform(5, 60) if timeout else 0.0
                self._reply(loop, future, Answer(0, timeout=True) if timeout else _error(504), after_s=wait_s)
                loop.call_later(wait_s + rng.uniform(0.1, self.weather.latest_s), self._late, loop, request)
            case "partly, then reset" | "partly, then 5xx":
                self._apply(loop, request, self._some(request), "first")
                self._reply(loop, future, Answer(0) if request.fault.endswith("reset") else _error(502))
            case "leaky 400":
                self._apply(loop, request, self._some(request), "first")
                self._reply(loop, future, _error(400))
            case _:
                self._done(loop, request, future)

    def _done(self, loop: asyncio.AbstractEventLoop, request: Sent, future: asyncio.Future[Answer]) -> None:
        """It was carried out; what of that the client hears is another matter."""
        rng, fault = self.rng, request.fault
        whole = request.op == "create" and not self.world.rules.multi_status
        done = self._apply(loop, request, request.inputs, "first", whole=whole)
        match fault:
            case "reset after":
                self._reply(loop, future, Answer(0))
            case "timeout after":
                self._reply(loop, future, Answer(0, timeout=True), after_s=rng.uniform(5, 60))
            case "5xx after":
                self._reply(loop, future, _error(rng.choice(_5XX)))
            case "odd status":
                self._reply(loop, future, _error(rng.choice(_ODD)))
            case "unreadable":
                body = self._body(request, done, "")
                torn = (b"<html>logged out</html>", body[: len(body) // 2] or b"x", b"[]", b"null")
                self._reply(loop, future, Answer(200, rng.choice(torn)))
            case "twice":
                wait_s = rng.uniform(0.0, 1.5)
                loop.call_later(wait_s, self._again, loop, request, future, whole)
                if rng.random() < 0.5:
                    self._reply(loop, future, self._answer(request, done, ""))
            case "slow":
                self._reply(loop, future, self._answer(request, done, ""), after_s=rng.uniform(0.5, 5))
            case _:
                self._reply(loop, future, self._answer(request, done, fault))

    def _again(
        self, loop: asyncio.AbstractEventLoop, request: Sent, future: asyncio.Future[Answer], whole: bool
    ) -> None:
        done = self._apply(loop, request, request.inputs, "again", whole=whole)
        self._reply(loop, future, self._answer(request, done, ""))

    def _late(self, loop: asyncio.AbstractEventLoop, request: Sent) -> None:
        self._apply(loop, request, request.inputs, "late", whole=not self.world.rules.multi_status)

    def _apply(
        self,
        loop: asyncio.AbstractEventLoop,
        request: Sent,
        inputs: list[dict[str, Any]],
        how: str,
        *,
        whole: bool = False,
    ) -> Done:
        now = loop.time()
        done = self.world.call(request.op, inputs, at=now, request=request.number, how=how, whole=whole)
        self.note("applied", request.number, how, *(r.get("id") for r in done.results.values()))
        if self.weather.meddling and self.rng.random() < self.weather.meddling:
            ids = [result["id"] for result in done.results.values() if "id" in result]
            if ids:
                meeting = self.world.meetings[self.rng.choice(ids)]
                loop.call_later(self.rng.uniform(0.0, 10.0), self._archive, meeting)
        return done

    def _archive(self, meeting: Meeting) -> None:
        meeting.archived = True
        self.note("a user archives", meeting.id)

    def _some(self, request: Sent, *, poison: bool = True) -> list[dict[str, Any]]:
        some = [given for given in request.inputs if self.rng.random() < 0.5]
        return some if poison else [given for given in some if not self.world.is_poison(given)]

    # ---- reads

    def _read(
        self, loop: asyncio.AbstractEventLoop, request: Sent, future: asyncio.Future[Answer], archived: bool | None
    ) -> None:
        world, rng = self.world, self.rng
        match request.fault:
            case "reset before":
                self._reply(loop, future, Answer(0))
                return
            case "timeout before":
                self._reply(loop, future, Answer(0, timeout=True), after_s=rng.uniform(5, 60))
                return
            case "5xx before":
                self._reply(loop, future, _error(rng.choice(_5XX)))
                return
            case "429" | "fatal":
                self._reply(loop, future, _error(429, policyName="TEN_SECONDLY_ROLLING"))
                return
            case "unreadable":
                self._reply(loop, future, Answer(200, b'{"status":'))
                return
            case _:
                pass
        asked = [str(given["id"]) for given in request.inputs]
        if request.op == "read":
            known = {i: [world.meetings[i]] for i in asked if i in world.meetings and not world.meetings[i].archived}
        else:
            known = world.by_keys(asked, archived)
        if request.op == "search":
            now = loop.time()
            known = {
                key: [m for m in meetings if not m.archived and m.indexed_at <= now] for key, meetings in known.items()
            }
        if request.fault == "silent":
            asked = [key for key in asked if rng.random() < 0.7]
        results = [self._shown(m) for key in asked for m in known.get(key, ())]
        missing = [key for key in asked if not known.get(key)]
        rng.shuffle(results)
        errors = [
            {
                "status": "error",
                "category": "OBJECT_NOT_FOUND",
                "message": "no such meeting",
                "context": {"ids": missing},
            }
        ]
        body: dict[str, Any] = {"status": "COMPLETE", "results": results}
        if missing and request.op != "search":
            body["errors"], body["numErrors"] = errors, len(missing)
        self._reply(
            loop,
            future,
            Answer(207 if "errors" in body else 200, msgspec.json.encode(body)),
            after_s=rng.uniform(0.5, 5) if request.fault == "slow" else 0.0,
        )

    # ---- answers

    def _answer(self, request: Sent, done: Done, fault: str) -> Answer:
        if done.status in (400, 409):
            category, message = done.errors[0]
            return _error(done.status, category=category, message=message)
        if request.op == "archive":
            return Answer(204)
        return Answer(done.status, self._body(request, done, fault))

    def _body(self, request: Sent, done: Done, fault: str) -> bytes:
        rng, echo = self.rng, self.world.rules.echo
        results = [dict(result, createdAt=_moment(result["createdAt"])) for result in done.results.values() if result]
        rng.shuffle(results)
        errors = self._errors(request, done)
        number = len(done.errors)
        if fault == "short":
            results = results[: rng.randrange(len(results))] if results else []
        elif fault == "empty":
            results, errors, number = [], [], 0
        elif fault == "doubled" and results:
            results.append(rng.choice(results))
        elif fault == "foreign":
            extra = {"objectWriteTraceId": "foreign"} if echo or rng.random() < 0.5 else {}
            results.append({"id": "77", "properties": {"mark": "nobody"}, **extra})
        elif fault == "two ids" and echo and results:
            results.append({**rng.choice(results), "id": "78"})
        elif fault == "shared id" and echo and len(results) > 1:
            one, other = rng.sample(range(len(results)), 2)
            results[one] = {**results[one], "id": results[other]["id"]}
        elif fault == "miscounted" and number:
            number = rng.randrange(number + 3)
        body: dict[str, Any] = {"status": "PROCESSING" if fault == "pending" else "COMPLETE", "results": results}
        if errors or number:
            body["errors"], body["numErrors"] = errors, number
        return msgspec.json.encode(body)

    def _errors(self, request: Sent, done: Done) -> list[dict[str, Any]]:
        """Failures by what they are: named by their trace ids, grouped or one each, or naming nobody."""
        if not done.errors:
            return []
        way = self.rng.choice(("named", "named", "grouped", "nameless"))
        errors: list[dict[str, Any]] = []
        groups: dict[tuple[str, str], list[str]] = {}
        for position, (category, message) in done.errors.items():
            given = request.inputs[position]
            name = given.get("objectWriteTraceId") or given["id"]
            if way == "grouped":
                groups.setdefault((category, message), []).append(name)
                continue
            context = {"objectWriteTraceId": [name]} if "objectWriteTraceId" in given else {"ids": [name]}
            error = {"status": "error", "category": category, "message": message}
            errors.append({**error, "context": context} if way == "named" else error)
        for (category, message), names in groups.items():
            context = {"objectWriteTraceId": names}
            errors.append({"status": "error", "category": category, "message": message, "context": context})
        return errors

    def _shown(self, meeting: Meeting) -> dict[str, Any]:
        return {**self.world.shown(meeting), "createdAt": _moment(meeting.made_at)}

    def _reply(
        self, loop: asyncio.AbstractEventLoop, future: asyncio.Future[Answer], answer: Answer, after_s: float = 0.0
    ) -> None:
        loop.call_later(after_s + self.rng.uniform(0.005, 0.1), _deliver, loop, future, answer)


def _deliver(loop: asyncio.AbstractEventLoop, future: asyncio.Future[Answer], answer: Answer) -> None:
    if not future.done():
        date = format_datetime(_BASE + timedelta(seconds=loop.time()), usegmt=True)
        future.set_result(answer._replace(date=date))


def _error(status: int, **more: Any) -> Answer:
    body = {"status": "error", "message": f"refused with {status}", "correlationId": "c-1", **more}
    return Answer(status, msgspec.json.encode(body))


def _moment(at: float) -> str:
    return (_BASE + timedelta(seconds=at)).isoformat()
