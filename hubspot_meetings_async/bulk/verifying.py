"""Reading back what was written: does HubSpot hold what was sent?

This module knows how stored values compare with sent ones, and what is sent once more. It must not know streams,
workers, or how requests travel.

HubSpot rewrites some values (times, numbers), which is no difference here. A request that was thought lost can land
late, over a newer value; HubSpot has no precondition that would keep it out, so that only a look afterwards tells.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import anyio
import msgspec

from ..entries import Entry
from ..errors import HubSpotError
from ..inputs import MAX_INPUTS
from ..models import Meeting
from ..wire import Trail
from .operation import Operation, ReadBack
from .outcomes import Ambiguous, Created, Difference, Outcome, Report, Updated
from .settling import comparable

__all__ = ["Verifier"]

_MOST_ROUNDS: Final = 3


class Verifier:
    """Compares, for one run. `report` is told what differs."""

    def __init__(self, operation: Operation, read_back: ReadBack, report: Report) -> None:
        self._operation = operation
        self._read_back = read_back
        self._report = report
        self._doubted: dict[str, list[Entry]] = {}
        self._lost: set[str | None] = set()
        self._repaired_ids: set[str] = set()

    # ---- every batch, when it is written

    async def compared(self, outcomes: list[Outcome[Any, Any]], entries: Sequence[Entry]) -> list[Outcome[Any, Any]]:
        """The outcomes, with what is stored otherwise than sent; as they are where HubSpot could not be asked."""
        sent = {entry.ordinal: entry.sent or {} for entry in entries}
        written = {o.id: sent[o.ordinal] for o in outcomes if isinstance(o, (Created, Updated))}
        if not written:
            return outcomes
        try:
            stored = await self._stored(written)
        except HubSpotError:
            self._report.unverified += len(written)
            return outcomes
        verified: list[Outcome[Any, Any]] = []
        for outcome in outcomes:
            if isinstance(outcome, (Created, Updated)):
                meeting = stored.get(outcome.id)
                if meeting is None:
                    self._report.unverified += 1
                else:
                    differs = _differences(sent[outcome.ordinal], meeting)
                    self._report.differing += bool(differs)
                    outcome = msgspec.structs.replace(outcome, differs=differs)
            verified.append(outcome)
        return verified

    async def _stored(self, written: Mapping[str, Mapping[str, Any]]) -> dict[str, Meeting]:
        names = tuple(dict.fromkeys(name for sent in written.values() for name in sent))
        answer = await self._read_back(list(written), names)
        return {meeting.id: meeting for meeting in answer.results}

    # ---- at the end of the run, what was sent again

    def note(self, outcomes: Sequence[Outcome[Any, Any]], entries: Sequence[Entry], *, doubtful: bool) -> None:
        """Remember records that were sent more than once, and later ones of the same key."""
        if not doubtful and not self._doubted and not self._lost and not any(map(_is_lost, outcomes)):
            return
        by_ordinal = {entry.ordinal: entry for entry in entries}
        for outcome in outcomes:
            entry = by_ordinal.get(outcome.ordinal)
            if entry is not None and _is_lost(outcome):
                # It may land yet, over what comes after it.
                self._lost.add(entry.key)
            if not isinstance(outcome, (Created, Updated)) or entry is None:
                continue
            known = self._doubted.get(outcome.id)
            if known is not None:
                known.append(by_ordinal[outcome.ordinal])
            elif doubtful or entry.key in self._lost:
                self._doubted[outcome.id] = [by_ordinal[outcome.ordinal]]

    async def settle(self) -> None:
        """Read what was sent more than once; send what is stored otherwise once more, three times at most."""
        open_ids = list(self._doubted)
        for _ in range(_MOST_ROUNDS):
            if not open_ids:
                return
            await anyio.sleep(self._operation.settle_s)
            open_ids = [meeting_id for chunk in _chunks(open_ids) for meeting_id in await self._repaired(chunk)]
        self._report.unverified += len(open_ids)

    async def _repaired(self, ids: Sequence[str]) -> list[str]:
        """Compare some meetings, send those again that differ; returns those to look at once more."""
        try:
            stored = await self._stored({meeting_id: self._expected(meeting_id) for meeting_id in ids})
        except HubSpotError:
            return list(ids)
        again = [
            meeting_id
            for meeting_id in ids
            if meeting_id not in stored or _differences(self._expected(meeting_id), stored[meeting_id])
        ]
        # An id may come once in a batch; records of one id go in their order.
        turn = 0
        needed = {meeting_id: self._needed(meeting_id) for meeting_id in again}
        while entries := [needed[i][turn] for i in again if len(needed[i]) > turn]:
            turn += 1
            try:
                await self._operation.send(self._operation.inputs.body(entries), Trail())
            except HubSpotError:
                return again
        self._repaired_ids.update(again)
        self._report.repaired = len(self._repaired_ids)
        return again

    def _needed(self, meeting_id: str) -> list[Entry]:
        """The records to send again: not those that later ones overwrite, lest an old value is the last to arrive."""
        needed: list[Entry] = []
        later: set[str] = set()
        for entry in reversed(self._doubted[meeting_id]):
            if (entry.sent or {}).keys() - later:
                needed.append(entry)
                later.update(entry.sent or {})
        return needed[::-1]

    def _expected(self, meeting_id: str) -> dict[str, Any]:
        """The last value that was sent of each property."""
        return {name: value for entry in self._doubted[meeting_id] for name, value in (entry.sent or {}).items()}


def _is_lost(outcome: Outcome[Any, Any]) -> bool:
    return isinstance(outcome, Ambiguous)


def _differences(sent: Mapping[str, Any], meeting: Meeting) -> dict[str, Difference]:
    return {
        name: Difference(value, meeting.properties.get(name))
        for name, value in sent.items()
        if comparable(meeting.properties.get(name)) != comparable(value)
    }


def _chunks(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(ids), MAX_INPUTS):
        yield ids[start : start + MAX_INPUTS]
