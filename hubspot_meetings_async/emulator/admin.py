"""The emulator's own paths under `/__emulator/`: statistics, faults, the truth, starting anew. Plain JSON, no token.

Knows HTTP and the `House`. These calls are neither counted nor limited, and never touched by faults.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from aiohttp import web

from .admin_account import account_actions
from .connections import refused, whole_body
from .definitions import PropertyType
from .faults import FaultRule
from .house import House
from .keeping import DataFileError
from .live import live
from .refusals import Refusal
from .values import Raw

__all__ = ["Admin"]

_encode = msgspec.json.Encoder().encode


class ResetBody(msgspec.Struct, forbid_unknown_fields=True):
    """What to start anew; everything by default."""

    records: bool = True
    properties: bool = True
    faults: bool = True
    counts: bool = True


class FaultsBody(msgspec.Struct, forbid_unknown_fields=True):
    """Rules to put to work."""

    rules: list[FaultRule]


class ObjectBody(msgspec.Struct, forbid_unknown_fields=True):
    """A record to put into the account without a request."""

    type: str
    id: str | int | None = None
    properties: dict[str, Raw] = {}


class PropertyBody(msgspec.Struct, forbid_unknown_fields=True):
    """A custom property to give the account."""

    name: str
    type: PropertyType = "string"
    unique: bool = False
    options: list[str] = []


class Admin:
    """The handler of all admin paths."""

    def __init__(self, house: House, *, idle_s: float = 75.0) -> None:
        self._house = house
        self._idle_s = idle_s
        self._actions: dict[tuple[str, str], Callable[[web.Request, bytes], Any]] = {
            ("GET", "stats"): self._stats,
            ("GET", "live"): self._live,
            ("GET", "stamps"): self._stamps,
            ("GET", "requests"): self._requests,
            ("GET", "faults"): self._list_faults,
            ("POST", "faults"): self._add_faults,
            ("DELETE", "faults"): self._clear_faults,
            ("GET", "ledger"): self._ledger,
            ("GET", "duplicates"): self._duplicates,
            ("POST", "objects"): self._add_object,
            ("POST", "properties"): self._add_property,
            ("POST", "settle-search"): self._settle_search,
            ("POST", "reset"): self._reset,
            **account_actions(house),
        }

    async def handle(self, request: web.Request) -> web.Response:
        """Answer one admin request."""
        origin = request.headers.get("Origin")
        if origin is not None and origin.partition("://")[2] != request.host:
            return _json(403, {"message": f"pages of {origin} may not steer this emulator"})
        name = request.path.removeprefix("/__emulator/").strip("/")
        action = self._actions.get((request.method, name))
        if action is None:
            known = ", ".join(f"{method} /__emulator/{path}" for method, path in self._actions)
            return _json(404, {"message": f"no such admin call; there are: {known}"})
        try:
            answer = _json(200, action(request, await whole_body(request, self._idle_s)))
            if request.method != "GET":
                self._house.keep()
            return answer
        except DataFileError as error:
            return _json(500, {"message": str(error)})
        except Refusal as refusal:
            return refused(refusal)
        except (ValueError, RecursionError, msgspec.MsgspecError) as error:
            return _json(400, {"message": str(error)})

    def _stats(self, request: web.Request, body: bytes) -> Any:
        return self._house.stats()

    def _live(self, request: web.Request, body: bytes) -> Any:
        return live(self._house)

    def _stamps(self, request: web.Request, body: bytes) -> Any:
        started_s = self._house.counts.started_s
        return {
            name: [stamp - started_s for stamp in window.accepted] for name, window in self._house.quota.apps.items()
        }

    def _requests(self, request: web.Request, body: bytes) -> Any:
        return {"requests": list(self._house.counts.recent)}

    def _list_faults(self, request: web.Request, body: bytes) -> Any:
        return {
            "rules": [
                {"rule": rule, "left": left, "struck": struck} for rule, left, struck in self._house.faults.rules()
            ],
            "injected": self._house.faults.injected,
        }

    def _add_faults(self, request: web.Request, body: bytes) -> Any:
        for rule in msgspec.json.decode(body, type=FaultsBody).rules:
            self._house.faults.add(rule)
        return self._list_faults(request, body)

    def _clear_faults(self, request: web.Request, body: bytes) -> Any:
        self._house.faults.clear()
        return self._list_faults(request, body)

    def _ledger(self, request: web.Request, body: bytes) -> Any:
        """Paged by `after` (an id) and `limit`; without a limit all objects at once."""
        query = request.query
        limit = int(query["limit"]) if "limit" in query else None
        entries = self._house.portal.ledger(
            query.get("property"), object_type=query.get("type", "meetings"), after=int(query.get("after", 0))
        )
        objects = [entry for _, entry in zip(range(limit), entries, strict=False)] if limit is not None else [*entries]
        return {"property": query.get("property"), "objects": objects}

    def _duplicates(self, request: web.Request, body: bytes) -> Any:
        name = request.query.get("property")
        if not name:
            raise ValueError("say which property: /__emulator/duplicates?property=NAME")
        archived = request.query.get("archived") == "true"
        return {"property": name, "duplicates": self._house.portal.duplicates_by(name, archived=archived)}

    def _add_object(self, request: web.Request, body: bytes) -> Any:
        given = msgspec.json.decode(body, type=ObjectBody)
        return {"id": self._house.portal.add_object(given.type, id=given.id, properties=given.properties)}

    def _add_property(self, request: web.Request, body: bytes) -> Any:
        given = msgspec.json.decode(body, type=PropertyBody)
        return self._house.portal.add_property(given.name, type=given.type, unique=given.unique, options=given.options)

    def _settle_search(self, request: web.Request, body: bytes) -> Any:
        self._house.portal.settle_search()
        return {"settled": True}

    def _reset(self, request: web.Request, body: bytes) -> Any:
        what = msgspec.json.decode(body, type=ResetBody) if body else ResetBody()
        self._house.reset(records=what.records, properties=what.properties, faults=what.faults, counts=what.counts)
        return {"reset": what}


def _json(status: int, payload: Any) -> web.Response:
    return web.Response(status=status, body=_encode(payload), content_type="application/json")
