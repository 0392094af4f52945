"""Judges a finished job by what the source gave, what the caller was told, what the journal says and what HubSpot has.

It reads the journal's file by itself: it shares no code with the library.
"""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

__all__ = ["History", "Verdict", "judge", "read_history", "read_told"]

_FINAL = "cuax"
_KINDS = {"Created": "c", "Updated": "u", "Archived": "a", "Rejected": "x", "Ambiguous": "?"}


class Event(Struct, frozen=True):
    """Something that the journal says of a record: an intent (`i`) or the code of an ack, in which run of the job."""

    code: str
    session: int
    detail: str | None = None
    alone: bool = False


class History(Struct):
    """A journal: what was written of each ordinal, in order, and its key; how many runs there were; how it ended."""

    events: dict[int, list[Event]]
    keys: dict[int, str]
    sessions: int
    records: int | None


class Verdict(Struct):
    """What is wrong with a job (nothing: every list is empty), and what is open by its nature."""

    lost: list[int] = []
    duplicated: list[str] = []
    misreported: list[str] = []
    unaccounted: list[str] = []
    illegal: list[str] = []
    ambiguous: list[int] = []
    suspects: list[int] = []
    """Held back for good, since a process died when they were sent alone after several deaths."""

    @property
    def wrong(self) -> dict[str, list[Any]]:
        """Everything that must not be."""
        return {
            name: found[:5]
            for name in ("lost", "duplicated", "misreported", "unaccounted", "illegal")
            if (found := getattr(self, name))
        }


def read_history(path: Path) -> History:
    """Read a journal that was closed."""
    events: defaultdict[int, list[Event]] = defaultdict(list)
    keys: dict[int, str] = {}
    session, records = 0, None
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as file:
        for kind, data in file.execute("SELECT kind, data FROM log ORDER BY seq"):
            row = msgspec.msgpack.decode(data)
            if kind == 0:
                for ordinal in _ordinals(row[0]):
                    events[ordinal].append(Event("i", session, alone=row[3]))
                keys.update(zip(_ordinals(row[0]), row[1] or (), strict=row[1] is not None))
            elif kind == 1:
                for ordinal, code, detail in zip(_ordinals(row[0]), row[1], row[2], strict=True):
                    events[ordinal].append(Event(code, session, detail))
            elif kind == 3:
                records = row[0]
            elif kind == 4:
                session, records = row[0], None
    return History(dict(events), keys, session, records)


def _ordinals(packed: list[int]) -> Iterator[int]:
    if len(packed) == 2 and packed[1] < 0:
        yield from range(packed[0], packed[0] - packed[1])
    else:
        yield from packed


def read_told(path: Path) -> list[tuple[int, str, str, bool]]:
    """What the callers of all runs saw: ordinal, kind, id or reason, journaled. A torn last line was not seen."""
    if not path.exists():
        return []
    return [tuple(json.loads(line)) for line in path.read_bytes().split(b"\n")[:-1]]


def judge(
    marks: dict[int, str],
    history: History,
    told: list[tuple[int, str, str, bool]],
    stored: dict[str, list[str]],
    *,
    mode: str,
) -> Verdict:
    """Judge a job that ended: `marks` is the source, by ordinals; `stored` the ids of the meetings with each mark."""
    verdict = Verdict()
    for ordinal, mark in marks.items():
        ids = stored.get(mark, [])
        events = history.events.get(ordinal, [])
        code, detail = (events[-1].code, events[-1].detail) if events else ("", None)
        if len(ids) > 1:
            verdict.duplicated.append(mark)
        if code == "?":
            verdict.ambiguous.append(ordinal)
            if detail == "crash" and any(event.alone for event in events):
                verdict.suspects.append(ordinal)
        elif code == "x":
            if ids and mode != "update":
                verdict.misreported.append(f"{mark}: rejected, and it is {ids}")
        elif code not in ("c", "u") or not code:
            verdict.unaccounted.append(f"{mark}: {[event.code for event in events]}")
        elif detail not in ids:
            verdict.misreported.append(f"{mark}: told as {detail}, and it is {ids}")
        if not ids and code not in ("?", "x"):
            verdict.lost.append(ordinal)
        verdict.illegal += _against_the_rules(mark, events, mode)
    for ordinal, kind, detail, journaled in told:
        seen = {(event.code, event.detail) for event in history.events.get(ordinal, [])}
        code = _KINDS.get(kind, "-")
        if journaled and kind != "NotSent" and (code, detail) not in seen and not (code == "x" and seen):
            verdict.misreported.append(f"{marks[ordinal]}: the caller saw {kind} {detail}, the journal knows {seen}")
        if kind == "Created" and detail not in stored.get(marks[ordinal], []):
            verdict.misreported.append(f"{marks[ordinal]}: the caller saw {detail}, which is another meeting")
    if history.records != len(marks):
        verdict.unaccounted.append(f"the journal ends after {history.records} of {len(marks)} records")
    return verdict


def _against_the_rules(mark: str, events: list[Event], mode: str) -> Iterator[str]:
    """What is sent again though it was settled, or though it must be held."""
    out: int | None = None
    settled = ""
    for event in events:
        if event.code == "i":
            if settled and (settled in _FINAL or mode == "hold"):
                yield f"{mark}: sent after {settled}"
            if mode == "hold" and out is not None:
                yield f"{mark}: sent again after run {out}, whose answer nobody saw"
            out = event.session
        else:
            out, settled = None, "" if event.code == "-" else event.code
    if settled == "" and out is None and events:
        yield f"{mark}: {[event.code for event in events]}"
