"""Which path is which operation: HubSpot's table of endpoints as data, and the search through it.

Knows methods and paths. Must not know aiohttp: matching is a walk along the path's segments, so that a missing route
and a wrong method are told apart and answered in HubSpot's own shape.
"""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import unquote

from . import (
    account,
    associations_batches,
    batches,
    calendar_events,
    links,
    merging,
    oauth_endpoints,
    objects,
    properties,
    scheduler,
    scheduler_booking,
    search,
)
from .associations import object_type
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
        return Match(_named_after(found[0], captures), found[1], captures)

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
    ("POST", "/search", "search", search.search),
)
_LINKS_V3: tuple[tuple[str, str, str, Endpoint], ...] = (
    ("PUT", "/{to_type}/{to_id}/{kind}", "add", links.put_v3),
    ("DELETE", "/{to_type}/{to_id}/{kind}", "remove", links.remove_v3),
)
_LINKS_V4: tuple[tuple[str, str, str, Endpoint], ...] = (
    ("GET", "/{to_type}", "list", links.list_v4),
    ("PUT", "/default/{to_type}/{to_id}", "put_default", links.put_default),
    ("PUT", "/{to_type}/{to_id}", "put", links.put_labels),
    ("DELETE", "/{to_type}/{to_id}", "archive", links.remove_all),
)
_LINK_BATCHES_V3: tuple[tuple[str, str, str, Endpoint], ...] = (
    ("POST", "/batch/create", "batch_create", associations_batches.create_v3),
    ("POST", "/batch/read", "batch_read", associations_batches.read_v3),
    ("POST", "/batch/archive", "batch_archive", associations_batches.archive_v3),
)
_LABELS: tuple[tuple[str, str, str, Endpoint], ...] = (
    ("GET", "/labels", "labels", associations_batches.list_labels),
    ("POST", "/labels", "create_label", associations_batches.create_label),
)
_LINK_BATCHES_V4: tuple[tuple[str, str, str, Endpoint], ...] = (
    ("POST", "/batch/create", "batch_create", associations_batches.create),
    ("POST", "/batch/associate/default", "batch_default", associations_batches.associate_default),
    ("POST", "/batch/read", "batch_read", associations_batches.read),
    ("POST", "/batch/archive", "batch_archive", associations_batches.archive),
    ("POST", "/batch/labels/archive", "batch_labels_archive", associations_batches.archive_labels),
    *_LABELS,
)
_MERGING: tuple[tuple[str, str, str, Endpoint], ...] = (
    ("POST", "/merge", "merge", merging.merge),
    ("POST", "/gdpr-delete", "gdpr_delete", merging.gdpr_delete),
)
_MERGING_VERSIONS = ("2025-09", "2026-09")
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
    for version in _MERGING_VERSIONS:
        for method, rest, name, endpoint in _MERGING:
            router.add(method, f"/crm/objects/{version}/{{object_type}}{rest}", f"meetings.{name}", endpoint)
    _add_associations(router)
    for version in ("v3", *DATED_VERSIONS):
        for method, tail, name, endpoint in _SCHEDULER:
            router.add(method, f"/scheduler/{version}{tail}", f"scheduler.{name}", endpoint)
        router.add("GET", f"/account-info/{version}/details", "account.details", account.details)
        usage = f"/account-info/{version}/api-usage/daily/private-apps"
        router.add("GET", usage, "account.daily_usage", account.daily_usage)
    for method, path, name, endpoint in _OAUTH:
        router.add(method, path, f"oauth.{name}", endpoint)
    for version in _LINK_UPDATE_VERSIONS:
        router.add("PATCH", f"/scheduler/{version}{_LINKS}/{{slug}}", "scheduler.update", scheduler.update_link)
    return router


def _add_associations(router: Router) -> None:
    """v3 and v4 side by side; a dated version speaks like v4, and takes v3's longer form of single ties too."""
    one, pair = "/{object_type}/{id}/associations", "/{object_type}/{to_type}"
    report = "/usage/high-usage-report/{user_id}"

    def add(prefix: str, table: tuple[tuple[str, str, str, Endpoint], ...], version: str | None = None) -> None:
        for method, rest, name, endpoint in table:
            known = endpoint if version is None else _dated(version, endpoint)
            router.add(method, prefix + rest, f"associations.{name}", known)

    add(f"/crm/v3/objects{one}", (("GET", "/{to_type}", "list", links.list_v3), *_LINKS_V3))
    add(f"/crm/v3/associations{pair}", _LINK_BATCHES_V3)
    add(f"/crm/v4/objects{one}", _LINKS_V4)
    add(f"/crm/v4/associations{pair}", _LINK_BATCHES_V4)
    add(f"/crm/associations/v4{pair}", _LABELS)
    add("/crm/v4/associations", (("POST", report, "usage_report", associations_batches.usage_report),))
    for version in DATED_VERSIONS:
        add(f"/crm/objects/{version}{one}", (*_LINKS_V4, *_LINKS_V3))
        add(f"/crm/associations/{version}{pair}", _LINK_BATCHES_V4, version)
        add(f"/crm/associations/{version}", (("POST", report, "usage_report", associations_batches.usage_report),))


def _named_after(operation: str, captures: dict[str, str]) -> str:
    """The operation's name; endpoints for any object type are named after the type: `contacts.create`."""
    family, _, name = operation.partition(".")
    if family == "meetings":
        type_ = object_type(captures["object_type"])
        if type_ is not None:
            return f"{type_.plural}.{name}"
    return operation


def _dated(version: str, endpoint: Endpoint) -> Endpoint:
    def dated(portal: Portal, call: Call) -> Answer:
        call.captures["version"] = version
        return endpoint(portal, call)

    return dated
