"""What the client tells about its requests: one frozen Struct for each attempt, to a hook and to the log.

This module knows what is told. It must not know who listens, HTTP libraries, or how calls are made. No field and no log
line holds a token, a header or a body. What is told of runs is in `bulk.events`.

The logger is `hubspot_meetings_async`; nothing but the application sets it up. Levels:

    DEBUG    every attempt; micro-batches, begun and ended
    INFO     an attempt that failed and is tried again; bulk runs, begun and ended, and going on after a pause
    WARNING  the same from the third failure of a call on; a run that sleeps until HubSpot takes calls again; what may
             need somebody: an answer that was lost, a token that was not renewed in time, a journal open to others
    ERROR    a hook of the application raised

Lines about attempts have these in `extra`, and so as attributes of the record: `method`, `route`, `status`, `attempt`,
`error_type`, `correlation_id` (what HubSpot's support asks for), `run_id`, `lane`, `waited_s`, `took_s`, `retry_in_s`.
Lines about runs have `run_id` and `operation`.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from typing import Final, Literal, TypeVar

from msgspec import Struct

from .errors import HubSpotError

__all__ = ["Attempt", "OnAttempt", "heard", "listener", "log", "route_of"]

T = TypeVar("T")

_log: Final = logging.getLogger("hubspot_meetings_async")
# Where the application sets no logging up, nothing is printed.
_log.addHandler(logging.NullHandler())

_MANY: Final = 3
"""Failures of one call, from which on each is a warning."""


class Attempt(Struct, frozen=True, kw_only=True):
    """One try of one request, however it ended.

    `route` is the path with `{id}` for what varies, fit for the name of a metric; `path` the path itself, without
    query. `number` counts the tries of a call from 1. `status` is None where no answer came. `error` is what the
    attempt ended with; `cancelled` says that nobody waits for it any more. `waited_s` passed before it left (quota,
    journal, circuit breaker), `took_s` from then to the end of the answer. `retry_in_s`: it is tried again in so many
    seconds. `began_at_ns` is Unix time. Sizes are those of bodies, before compression. `run_id` names the bulk run or
    the micro-batch it belongs to.
    """

    method: str
    base_url: str
    route: str
    path: str
    lane: Literal["interactive", "bulk"]
    number: int
    began_at_ns: int
    waited_s: float
    took_s: float
    status: int | None = None
    error: HubSpotError | None = None
    cancelled: bool = False
    retry_in_s: float | None = None
    correlation_id: str | None = None
    run_id: str | None = None
    bytes_sent: int = 0
    bytes_received: int = 0


OnAttempt = Callable[[Attempt], None]
"""Called in the event loop after each attempt; it must not block. What it raises is logged, and changes nothing."""


def heard(*, failed: bool) -> bool:
    """Whether an attempt that failed, or one that did not, makes a log line."""
    return _log.isEnabledFor(logging.INFO if failed else logging.DEBUG)


def log(attempt: Attempt) -> None:
    """The log line of an attempt; see the top of this module."""
    retried, error = attempt.retry_in_s is not None, attempt.error
    level = logging.DEBUG if not retried else logging.INFO if attempt.number < _MANY else logging.WARNING
    if not _log.isEnabledFor(level):
        return
    kind = type(error).__name__ if error is not None else "cancelled" if attempt.cancelled else None
    _log.log(
        level,
        "%s %s: %s, attempt %d%s%s",
        attempt.method,
        attempt.route,
        " ".join(str(word) for word in (attempt.status, kind) if word is not None),
        attempt.number,
        f", again in {attempt.retry_in_s:.2f} s" if retried else "",
        f" [{attempt.correlation_id}]" if attempt.correlation_id is not None else "",
        extra={
            "method": attempt.method,
            "route": attempt.route,
            "status": attempt.status,
            "attempt": attempt.number,
            "error_type": kind,
            "correlation_id": attempt.correlation_id,
            "run_id": attempt.run_id,
            "lane": attempt.lane,
            "waited_s": attempt.waited_s,
            "took_s": attempt.took_s,
            "retry_in_s": attempt.retry_in_s,
        },
    )


def listener(on: Callable[[T], None]) -> Callable[[T], None]:
    """`on`, which may raise what it likes: a listener must not spoil the call it listens to."""

    def tell(details: T) -> None:
        try:
            on(details)
        except Exception:  # noqa: BLE001 - the listener's own
            _log.exception("a hook of this client raised an error; the call goes on")

    return tell


_WORDS: Final = frozenset(
    (
        "crm",
        "objects",
        "meetings",
        "contacts",
        "companies",
        "deals",
        "tickets",
        "batch",
        "create",
        "read",
        "update",
        "upsert",
        "archive",
        "search",
        "merge",
        "gdpr-delete",
        "associations",
        "associate",
        "default",
        "labels",
        "usage",
        "high-usage-report",
        "properties",
        "scheduler",
        "meeting-links",
        "book",
        "availability-page",
        "calendar",
        "account-info",
        "details",
        "api-usage",
        "daily",
        "private-apps",
        "oauth",
        "token",
        "introspect",
        "revoke",
        "get",
        "access-token-info",
    )
)
_VERSION: Final = re.compile(r"v[1-4]|20[0-9]{2}-[0-9]{2}")


def route_of(path: str) -> str:
    """A path with `{id}` in place of ids and of what else varies, so that there are few of them.

    route_of("/crm/v3/objects/meetings/501") == "/crm/v3/objects/meetings/{id}"
    """
    return "/".join(
        part if not part or part in _WORDS or _VERSION.fullmatch(part) else "{id}" for part in path.split("/")
    )
