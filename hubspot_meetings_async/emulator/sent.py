"""What a client sent, for whoever asks afterwards: requests with their bodies, picked by patterns, told in a few lines.

Knows the log's entries. Must not know sockets, threads or test runners.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import parse_qs, urlencode

import msgspec

from .counts import RequestEntry

__all__ = ["SentRequest", "Wanted", "told"]

_TOLD_REQUESTS = 40
_TOLD_BODY = 600


class _Batch(msgspec.Struct):
    inputs: list[msgspec.Raw]


class SentRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One request and what became of it.

    `status` is 0 when no answer was sent, `fault` the name of what struck it (`502 applied`, `reset`, …). `body` is
    empty for calls for tokens: their secrets are not kept.
    """

    number: int
    method: str
    path: str
    query: dict[str, list[str]]
    body: bytes
    operation: str
    status: int
    fault: str | None
    took_s: float

    @property
    def json(self) -> Any:
        """The body's JSON value; None for an empty body. Raises: ValueError when it is no JSON."""
        try:
            return msgspec.json.decode(self.body) if self.body else None
        except msgspec.DecodeError as error:
            raise ValueError(f"the body of {self.method} {self.path} is no JSON: {error}") from None

    @classmethod
    def of(cls, entry: RequestEntry) -> SentRequest:
        """The request of an entry of the log."""
        return cls(
            number=entry.number,
            method=entry.method,
            path=entry.path,
            query=parse_qs(entry.query, keep_blank_values=True),
            body=entry.body or b"",
            operation=entry.operation,
            status=entry.status,
            fault=entry.fault,
            took_s=entry.took_s,
        )

    def __str__(self) -> str:
        query = f"?{urlencode(self.query, doseq=True)}" if self.query else ""
        told = [f"{self.method} {self.path}{query} -> {self.status or 'no answer'}"]
        if self.fault is not None:
            told.append(f"fault: {self.fault}")
        inputs = _inputs(self.body)
        if inputs is not None:
            told.append(f"{inputs} input{'s' * (inputs != 1)}")
        return ", ".join(told)


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which requests are meant. Patterns are those of the shell; `query` and `json` left out match anything.

    Raises: ValueError for a path with a query in it.
    """

    method: str = "*"
    path: str = "*"
    operation: str = "*"
    query: Mapping[str, str] | None = None
    json: Any = msgspec.UNSET

    def __post_init__(self) -> None:
        if "?" in self.path:
            raise ValueError(f"give the query apart from the path, as query={{…}}: {self.path!r}")

    def place_matches(self, request: SentRequest) -> bool:
        """Whether method, path and operation are those meant."""
        return (
            fnmatchcase(request.method, self.method.upper())
            and fnmatchcase(request.path, self.path)
            and fnmatchcase(request.operation, self.operation)
        )

    def matches(self, request: SentRequest) -> bool:
        """Whether this request is meant; of the query, the parameters named must be there."""
        if not self.place_matches(request):
            return False
        if self.query and any(value not in request.query.get(name, ()) for name, value in self.query.items()):
            return False
        return self.json is msgspec.UNSET or (_is_json(request.body) and request.json == self.json)

    def __str__(self) -> str:
        told = [f"{self.method.upper()} {self.path}".replace("* *", "any request")]
        if self.operation != "*":
            told.append(f"operation {self.operation}")
        if self.query:
            told.append("query " + ", ".join(f"{name}={value}" for name, value in self.query.items()))
        if self.json is not msgspec.UNSET:
            told.append(f"JSON {_cut(msgspec.json.encode(self.json).decode())}")
        return ", ".join(told)


def told(requests: Iterable[SentRequest], *, bodies_of: Wanted | None = None) -> str:
    """The requests in the order they came, a line each; with bodies where they are in question."""
    listed = list(requests)
    if not listed:
        return "the HubSpot emulator saw no request"
    lines = [f"the HubSpot emulator saw {len(listed)} request{'s' * (len(listed) != 1)}:"]
    if len(listed) > _TOLD_REQUESTS:
        lines.append(f"  … {len(listed) - _TOLD_REQUESTS} earlier ones")
    for request in listed[-_TOLD_REQUESTS:]:
        lines.append(f"  {request.number}. {request}")
        if bodies_of is not None and request.body and bodies_of.place_matches(request):
            lines.append(f"     {_cut(request.body.decode(errors='replace'))}")
    return "\n".join(lines)


def _inputs(body: bytes) -> int | None:
    """How many inputs a batch has; None for what is none."""
    try:
        return len(msgspec.json.decode(body, type=_Batch).inputs)
    except msgspec.DecodeError:
        return None


def _is_json(body: bytes) -> bool:
    try:
        msgspec.json.decode(body)
    except msgspec.DecodeError:
        return False
    return True


def _cut(text: str) -> str:
    return text if len(text) <= _TOLD_BODY else f"{text[:_TOLD_BODY]}… ({len(text):,} characters)"
