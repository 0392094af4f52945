"""From what became of a job to what its task gets: a meeting, or an error of its own.

This module knows which error each outcome stands for. It must not know tasks, queues, or HTTP.
"""

from __future__ import annotations

import copy
from typing import Any, TypeVar, cast

from ..bulk.outcomes import Ambiguous, Archived, Created, NotSent, Outcome, Read, Rejected, Updated
from ..errors import AccountingError, AmbiguousWriteError, HubSpotError, TransportFailed, UnexpectedResponse
from ..models import Meeting
from .queues import Broken

__all__ = ["meeting_of", "own"]

E = TypeVar("E", bound=HubSpotError)


def meeting_of(outcome: Outcome[Any, Any] | Broken, operation: str) -> Meeting[Any] | None:
    """The meeting that an outcome holds; None for an archived one. Raises: the error that it stands for."""
    match outcome:
        case Created() | Updated() | Read():
            return cast("Meeting[Any]", outcome.meeting)
        case Archived():
            return None
        case Broken(error=bug):
            raise AccountingError(f"a bug of this library, please report it: {type(bug).__name__}: {bug}") from bug
        case Rejected(error=error):
            raise own(error)
        case NotSent(error=error):
            raise (
                own(error)
                if error is not None
                else TransportFailed("the micro-batcher was cancelled before this was sent", sent=False)
            )
        case Ambiguous():
            raise _in_doubt(outcome, operation)


def own(error: E) -> E:
    """A copy of an error that several tasks get: each raises its own, with its own traceback and notes."""
    told = copy.copy(error)
    told.__cause__ = error.__cause__
    if notes := getattr(error, "__notes__", None):
        told.__notes__ = list(notes)
    return told


def _in_doubt(outcome: Ambiguous[Any], operation: str) -> HubSpotError:
    seen = outcome.error
    if operation == "read":
        return (
            own(seen)
            if seen is not None
            else UnexpectedResponse(f"HubSpot's answer does not tell what became of this read ({outcome.why})")
        )
    said = f"{outcome.why}: {seen.message}" if seen is not None else outcome.why
    hint = f" (it may be meeting {', '.join(outcome.ids)})" if outcome.ids else ""
    error = AmbiguousWriteError(
        f"this {operation} left in a batch, and no trustworthy answer came for it ({said}). It may have been "
        f"done{hint}; look the record up before sending it again.",
        why=outcome.why,
    )
    if seen is not None:
        error.method, error.path, error.status, error.attempt = seen.method, seen.path, seen.status, seen.attempt
        error.__cause__ = own(seen)
    return error
