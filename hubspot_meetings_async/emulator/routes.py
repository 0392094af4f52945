"""Which path is which operation: HubSpot's table of endpoints as data, and the search through it.

Knows methods and paths. Must not know aiohttp: matching is a walk along the path's segments, so that a missing route
and a wrong method are told apart and answered in HubSpot's own shape.
"""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import unquote

from . import account, batches, calendar_events, oauth_endpoints, objects, properties, scheduler, scheduler_booking
from .calls import Answer, Call, Endpoint
from .portal import Portal

__all__ = ["DATED_VERSIONS", "Match", "Router", "hubspot_routes"]

DATED_VERSIONS = ("2025-09", "2026-03", "2026-09")


class Match(NamedTuple):
    """What a method and path lead to: an endpoint, or the methods that the path does have."""

    operation: str
    endpoint: Endpoint | None
    captures: dict[str, str]
    allowed: tuple[str, ...] = ()


class _Node:
    __slots__ = ("capture", "child", "literals", "methods")

    def __init__(self) -> None:
        self.literals: dict[str, _Node] = {}
        self.capture: str | None = None
        self.child: _Node | None = None
        self.methods: dict[str, tuple[str, Endpoint]] = {}


class Router:
    """A tree of path segments; a literal segment wins over a variable one."""

    def __init__(self) -> None:
        self._root = _Node()

    def add(self, method: str, template: str, operation: str, endpoint: Endpoint) -> None:
        """Add a route; `{name}` in the template is a variable segment."""
        node = self._root
        for segment in template.strip("/").split("/"):
            if segment.startswith("{"):
                if node.child is None:
                    node.child, node.capture = _Node(), segment[1:-1]
                node = node.child
            else:
                node = node.literals.setdefault(segment, _Node())
        node.methods[method] = (operation, endpoint)

    def match(self, method: str, raw_path: str) -> Match:
        """Find the route of a raw, still percent-encoded path: an encoded slash stays inside its segment."""
        segments = raw_path.strip("/").split("/")
        captures: dict[str, str] = {}
        node = self._walk(self._root, segments, 0, captures)
        if node is None:
            return Match("unknown", None, {})
        found = node.methods.get(method)
        if found is None:
            return Match("unknown", None, {}, tuple(sorted(node.methods)))
        return Match(found[0], found[1], captures)

    def _walk(self, node: _Node, segments: list[str], place: int, captures: dict[str, str]) -> _Node | None:
        if place == len(segments):
            return node if node.methods else None
        segment = segments[place]
        literal = node.literals.get(segment)
        if literal is not None:
            found = self._walk(literal, segments, place + 1, captures)
            if found is not None:
                return found
        if node.child is None or node.capture is None or not segment:
            return None
        found = self._walk(node.child, segments, place + 1, captures)
        if found is not None:
            captures[node.capture] = unquote(segment)
        return found


_OBJECTS: tuple[tuple[str, str, str, Endpoint], ...] = (
    ("GET", "", "list", objects.list_page),
    ("POST", "", "create", objects.create),
    ("GET", "/{id}", "get", objects.get),
    ("PATCH", "/{id}", "update", objects.update),
    ("DELETE", "/{id}", "archive", objects.archive),
    ("POST", "/batch/read", "batch_read", batches.read),
    ("POST", "/batch/create", "batch_create", batches.create),
    ("POST", "/batch/update", "batch_update", batches.update),
    ("POST", "/batch/upsert", "batch_upsert", batches.upsert),
    ("POST", "/batch/archive", "batch_archive", batches.archive),
)
_PROPERTIES: tuple[tuple[str, str, str, Endpoint], ...] = (
    ("GET", "", "list", properties.list_all),
    ("POST", "", "create", properties.create),
    ("GET", "/{name}", "get", properties.get),
)
_LINKS = "/meetings/meeting-links"
_SCHEDULER: tuple[tuple[str, str, str, Endpoint], ...] = (
    ("GET", _LINKS, "list", scheduler.list_links),
    ("POST", f"{_LINKS}/book", "book", scheduler_booking.book),
    ("GET", f"{_LINKS}/book/{{slug}}", "booking_info", scheduler.booking_info),
    ("GET", f"{_LINKS}/book/availability-page/{{slug}}", "availability", scheduler.availability_page),
    ("POST", "/meetings/calendar", "calendar", calendar_events.create_event),
)
_OAUTH: tuple[tuple[str, str, str, Endpoint], ...] = (
    ("GET", "/oauth/authorize", "authorize", oauth_endpoints.authorize),
    ("POST", "/oauth/v1/token", "token", oauth_endpoints.token_v1),
    ("GET", "/oauth/v1/access-tokens/{token}", "access_token_info", oauth_endpoints.access_token_info),
    ("GET", "/oauth/v1/refresh-tokens/{token}", "refresh_token_info", oauth_endpoints.refresh_token_info),
    ("DELETE", "/oauth/v1/refresh-tokens/{token}", "forget_refresh_token", oauth_endpoints.forget_refresh_token),
    ("POST", "/oauth/v2/private-apps/get/access-token-info", "private_app_info", oauth_endpoints.private_app_info),
    *(
        ("POST", f"/oauth/{version}/{path}", name, endpoint)
        for version in ("v3", *DATED_VERSIONS[1:])
        for path, name, endpoint in (
            ("token", "token", oauth_endpoints.token),
            ("token/introspect", "introspect", oauth_endpoints.introspect),
            ("token/revoke", "revoke", oauth_endpoints.revoke),
        )
    ),
)
_LINK_UPDATE_VERSIONS = ("v3", "2026-09", "2026-09-beta")


def hubspot_routes() -> Router:
    """All endpoints, on the v3 paths and on the dated ones (where the version stands behind the family's name)."""
    router = Router()
    for family, prefix, table in (("objects", "meetings", _OBJECTS), ("properties", "properties", _PROPERTIES)):
        for method, rest, name, endpoint in table:
            tail = "/{object_type}" + rest
            router.add(method, f"/crm/v3/{family}{tail}", f"{prefix}.{name}", endpoint)
            for version in DATED_VERSIONS:
                router.add(method, f"/crm/{family}/{version}{tail}", f"{prefix}.{name}", _dated(version, endpoint))
    for version in ("v3", *DATED_VERSIONS):
        for method, tail, name, endpoint in _SCHEDULER:
            router.add(method, f"/scheduler/{version}{tail}", f"scheduler.{name}", endpoint)
        usage = f"/account-info/{version}/api-usage/daily/private-apps"
        router.add("GET", usage, "account.daily_usage", account.daily_usage)
    for method, path, name, endpoint in _OAUTH:
        router.add(method, path, f"oauth.{name}", endpoint)
    for version in _LINK_UPDATE_VERSIONS:
        router.add("PATCH", f"/scheduler/{version}{_LINKS}/{{slug}}", "scheduler.update", scheduler.update_link)
    return router


def _dated(version: str, endpoint: Endpoint) -> Endpoint:
    def dated(portal: Portal, call: Call) -> Answer:
        call.captures["version"] = version
        return endpoint(portal, call)

    return dated
