"""HubSpot's own state, as a model: meetings, what each batch call does to them at once, and the truth about it.

This module knows HubSpot's rules and keeps the ledger that the checker believes. It must not know time, networks,
faults, or the library under test: it shares no code with it, nor with the emulator.

A `mark` names the record of the source that an input came from, whatever its key: the property `mark`, or the trace id.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

__all__ = ["KEY", "SOMEBODY", "Applied", "Done", "Meeting", "Rules", "World"]

KEY: Final = "ref"
"""The unique property."""
SOMEBODY: Final = "somebody"
"""The mark of meetings that others made."""


@dataclass(slots=True)
class Meeting:
    """A meeting; `mark` is of the record that made it, `request` the request that did."""

    id: str
    mark: str
    properties: dict[str, str]
    made_at: float
    request: int
    copy: bool = False
    archived: bool = False
    indexed_at: float = 0.0


@dataclass(slots=True)
class Applied:
    """One input took effect. `how`: `first`, `again` (a middlebox sent it twice) or `late`."""

    mark: str
    meeting: str
    at: float
    request: int
    how: str


@dataclass(slots=True)
class Done:
    """What one batch call did: results and errors by the position of their input."""

    status: int
    results: dict[int, dict[str, Any]] = field(default_factory=dict)
    errors: dict[int, tuple[str, str]] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Rules:
    """How this HubSpot is: `unique`: it keeps a second meeting of one key out; `echo`: results repeat trace ids;
    `multi_status`: single bad inputs are named in a 207 instead of a refusal of the whole batch; `index_lag_s`: how
    long search may lag behind."""

    unique: bool = True
    echo: bool = False
    multi_status: bool = True
    index_lag_s: float = 20.0


class World:
    """All meetings, and the ledger of who did what to them."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.meetings: dict[str, Meeting] = {}
        self.by_key: dict[str, list[Meeting]] = {}
        self.made: dict[str, list[Meeting]] = {}
        self.applied: dict[str, list[Applied]] = {}
        self.changes: dict[str, list[Applied]] = {}
        self._next_id = 5_000

    # ---- inputs

    @staticmethod
    def mark_of(given: dict[str, Any]) -> str:
        """Which record of the source an input is."""
        properties = given.get("properties") or {}
        return str(properties.get("mark") or given.get("objectWriteTraceId") or given["id"])

    @staticmethod
    def is_poison(given: dict[str, Any]) -> bool:
        """Whether this input makes HubSpot fail."""
        return "poison" in (given.get("properties") or {})

    # ---- calls: each does all it does in one step

    def call(
        self, op: str, inputs: list[dict[str, Any]], *, at: float, request: int, how: str, whole: bool = False
    ) -> Done:
        """Carry a batch out. `whole`: one bad input refuses all of them, and nothing is done."""
        if whole:
            for given in inputs:
                error = self._problem(op, given)
                if error is not None:
                    return Done(409 if error[0] == "CONFLICT" else 400, errors={0: error})
        done = Done(200)
        for position, given in enumerate(inputs):
            error = self._problem(op, given)
            if error is not None:
                done.errors[position] = error
                done.status = 207
            else:
                done.results[position] = self._do(op, given, at=at, request=request, how=how)
        if op == "create" and done.status == 200:
            done.status = 201
        return done

    def _problem(self, op: str, given: dict[str, Any]) -> tuple[str, str] | None:
        properties = given.get("properties") or {}
        if "bad" in properties:
            return "VALIDATION_ERROR", 'Property values were not valid: [{"message":"bad is no good","name":"bad"}]'
        if op == "update" and (given["id"] not in self.meetings or self.meetings[given["id"]].archived):
            return "OBJECT_NOT_FOUND", f"no meeting {given['id']}"
        if "clash" in properties:
            return "CONFLICT", "another unique value is taken"
        if op == "create" and self.rules.unique and self.by_key.get(properties.get(KEY, "")):
            return "CONFLICT", f"{KEY} {properties[KEY]} is taken"
        return None

    def _do(self, op: str, given: dict[str, Any], *, at: float, request: int, how: str) -> dict[str, Any]:
        mark = self.mark_of(given)
        properties = {name: str(value) for name, value in (given.get("properties") or {}).items()}
        new = False
        if op == "create":
            meeting = self.make(mark, properties, at=at, request=request, copy=how == "again")
        elif op == "upsert":
            known = self.by_key.get(given["id"], []) if self.rules.unique else []
            new = not known
            if new:
                meeting = self.make(mark, {**properties, KEY: given["id"]}, at=at, request=request)
            else:
                meeting = known[0]
                meeting.properties.update(properties)
        else:
            known_by_id = self.meetings.get(given["id"])
            if known_by_id is None:  # archiving what is not there is no error
                return {}
            meeting = known_by_id
            meeting.properties.update(properties)
            meeting.archived = meeting.archived or op == "archive"
        entry = Applied(mark, meeting.id, at, request, how)
        self.applied.setdefault(mark, []).append(entry)
        self.changes.setdefault(meeting.id, []).append(entry)
        result = self.shown(meeting)
        if op == "upsert":
            result["new"] = new
        if self.rules.echo and "objectWriteTraceId" in given:
            result["objectWriteTraceId"] = given["objectWriteTraceId"]
        return result

    def make(
        self,
        mark: str,
        properties: dict[str, str],
        *,
        at: float,
        request: int = -1,
        copy: bool = False,
        lag: float = 1.0,
    ) -> Meeting:
        """A new meeting. `lag`: which share of the index's lag it takes to be seen by a search."""
        self._next_id += 1
        meeting = Meeting(str(self._next_id), mark, properties, at, request, copy)
        meeting.indexed_at = at + lag * self.rules.index_lag_s
        self.meetings[meeting.id] = meeting
        self.made.setdefault(mark, []).append(meeting)
        if KEY in properties:
            self.by_key.setdefault(properties[KEY], []).append(meeting)
        return meeting

    # ---- reads

    def shown(self, meeting: Meeting) -> dict[str, Any]:
        """A meeting as HubSpot writes it; `createdAt` is filled in by who knows the time of day."""
        return {
            "id": meeting.id,
            "properties": {**meeting.properties, "hs_object_id": meeting.id},
            "createdAt": meeting.made_at,
            "archived": meeting.archived,
        }

    def by_keys(self, keys: list[str], archived: bool | None) -> dict[str, list[Meeting]]:
        """Meetings by key, of those that are archived, are not, or (None) either."""
        return {
            key: [m for m in self.by_key.get(key, ()) if archived is None or m.archived is archived] for key in keys
        }
