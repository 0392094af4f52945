"""What must be true of every schedule: judged from the source, the outcomes told, the journal's rows and the ledger.

This module knows the promises. It must not know how the engine, the network or the journal work.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from hubspot_meetings_async.bulk.outcomes import (
    Ambiguous,
    Archived,
    Created,
    NotSent,
    Outcome,
    Rejected,
    Updated,
)

from .plan import Item
from .schedule import History, Session
from .world import KEY, SOMEBODY, Meeting

__all__ = ["Checker", "problems"]

_CODES: Final[dict[type, str]] = {
    Created: "c",
    Updated: "u",
    Archived: "a",
    Rejected: "x",
    Ambiguous: "?",
    NotSent: "-",
}
_PROMPT_S: Final = 15.0


def problems(history: History) -> list[str]:
    """Every promise that this schedule broke, in words."""
    return list(Checker(history).judge())


class Checker:
    """Judges one history."""

    def __init__(self, history: History) -> None:
        self.history = history
        self.plan = history.plan
        self.world = history.world
        self._by_identity = {id(item.record): item for item in self.plan.items if item.kind != "invalid"}
        self._final: dict[int, Outcome[Any]] = {}
        self._told_at: dict[int, float] = {}
        self._ordinals: dict[int, int] = {}
        # With the hole of `durability="process"` in it, a schedule without keys promises the account and nothing else.
        self._hole = bool(history.holes)

    def judge(self) -> Iterator[str]:
        """All that is wrong."""
        if self.history.hangs:
            yield "it hangs"
            return
        for session in self.history.sessions:
            yield from self._account(session)
            yield from self._truth(session)
        yield from self._one_final_state()
        yield from self._told_is_in_the_journal()
        if not self._hole:
            yield from self.history.out_of_order
        if self.plan.mode in ("update", "upsert", "archive", "keyed"):
            yield from self._overlaps()
        yield from self._copies()
        yield from self._final_values()
        yield from self._all_done()
        yield from (f"task left behind: {task}" for task in self.history.leaked)

    def _item(self, outcome: Outcome[Any]) -> Item | None:
        return self._by_identity.get(id(outcome.record))

    # ---- accounting

    def _account(self, session: Session) -> Iterator[str]:
        where = f"session {session.number}"
        if session.error is not None and type(session.error).__name__ == "AccountingError":
            yield f"{where}: {session.error}"
        ordinals = [outcome.ordinal for outcome in session.outcomes]
        if len(set(ordinals)) != len(ordinals):
            yield f"{where}: a record has two outcomes"
        if session.died:
            return
        if isinstance(session.error, (AssertionError, KeyError, TypeError, IndexError, AttributeError, RuntimeError)):
            yield f"{where}: a bug: {session.error!r}"
        report = session.report
        if report is None:
            yield f"{where}: no report"
            return
        if not report.adds_up:
            yield f"{where}: {report} does not add up"
        if len(ordinals) != report.pulled:
            yield f"{where}: {report.pulled} records pulled, {len(ordinals)} outcomes"
        if session.ended and report.pulled + report.settled_before != len(self.plan.items):
            yield f"{where}: {report.pulled} + {report.settled_before} records of {len(self.plan.items)}"
        if session.interrupted_at is not None and session.end is not None and session.end.kind != "stop":
            waited_s = session.ended_at - session.interrupted_at
            if waited_s > _PROMPT_S:
                yield f"{where}: {session.end.kind} took {waited_s:.0f} s"

    # ---- each outcome by itself

    def _truth(self, session: Session) -> Iterator[str]:
        for outcome in session.outcomes:
            item = self._item(outcome)
            if item is None:
                if not isinstance(outcome, (Rejected, NotSent)):
                    yield f"record {outcome.ordinal} can not be sent, and is {outcome}"
                continue
            self._ordinals[item.index] = outcome.ordinal
            if self.plan.resume == "ordinal" and outcome.ordinal != item.index:
                yield f"{item.mark} is told as record {outcome.ordinal}"
            problem = self._wrong(item, outcome, session)
            if problem is not None:
                yield f"session {session.number}: {item.mark} ({item.kind}) is {_short(outcome)}, but {problem}"

    def _wrong(self, item: Item, outcome: Outcome[Any], session: Session) -> str | None:
        match outcome:
            case Created(meeting=meeting, new=new):
                return self._wrong_create(item, meeting.id, new)
            case Updated(meeting=meeting):
                known = self.world.meetings.get(meeting.id)
                if known is None or item.key not in (meeting.id, known.properties.get(KEY)):
                    return f"meeting {meeting.id} is another one"
                return None if self._caused(item) else "nothing of it was ever written"
            case Archived(id=meeting_id):
                known = self.world.meetings.get(meeting_id)
                return None if meeting_id == item.key and (known is None or known.archived) else "it is not archived"
            case Rejected():
                final = outcome.journaled and not self._hole
                return "it was done" if self._caused(item, sessions=None if final else session.number) else None
            case NotSent() if self._hole:
                return None
            case NotSent():
                # Which request did it tells whether that had left when this was said.
                return "it was done" if self._caused(item, sessions=session.number) else None
            case _:
                return None

    def _wrong_create(self, item: Item, meeting_id: str, new: bool | None) -> str | None:
        meeting = self.world.meetings.get(meeting_id)
        if meeting is None:
            return f"there is no meeting {meeting_id}"
        mine = self._is_mine(item, meeting)
        if self.plan.mode in ("keyed", "upsert", "probe"):
            if meeting.properties.get(KEY) != item.key:
                return f"meeting {meeting_id} has the key {meeting.properties.get(KEY)}"
            if new is True and not mine:
                return f"meeting {meeting_id} is {meeting.mark}'s"
            if new is False and mine and not self._hole:
                return "this very job has made it"
            # What nobody can tell apart: another record of this key made it while an answer was lost.
            return f"meeting {meeting_id} is {meeting.mark}'s" if not mine and item.kind == "double" else None
        return None if mine else f"meeting {meeting_id} is {meeting.mark}'s"

    def _is_mine(self, item: Item, meeting: Meeting) -> bool:
        if meeting.mark == item.mark:
            return True
        if not self.plan.twins:
            return False
        sent = {name: str(value) for name, value in dict(item.record.properties).items()}
        return sent == meeting.properties

    def _caused(self, item: Item, *, sessions: int | None = None) -> bool:
        """Whether this record has taken effect, through a request of the first so many sessions."""
        applied = self.world.applied.get(item.mark, ())
        if self.plan.mode == "archive":
            return False
        requests = self.history.network.requests
        if sessions is None:
            return bool(applied)
        # That a refusal proves that nothing was done is HubSpot's word, and what a record that was cut short relies on.
        return any(
            requests[one.request].session <= sessions and requests[one.request].fault != "leaky 400" for one in applied
        )

    # ---- over all sessions

    def _one_final_state(self) -> Iterator[str]:
        for session in self.history.sessions:
            for outcome in session.outcomes:
                item = self._item(outcome)
                if item is None or isinstance(outcome, NotSent) or not outcome.journaled:
                    continue
                if isinstance(outcome, Ambiguous) and self.plan.mode != "hold":
                    self._final.pop(item.index, None)
                    continue
                before = self._final.get(item.index)
                # After an update in doubt, later ones of its id come again.
                lost = session.died or self._hole or self.plan.mode in ("archive", "update", "upsert")
                if before is not None and not lost:
                    yield f"{item.mark} is {_short(before)}, and in session {session.number} {_short(outcome)}"
                self._final[item.index] = outcome

    def _told_is_in_the_journal(self) -> Iterator[str]:
        """J2: what a caller saw is in the journal, in the same words."""
        if self._hole:
            return
        book = self.history.disk.promised
        for index, outcome in self._final.items():
            item = self.plan.items[index]
            code, wanted = book.codes.get(outcome.ordinal, "nothing"), _CODES[type(outcome)]
            if code != wanted:
                yield f"{item.mark} was told as {_short(outcome)}, and the journal says {code!r}"
            elif isinstance(outcome, (Created, Updated)) and book.details[outcome.ordinal] != outcome.meeting.id:
                yield f"{item.mark} is {outcome.meeting.id}, and {book.details[outcome.ordinal]} in the journal"

    def _overlaps(self) -> Iterator[str]:
        yield from self.history.network.overlaps

    def _copies(self) -> Iterator[str]:
        mode, requests = self.plan.mode, self.history.network.requests
        if mode in ("keyed", "upsert"):
            for key, meetings in self.world.by_key.items():
                if len(meetings) > 1:
                    yield f"{key} exists {len(meetings)} times: {', '.join(m.id for m in meetings)}"
        if mode != "hold" or self._hole:
            return
        for mark, meetings in self.world.made.items():
            if mark != SOMEBODY and sum(not meeting.copy for meeting in meetings) > 1:
                yield f"{mark} exists {len(meetings)} times"
        open_since: dict[str, int] = {}
        for request in requests:
            for mark in request.marks:
                if mark in open_since:
                    yield f"{mark} left in request {open_since[mark]}, and again in {request.number}"
                elif not request.undone:
                    open_since[mark] = request.number

    def _final_values(self) -> Iterator[str]:
        """The last record of an id is what HubSpot holds in the end."""
        if self.plan.mode not in ("update", "upsert"):
            return
        last: dict[str, Item] = {}
        unsure: set[str] = set()
        codes = self.history.disk.promised.codes
        for item in self.plan.items:
            if item.key is None:
                continue
            code = codes.get(self._ordinal(item), "nothing")
            if code in "cu":
                last[item.key] = item
                unsure.discard(item.key)
            elif code in "i?" or code == "nothing":
                unsure.add(item.key)
        for key, item in last.items():
            if key in unsure or self._hole:
                continue
            meeting = self.world.meetings.get(key) or next(iter(self.world.by_key.get(key, ())), None)
            if meeting is None:
                yield f"{key} was written, and does not exist"
            elif meeting.properties["mark"] != item.mark and not self._zombie(meeting, item) and not self._gave_up():
                yield f"meeting {meeting.id} holds {meeting.properties['mark']}, and {item.mark} was the last"

    def _zombie(self, meeting: Meeting, item: Item) -> bool:
        """Whether an old request landed late, over the newer value, and nobody had undertaken to look."""
        changes = self.world.changes.get(meeting.id, [])
        requests = self.history.network.requests
        last = max((n for n, one in enumerate(changes) if one.mark == item.mark), default=-1)
        late = [
            one for one in changes[last + 1 :] if (ended := requests[one.request].ended_at) is None or one.at > ended
        ]
        if last < 0 or not late:
            return False
        if any(one.how == "again" for one in late):
            return True  # the answer was there, and gave no reason to look
        return not self._looked_after(item, max(one.at for one in late))

    def _gave_up(self) -> bool:
        """Whether `verify="final"` said that it could not see to everything."""
        return any(session.report is not None and session.report.unverified for session in self.history.sessions)

    def _looked_after(self, item: Item, at: float) -> bool:
        """Whether `verify="final"` had the chance to see this."""
        if self.plan.verify != "final":
            return False
        sessions = self.history.sessions
        whole = len(sessions) == 1 and sessions[0].ended and sessions[0].report is not None
        return whole and at < sessions[0].ended_at and not sessions[0].report.unverified  # type: ignore[union-attr]  # `whole` says it is there

    # ---- a job that was let finish

    def _all_done(self) -> Iterator[str]:
        book = self.history.disk.promised
        stuck = [i for i in self.plan.items if book.codes.get(self._ordinal(i), "-") in "i-"]
        if not self.history.done:
            # Where HubSpot fails on the only records that are left to begin with, it looks like an outage.
            sick = [i for i in self.plan.items if i.kind == "poison" and book.codes.get(self._ordinal(i), "-") in "i-?"]
            if self.plan.live and not sick:
                yield f"not done after {len(self.history.sessions)} sessions: {[item.mark for item in stuck]}"
            return
        if book.ended != len(self.plan.items) and self.plan.resume == "ordinal":
            yield f"the journal's end says {book.ended}, and the source has {len(self.plan.items)} records"
        for item in stuck:
            if item.kind != "invalid":
                yield f"{item.mark} ({item.kind}) has no final state in the journal of a finished job"
        if self.plan.mode == "keyed" and self.plan.live:
            yield from self._all_created()

    def _all_created(self) -> Iterator[str]:
        book = self.history.disk.promised
        for item in self.plan.items:
            if item.kind != "good" or item.key in self.plan.others:
                continue
            ordinal = self._ordinal(item)
            code = book.codes.get(ordinal, "-")
            # In such weather a good record can fail five times in a row, as a poison record does.
            unlucky = code == "x" and "failed each time" in (book.details.get(ordinal) or "")
            if code != "c" and not unlucky:
                yield f"{item.mark} is good, and {code!r} in the end"
            if not unlucky and not self.world.by_key.get(item.key or ""):
                yield f"{item.mark} is lost"

    def _ordinal(self, item: Item) -> int:
        """Under which number the journal has this record."""
        if self.plan.resume == "key":
            return self.history.disk.promised.keys.get(item.key or "", -1)
        return self._ordinals.get(item.index, item.index)


def _short(outcome: Outcome[Any]) -> str:
    words = [type(outcome).__name__]
    meeting = getattr(outcome, "meeting", None)
    words += [f"id={meeting.id}"] if meeting is not None else []
    words += [f"{name}={getattr(outcome, name)}" for name in ("new", "why", "error") if getattr(outcome, name, None)]
    return " ".join(words)
