"""A request as the rules see it, and an answer as they give it: no sockets, no headers, no bytes on a wire.

The front door (`app`) makes a `Call` of a request; endpoints turn it into an `Answer` or raise a `Refusal`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from .associations import object_type
from .crm import Crm
from .portal import Portal
from .refusals import Refusal, validation

__all__ = ["Answer", "Call", "Endpoint", "crm_of"]


class Answer(msgspec.Struct, frozen=True):
    """A status and the JSON that goes with it; None is no body."""

    status: int
    payload: Any = None
    headers: dict[str, str] = {}


class Call(msgspec.Struct, kw_only=True):
    """One request.

    Args:
        operation: the endpoint's name, like `meetings.batch_create`.
        captures: what stood in the path's variable segments, decoded.
        query: every value of every query parameter.
        url: the request's URL without its query, for paging links.
        number: the request's number since the start; records remember it.
        only_inputs: carry out only so many inputs of a batch (a fault that breaks off half-way).
    """

    operation: str
    captures: dict[str, str]
    query: Mapping[str, Sequence[str]]
    body: bytes
    url: str
    number: int
    now_ms: int
    only_inputs: int | None = None

    def one(self, name: str) -> str | None:
        """A query parameter's last value."""
        values = self.query.get(name)
        return values[-1] if values else None

    def many(self, name: str) -> list[str]:
        """A list parameter: comma-joined, repeated, or both; each name once."""
        names = (name.strip() for value in self.query.get(name, ()) for name in value.split(","))
        return list(dict.fromkeys(name for name in names if name))

    def flag(self, name: str) -> bool:
        """A boolean parameter, False when left out. Raises: Refusal."""
        text = self.one(name)
        if text is None or text.lower() == "false":
            return False
        if text.lower() == "true":
            return True
        raise validation(f"{name} must be true or false, not {text}")


Endpoint = Callable[[Portal, Call], Answer]


OBJECT_ENDPOINTS = ("meetings", "contacts", "companies", "deals", "tickets")
"""Object types whose records can be reached over HTTP."""


def crm_of(portal: Portal, call: Call) -> Crm:
    """The records the path names. Raises: Refusal (404) for types that have no object endpoints here."""
    name = call.captures["object_type"]
    type_ = object_type(name)
    if type_ is None or name not in (type_.plural, type_.type_id) or type_.plural not in OBJECT_ENDPOINTS:
        raise Refusal(404, f"Unable to infer object type from: {name}")
    return portal.crm(type_.plural)
