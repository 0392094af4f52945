"""From what HubSpot answered to what became of each record.

This module knows how answers name records: by trace id, by id or unique value, by the values written; never by their
place in the answer. It must not know I/O, tasks, or how answers travel.

HubSpot: https://developers.hubspot.com/docs/api-reference/error-handling (multi-status errors)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import repeat
from typing import Any, NamedTuple, cast

from msgspec import Struct

from ..calling.retry import Effect, effect_of, why
from ..entries import Entry, keys_of, origins_of
from ..errors import AmbiguousWriteError, HubSpotError, RequestRejected, UnexpectedResponse
from ..models import BatchError, BatchResponse, Meeting, UpsertedMeeting, read_as
from ..wire import rejection
from .glance import Matched
from .late import Unread
from .matching import one_each, telling
from .outcomes import Ambiguous, Archived, Created, NotSent, Outcome, Read, Rejected, Updated

__all__ = ["Settlement", "comparable", "settle_answer", "settle_archived", "settle_failure"]


class Settlement(NamedTuple):
    """`outcomes` are final; `again` are entries that the answer did not name and that may be sent again.

    `alike` is the type of the outcomes, where each record was done, and all in the same way.
    """

    outcomes: list[Outcome[Any, Any]]
    again: list[Entry]
    alike: type | None = None


def settle_archived(entries: Sequence[Entry]) -> Settlement:
    """`batch/archive` answers 204 without a list: it stands for all."""
    return Settlement([*map(Archived, *origins_of(entries), keys_of(entries) or ())], [], Archived)


def settle_answer(
    operation: str,
    entries: Sequence[Entry],
    answer: BatchResponse[Meeting] | Matched,
    *,
    id_property: str | None = None,
    may_repeat: bool = True,
    into: type[Struct] | None = None,
    learn: bool = False,
) -> Settlement:
    """What a 200, 201 or 207 says about each entry; meetings that were read have their properties `into` a Struct.

    Entries that it names neither as done nor as failed go to `again` when `may_repeat` (updates, upserts, reads), and
    are ambiguous otherwise. With `learn`, entries that failed for one of several reasons which name nobody are
    not rejected for all of them, but left open too: sent in smaller batches, each learns its own.
    """
    if isinstance(answer, Matched):
        return _matched(operation, entries, answer)
    plain: Sequence[Meeting] | None = None
    if not answer.errors and (tells := telling(entries, id_property)) is not None:
        each = one_each(entries, answer.results, tells, _values)
        plain = None if each is None else each[0]
    if plain is not None and operation == "read" and into is None:
        return Settlement([*map(Read, *origins_of(entries), plain)], [], Read)
    if plain is not None:
        return Settlement([_done(operation, e, m, into) for e, m in zip(entries, plain, strict=True)], [])
    done, doubtful = _named(operation, entries, answer, id_property)
    failed, untied = _failed(entries, answer.errors)
    outcomes: list[Outcome[Any, Any]] = []
    unnamed: list[Entry] = []
    for entry in entries:
        meeting = done.get(entry.ordinal)
        error = failed.get(entry.ordinal)
        if meeting is not None and error is None:
            outcomes.append(_done(operation, entry, meeting, into))
        elif meeting is None and error is not None and entry.ordinal not in doubtful:
            outcomes.append(Rejected(entry.record, entry.ordinal, error))
        elif meeting is not None or entry.ordinal in doubtful:
            ids = (meeting.id,) if meeting is not None else doubtful[entry.ordinal]
            outcomes.append(Ambiguous(entry.record, entry.ordinal, "not_told_apart", error, ids))
        else:
            unnamed.append(entry)
    for_all = not learn or len(unnamed) == 1 or len({error.message for error in untied}) == 1
    if unnamed and untied and for_all and max(len(untied), (answer.num_errors or 0) - len(failed)) >= len(unnamed):
        reason = _any_of(untied)
        outcomes += [Rejected(entry.record, entry.ordinal, reason) for entry in unnamed]
        unnamed = []
    if may_repeat:
        return Settlement(outcomes, unnamed)
    outcomes += [Ambiguous(entry.record, entry.ordinal, "missing_in_answer") for entry in unnamed]
    return Settlement(outcomes, [])


def settle_failure(
    operation: str, entries: Iterable[Entry], error: HubSpotError, *, stopped: bool, doubtful: bool
) -> list[Outcome[Any, Any]]:
    """What a call that failed for good says about each entry.

    `stopped`: the run ends because of it. `doubtful`: an earlier call with the same entries may have done them.
    """
    effect, reason = effect_of(error), why(error)
    if isinstance(error, AmbiguousWriteError) and isinstance(error.__cause__, HubSpotError):
        error = error.__cause__  # what was seen says more than what was made of it
    if effect is Effect.REFUSED and not stopped:
        return [Rejected(e.record, e.ordinal, error) for e in entries]
    if operation != "read" and (effect is Effect.UNKNOWN or doubtful):
        return [Ambiguous(e.record, e.ordinal, reason, error) for e in entries]
    return [NotSent(e.record, e.ordinal, "stopped" if stopped else "unavailable", error) for e in entries]


def _matched(operation: str, entries: Sequence[Entry], matched: Matched) -> Settlement:
    records, ordinals = origins_of(entries)
    held = map(Unread, matched.ids, repeat(matched.answer))
    made = [seen.new is True for seen in matched.seen] if operation == "upsert" else [operation == "create"]
    if all(made):
        return Settlement([*map(Created, records, ordinals, held)], [], Created)
    if not any(made):
        return Settlement([*map(Updated, records, ordinals, held)], [], Updated)
    mixed: list[Outcome[Any, Any]] = [
        (Created if new else Updated)(record, ordinal, meeting)
        for new, record, ordinal, meeting in zip(made, records, ordinals, cast("Any", held), strict=True)
    ]
    return Settlement(mixed, [])


def _done(operation: str, entry: Entry, meeting: Meeting, into: type[Struct] | None) -> Outcome[Any, Any]:
    match operation:
        case "create":
            return Created(entry.record, entry.ordinal, meeting)
        case "read" if into is not None:
            try:
                return Read(entry.record, entry.ordinal, read_as(meeting, into))
            except UnexpectedResponse as error:
                return Rejected(entry.record, entry.ordinal, error)
        case "read":
            return Read(entry.record, entry.ordinal, meeting)
        case "upsert" if isinstance(meeting, UpsertedMeeting) and meeting.new:
            return Created(entry.record, entry.ordinal, meeting)
        case _:
            return Updated(entry.record, entry.ordinal, meeting)


# ---- failures -----------------------------------------------------------------------------------------------------


def _failed(
    entries: Sequence[Entry], errors: Sequence[BatchError]
) -> tuple[dict[int, RequestRejected], list[RequestRejected]]:
    """Errors by the ordinal of the entry they name, and those that name none."""
    if not errors:
        return {}, []
    by_trace = {entry.trace_id: entry.ordinal for entry in entries if entry.trace_id is not None}
    by_key = {entry.key: entry.ordinal for entry in entries if entry.key is not None}
    failed: dict[int, RequestRejected] = {}
    untied: list[RequestRejected] = []
    for entry in errors:
        error = rejection(entry)
        traces = error.context.get("objectWriteTraceId", ())
        named = [by_trace[trace] for trace in traces if trace in by_trace]
        if not named:
            # HubSpot uses several words here (`ids`, `id`, the property's name): any value that is a key counts.
            named = [by_key[value] for values in error.context.values() for value in values if value in by_key]
        if not named:
            untied.append(error)
        for ordinal in named:
            failed.setdefault(ordinal, error)
    return failed, untied


def _any_of(errors: Sequence[RequestRejected]) -> RequestRejected:
    if len(errors) == 1:
        return errors[0]
    reasons = "; or: ".join(dict.fromkeys(error.message for error in errors))
    return RequestRejected(f"HubSpot did not say which of these holds for this record: {reasons}")


# ---- successes ----------------------------------------------------------------------------------------------------


def _values(name: str, meetings: Sequence[Meeting]) -> list[str | None]:
    return [meeting.properties.get(name) for meeting in meetings]


def _named(
    operation: str, entries: Sequence[Entry], answer: BatchResponse[Meeting], id_property: str | None
) -> tuple[dict[int, Meeting], dict[int, tuple[str, ...]]]:
    """Results by the ordinal of the entry they stand for; and entries that more than one result may stand for."""
    claims: dict[int, list[Meeting]] = {}
    nameless: list[Meeting] = []
    by_trace = {entry.trace_id: entry.ordinal for entry in entries if entry.trace_id is not None}
    by_key = {entry.key: entry.ordinal for entry in entries if entry.key is not None}
    for meeting in answer.results:
        ordinal = by_trace.get(meeting.object_write_trace_id) if meeting.object_write_trace_id else None
        if by_key:
            named = by_key.get(meeting.id if id_property is None else meeting.properties.get(id_property) or "")
            if ordinal is None:
                ordinal = named
            elif named != ordinal and (named is not None or id_property is None):
                continue  # trace id and id name two records: it proves nothing of either
        if ordinal is not None:
            claims.setdefault(ordinal, []).append(meeting)
        elif meeting.object_write_trace_id is None and (id_property is not None or not by_key):
            nameless.append(meeting)
    done: dict[int, Meeting] = {}
    doubtful: dict[int, tuple[str, ...]] = {}
    for ordinal, meetings in claims.items():
        ids = tuple(dict.fromkeys(meeting.id for meeting in meetings))
        if len(ids) == 1:
            done[ordinal] = meetings[0]
        else:
            doubtful[ordinal] = ids
    if nameless and operation != "read":
        open_entries = [entry for entry in entries if entry.ordinal not in claims]
        _by_values(open_entries, _once(nameless), done, doubtful, errors=bool(answer.errors))
    _refuse_shared_ids(done, doubtful)
    return done, doubtful


def _once(meetings: Iterable[Meeting]) -> list[Meeting]:
    return list({meeting.id: meeting for meeting in meetings}.values())


def _refuse_shared_ids(done: dict[int, Meeting], doubtful: dict[int, tuple[str, ...]]) -> None:
    """One meeting can not be two records of a batch, whose keys differ: where an answer says so, neither is told."""
    if len({meeting.id for meeting in done.values()}) == len(done):
        return
    owners: dict[str, list[int]] = {}
    for ordinal, meeting in done.items():
        owners.setdefault(meeting.id, []).append(ordinal)
    for meeting_id, ordinals in owners.items():
        if len(ordinals) > 1:
            for ordinal in ordinals:
                del done[ordinal]
                doubtful[ordinal] = (meeting_id,)


def _by_values(
    entries: list[Entry],
    results: list[Meeting],
    done: dict[int, Meeting],
    doubtful: dict[int, tuple[str, ...]],
    *,
    errors: bool,
) -> None:
    """Tie results without a name to entries by the values that were written.

    HubSpot is not known to repeat trace ids in success results. One property whose values are all different settles
    it in a pass; else all values are compared, with HubSpot's coercions undone.
    """
    if _by_one_property(entries, results, done):
        return
    left = _by_all_properties(entries, results, done, doubtful)
    open_entries = [e for e in entries if e.ordinal not in done and e.ordinal not in doubtful]
    if len(left) == len(open_entries) == 1 and not errors:
        done[open_entries[0].ordinal] = left[0]
    elif left:
        ids = tuple(meeting.id for meeting in left)
        doubtful.update((entry.ordinal, ids) for entry in open_entries)


def _by_one_property(entries: list[Entry], results: list[Meeting], done: dict[int, Meeting]) -> bool:
    if not entries or len(results) > len(entries):
        return False
    for name in entries[0].sent or ():
        owners = {entry.sent.get(name): entry.ordinal for entry in entries if entry.sent is not None}
        if len(owners) != len(entries) or None in owners:
            continue
        tied = {owners.get(meeting.properties.get(name)): meeting for meeting in results}
        if len(tied) == len(results) and None not in tied:
            done.update((ordinal, meeting) for ordinal, meeting in tied.items() if ordinal is not None)
            return True
    return False


def _by_all_properties(
    entries: list[Entry], results: list[Meeting], done: dict[int, Meeting], doubtful: dict[int, tuple[str, ...]]
) -> list[Meeting]:
    """Tie by all written values; returns the results that fit no entry."""
    groups: dict[tuple[str, ...], dict[tuple[object, ...], list[Entry]]] = {}
    for entry in entries:
        written = {name: comparable(value) for name, value in (entry.sent or {}).items()}
        names = tuple(sorted(name for name, value in written.items() if value is not None))
        groups.setdefault(names, {}).setdefault(tuple(written[name] for name in names), []).append(entry)
    left = results
    # The entries that wrote most come first: what fits them would fit one that wrote less, but not the other way round.
    for names in sorted(groups, key=len, reverse=True):
        fitting: dict[tuple[object, ...], list[Meeting]] = {}
        rest: list[Meeting] = []
        for meeting in left:
            values = tuple(comparable(meeting.properties.get(name)) for name in names)
            (fitting.setdefault(values, []) if values in groups[names] else rest).append(meeting)
        for values, meetings in fitting.items():
            _share(groups[names][values], meetings, done, doubtful)
        left = rest
    return left


def _share(
    twins: list[Entry], meetings: list[Meeting], done: dict[int, Meeting], doubtful: dict[int, tuple[str, ...]]
) -> None:
    """Entries that wrote the same values, and the results that hold them."""
    if len(twins) == len(meetings) and len({entry.content for entry in twins}) == 1:
        # Alike to the last byte: whichever meeting each gets, the other would have been as right.
        done.update((entry.ordinal, meeting) for entry, meeting in zip(twins, meetings, strict=True))
    else:
        ids = tuple(meeting.id for meeting in meetings)
        doubtful.update((entry.ordinal, ids) for entry in twins)


def comparable(value: object) -> object:
    """A property value with HubSpot's coercions undone: times as Unix ms, numbers and booleans as their text."""
    if value is None or value == "":
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = str(value).strip()
    if len(text) >= 19 and text[4:5] == "-" and text[10:11] in "T ":
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            return text
        moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
        return str(round(moment.timestamp() * 1000))
    return text
