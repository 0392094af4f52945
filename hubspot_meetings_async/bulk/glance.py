"""A batch's answer at a glance: only what tells which result belongs to which record.

This module knows how to read ids, trace ids and one property of each result, and to leave the rest of the bytes for
later. It must not know I/O or tasks. It decides nothing in doubt: an answer with errors, with a result too few, twice
or unknown, is decoded as a whole, for those who look closer.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, cast

import msgspec
from msgspec import Struct

from ..entries import Entry, Telling
from ..models import BatchResponse, Meeting
from ..wire import Decodes, Request, Response, parse
from .matching import one_each, telling

__all__ = ["Glance", "Matched", "glance_at"]


class Seen(Struct, gc=False, rename="camel"):
    """What is read of a result."""

    id: str
    object_write_trace_id: str | None = None
    new: bool | None = None


class _Answer(Struct, gc=False, rename="camel"):
    status: str
    results: list[Any]
    errors: Any = None
    num_errors: Any = None


@lru_cache(maxsize=64)
def _decoder(telling: str | None) -> msgspec.json.Decoder[_Answer]:
    kind: type[Struct] = Seen
    if telling is not None:
        value = msgspec.field(name=telling, default=None)
        told = msgspec.defstruct("_Told", [("value", str | None, value)], frozen=True, gc=False)
        # On top of what all have, so that a result without the property is read, and matches nothing.
        kind = msgspec.defstruct("_Seen", [("properties", told, told())], bases=(Seen,), rename="camel", gc=False)
    answer = msgspec.defstruct("_AnswerOf", [("results", list[kind])], bases=(_Answer,), rename="camel", gc=False)  # type: ignore[valid-type]  # made for this property
    return cast("msgspec.json.Decoder[_Answer]", msgspec.json.Decoder(answer))


class Matched(Struct, gc=False):
    """An answer that has exactly one result for each record: `seen` and their `ids` are in the order of the records."""

    seen: Sequence[Seen]
    ids: list[str]
    answer: LateAnswer

    @property
    def errors(self) -> tuple[()]:
        """There are none."""
        return ()

    @property
    def results(self) -> tuple[Meeting, ...]:
        """All of its meetings, decoded."""
        return tuple(self.answer.meeting(meeting_id) for meeting_id in self.ids)


class LateAnswer:
    """The bytes of an answer until somebody looks at one of its meetings, and its meetings from then on."""

    __slots__ = ("_body", "_meetings", "_whole")

    def __init__(self, body: bytes, whole: msgspec.json.Decoder[BatchResponse[Any]]) -> None:
        self._body = body
        self._whole = whole
        self._meetings: dict[str, Any] | None = None

    def meeting(self, meeting_id: str) -> Any:
        """One of its meetings, as far as its fields fit. Raises: UnexpectedResponse where it is no JSON after all."""
        if self._meetings is None:
            request = Request(method="POST", path="", decoder=self._whole)
            # What became of the record is settled by its id: an odd field is no reason to keep the rest from anybody.
            answer = parse(request, Response(200, {}, self._body), validate=False)
            self._meetings, self._body = {meeting.id: meeting for meeting in answer.results}, b""
        return self._meetings[meeting_id]


class Glance:
    """Decodes the answer to the batch of these entries: `Matched` where all is as it should be, whole where not."""

    __slots__ = ("_entries", "_tells", "_whole")

    def __init__(
        self,
        entries: Sequence[Entry],
        tells: Telling,
        whole: msgspec.json.Decoder[BatchResponse[Any]],
    ) -> None:
        self._entries = entries
        self._tells = tells
        self._whole = whole

    @property
    def type(self) -> Any:
        """Of a whole answer."""
        return self._whole.type

    def decode(self, body: bytes) -> Matched | BatchResponse[Any]:
        """Raises: msgspec.DecodeError, UnicodeDecodeError."""
        try:
            if not body.isascii():
                body.decode()  # strings that are passed over are not looked into
            answer = _decoder(self._tells.name).decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return self._whole.decode(body)
        if not answer.errors and not answer.num_errors:
            each = one_each(self._entries, answer.results, self._tells, _told)
            if each is not None:
                seen, ids = each
                return Matched(seen, ids, LateAnswer(body, self._whole))
        return self._whole.decode(body)


def _told(_: str, results: Sequence[Any]) -> list[str | None]:
    return [seen.properties.value for seen in results]


def glance_at(
    entries: Sequence[Entry], id_property: str | None, whole: msgspec.json.Decoder[BatchResponse[Any]]
) -> Decodes[Any]:
    """The decoder for the answer to a batch of these entries."""
    tells = telling(entries, id_property)
    # Else only trace ids could tell, and HubSpot is not known to repeat them in results.
    return whole if tells is None else Glance(entries, tells, whole)
