"""From what became of a job to what its task gets: a meeting, or an error of its own.

This module knows which error each outcome stands for. It must not know tasks, queues, or HTTP.
"""

from __future__ import annotations

import copy
from typing import Any, TypeVar

from ..bulk.outcomes import Ambiguous, NotSent, Outcome, Rejected
from ..errors import AccountingError, AmbiguousWriteError, HubSpotError, TransportFailed, UnexpectedResponse
from .queues import Broken

__all__ = ["error_of"]

E = TypeVar("E", bound=HubSpotError)


def error_of(outcome: Outcome[Any, Any] | Broken, operation: str) -> HubSpotError | None:
    """The error that an outcome stands for, one of its own for each who asks; None where it was done."""
    match outcome:
        case Broken(error=bug):
            broken = AccountingError(f"a bug of this library, please report it: {type(bug).__name__}: {bug}")
            broken.__cause__ = bug
            return broken
        case Rejected(error=error):
            return _own(error)
        case NotSent(error=None):
            return TransportFailed("the micro-batcher was cancelled before this was sent", sent=False)
        case NotSent(error=HubSpotError() as error):
            return _own(error)
        case Ambiguous():
            return _in_doubt(outcome, operation)
        case _:
            return None


def _own(error: E) -> E:
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
            _own(seen)
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
        error.__cause__ = _own(seen)
    return error
