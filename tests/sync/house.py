"""A sync and the account it copies in one process, without sockets: the emulator's rules behind the library's caller,
and a copy to hold against the account.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import parse_qs

import msgspec

from hubspot_meetings_async import Change, Lane, Limiter, Meeting, NoLimit, RetryPolicy, StaticToken, Sync, SyncCursor
from hubspot_meetings_async.associations.resource import Associations
from hubspot_meetings_async.calling.caller import Caller
from hubspot_meetings_async.emulator import Behaviour, Clock, ManualClock, Portal, Quota
from hubspot_meetings_async.emulator.calls import Call
from hubspot_meetings_async.emulator.quota import Lane as Pace
from hubspot_meetings_async.emulator.quota import rate_limited
from hubspot_meetings_async.emulator.refusals import Refusal
from hubspot_meetings_async.emulator.routes import hubspot_routes
from hubspot_meetings_async.emulator.times import http_date
from hubspot_meetings_async.meetings.resource import Meetings
from hubspot_meetings_async.sync.windows import Sizes
from hubspot_meetings_async.wire import Quota as Lanes
from hubspot_meetings_async.wire import Request, Response

MEETINGS = "/crm/objects/2026-09/meetings"

Travel = Callable[[], Awaitable[None]]


async def at_once() -> None:
    """No time, but others have their turn."""
    await asyncio.sleep(0)


class Account:
    """HubSpot's side: a portal with its quota behind the library's `Transport`.

    `travel` is awaited on the way there and on the way back; `before` is called ahead of every request, and may change
    the account. `sent` counts requests by operation.
    """

    def __init__(
        self,
        *,
        behaviour: Behaviour | None = None,
        clock: Clock | None = None,
        quota: Quota | None = None,
        travel: Travel = at_once,
        seed: int = 0,
    ) -> None:
        self.clock: Clock = clock or ManualClock()
        self.portal = Portal(behaviour=behaviour, clock=self.clock, seed=seed)
        self.quota = quota
        self.travel = travel
        self.before: Callable[[], None] = lambda: None
        self.sent: dict[str, int] = {}
        self.refused = 0
        self._routes = hubspot_routes()

    # ---- the library's transport

    async def send(
        self,
        request: Request[Any],
        headers: Mapping[str, str],
        *,
        on_written: Callable[[], None],
        on_answered: Callable[[Mapping[str, str]], None],
    ) -> Response:
        on_written()
        await self.travel()
        self.before()
        status, shown, body = self._answer(request)
        await self.travel()
        on_answered(shown)
        return Response(status, shown, body)

    async def aclose(self) -> None:
        return None

    def _answer(self, request: Request[Any]) -> tuple[int, dict[str, str], bytes]:
        now_ms, at = self.clock.wall_ms(), self.clock.steady_s()
        match = self._routes.match(request.method, request.path)
        assert match.endpoint is not None, f"no route for {request.method} {request.path}"
        headers = {"Date": http_date(now_ms // 1000), "Content-Type": "application/json"}
        if self.quota is not None:
            lane: Pace = "search" if match.operation.endswith(".search") else "window"
            policy = self.quota.judge("app", at, 0, lane)
            if policy is not None:
                self.quota.refuse("app", at, policy, lane)
                self.refused += 1
                return 429, headers, msgspec.json.encode(rate_limited(policy, "correlation", "request")[1])
            self.quota.accept("app", at, lane)
            if lane == "window":
                headers.update(self.quota.headers("app", at, daily=False))
        self.sent[match.operation] = self.sent.get(match.operation, 0) + 1
        call = Call(
            operation=match.operation,
            captures=match.captures,
            query=parse_qs(request.query, keep_blank_values=True),
            body=request.body or b"",
            url="http://test" + request.path,
            number=1,
            now_ms=now_ms,
        )
        try:
            answer = match.endpoint(self.portal, call)
        except Refusal as refusal:
            return refusal.status, headers, msgspec.json.encode(refusal.body("correlation"))
        return answer.status, headers, b"" if answer.payload is None else msgspec.json.encode(answer.payload)

    # ---- a sync of it

    def sync(
        self,
        *,
        sizes: Sizes | None = None,
        limiters: Mapping[Lanes, tuple[Limiter, ...]] | None = None,
        portal: Callable[[], Awaitable[str | None]] | None = None,
    ) -> Sync:
        """What `hubspot.sync` is, with this account at the other end."""
        free = (NoLimit(),)
        caller = Caller(
            transport=self,
            auth=StaticToken("token"),
            limiters=limiters or {Lanes.STANDARD: free, Lanes.SEARCH: free, Lanes.NONE: ()},
            policy=RetryPolicy(),
            call_s=None,
            rng=random.Random(0),
        )
        call = caller.lane(Lane.BULK)
        return Sync(
            call,
            meetings=Meetings(call, api_version="2026-09"),
            associations=Associations(call, api_version="2026-09"),
            portal=portal or self._portal_id,
            api_version="2026-09",
            sizes=sizes,
        )

    async def _portal_id(self) -> str | None:
        return str(self.portal.portal_id)

    # ---- changes to it

    def create(self, count: int = 1, **properties: str) -> list[str]:
        """Meetings that requests made: search sees them late."""
        made = []
        for _ in range(count):
            values = self.portal.meetings.screen_new(properties, self.clock.wall_ms())
            record = self.portal.meetings.add(values, (), now_ms=self.clock.wall_ms(), request=1)
            made.append(str(record.id))
        return made

    def update(self, id_: str, **properties: str) -> None:
        record = self.portal.meetings.find(id_)
        assert record is not None
        self.portal.meetings.change(record, properties, now_ms=self.clock.wall_ms(), request=1)

    def archive(self, id_: str) -> None:
        record = self.portal.meetings.find(id_)
        assert record is not None
        self.portal.meetings.store.archive(record, now_ms=self.clock.wall_ms(), request=1)

    def restore(self, id_: str) -> None:
        self.portal.restore(id_)

    def merge(self, into: str, gone: str) -> None:
        status, _, body = self._answer(
            Request(
                method="POST",
                path=f"{MEETINGS}/merge",
                body=msgspec.json.encode({"primaryObjectId": into, "objectIdToMerge": gone}),
            )
        )
        assert status == 200, body

    def live(self) -> list[str]:
        return [str(record.id) for record in self.portal.meetings.store if record.archived_ms is None]

    def archived(self) -> list[str]:
        return [str(record.id) for record in self.portal.meetings.store if record.archived_ms is not None]

    def truth(self) -> dict[str, tuple[str, int, str | None]]:
        """Every meeting: what it is, when it changed, its title."""
        return {
            str(record.id): (
                "changed" if record.archived_ms is None else "archived",
                record.updated_ms,
                record.value("hs_meeting_title"),
            )
            for record in self.portal.meetings.store
        }


class Copy:
    """A copy that keeps the rule of stores: a change is taken unless what is there is later."""

    def __init__(self) -> None:
        self.rows: dict[str, tuple[str, int, str | None]] = {}
        self.cursor: SyncCursor | None = None

    def take(self, change: Change[Any]) -> None:
        meeting: Meeting = change.meeting
        version = version_of(meeting)
        there = self.rows.get(meeting.id)
        if there is None or there[1] <= version:
            self.rows[meeting.id] = (change.kind, version, meeting.properties.get("hs_meeting_title"))
        for gone in change.merged_ids:
            self.rows.pop(gone, None)


def version_of(meeting: Meeting[Any]) -> int:
    """When it changed, in Unix ms."""
    assert meeting.updated_at is not None
    return round(meeting.updated_at.timestamp() * 1000)
