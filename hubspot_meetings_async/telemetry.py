"""What the client tells about its work: one frozen Struct for each attempt, and for each thing that happens to a run.

This module knows what is told. It must not know who listens, HTTP libraries, or how calls are made. No field holds a
token, a header or a body.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from typing import Final, Literal, TypeVar

from msgspec import Struct

from .errors import HubSpotError

__all__ = ["Attempt", "OnAttempt", "listener", "route_of"]

T = TypeVar("T")

_log: Final = logging.getLogger("hubspot_meetings_async")


class Attempt(Struct, frozen=True, kw_only=True):
    """One try of one request, however it ended.

    `route` is the path with `{id}` for what varies, fit for the name of a metric; `path` the path itself, without
    query. `number` counts the tries of a call from 1. `status` is None where no answer came. `error` is what the
    attempt ended with; `cancelled` says that nobody waits for it any more. `waited_s` passed before it left (quota,
    journal, circuit breaker), `took_s` from then to the end of the answer. `retry_in_s`: it is tried again in so many
    seconds. `began_at_ns` is Unix time. Sizes are those of bodies, before compression.
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
    bytes_sent: int = 0
    bytes_received: int = 0


OnAttempt = Callable[[Attempt], None]
"""Called in the event loop after each attempt; it must not block. What it raises is logged, and changes nothing."""


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
