"""What is told of one attempt: gathered while it goes, told when it ends.

This module knows what an `Attempt` says. It must not know who decides what follows.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from ..errors import HubSpotError
from ..limiter import Lane
from ..telemetry import Attempt, OnAttempt, heard, log, route_of
from ..wire import Request, Trail

__all__ = ["AttemptWatch"]


class AttemptWatch:
    """One attempt, for the log and whoever else wants to hear of it."""

    __slots__ = (
        "_base_url",
        "_began_at",
        "_began_at_ns",
        "_bytes_before",
        "_clock",
        "_lane",
        "_on",
        "_request",
        "_seen",
        "_sent_before",
        "_trail",
    )

    def __init__(
        self,
        on: OnAttempt | None,
        clock: Callable[[], float],
        base_url: str,
        request: Request[Any],
        trail: Trail,
        lane: Lane,
    ) -> None:
        self._on = on
        self._clock = clock
        self._base_url = base_url
        self._request = request
        self._trail = trail
        self._lane = lane
        self._sent_before = trail.requests
        self._bytes_before = trail.bytes_sent
        self._seen = trail.bytes_received
        self._began_at = clock()
        self._began_at_ns = time.time_ns()
        trail.status = trail.correlation_id = None

    def ended(
        self, error: HubSpotError | None = None, *, retry_in_s: float | None = None, cancelled: bool = False
    ) -> None:
        if self._on is None and not heard(failed=error is not None):
            return
        trail, request = self._trail, self._request
        left = trail.requests > self._sent_before and trail.last_sent_at is not None
        now = self._clock()
        sent_at = trail.last_sent_at if left and trail.last_sent_at is not None else now
        attempt = Attempt(
            method=request.method,
            base_url=self._base_url,
            route=route_of(request.path),
            path=request.path,
            lane="bulk" if self._lane is Lane.BULK else "interactive",
            number=trail.retries + 1,
            began_at_ns=self._began_at_ns,
            waited_s=sent_at - self._began_at,
            took_s=now - sent_at,
            status=trail.status,
            error=error,
            cancelled=cancelled,
            retry_in_s=retry_in_s,
            correlation_id=trail.correlation_id,
            run_id=trail.run_id,
            bytes_sent=trail.bytes_sent - self._bytes_before,
            bytes_received=trail.bytes_received - self._seen,
        )
        log(attempt)
        if self._on is not None:
            self._on(attempt)
