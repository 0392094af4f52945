"""Exit codes, and how a failure is told: what happened, and what to do about it."""

from __future__ import annotations

from typing import Final

from ..errors import (
    ConfigurationError,
    DailyLimitExceeded,
    Forbidden,
    HubSpotError,
    JournalMismatchError,
    NotFound,
    Unauthorized,
)

__all__ = [
    "BROKEN_OFF",
    "DONE",
    "HELP",
    "HELP_BOOK",
    "HELP_DOCTOR",
    "HELP_GET",
    "HELP_JOURNAL",
    "HELP_PULL",
    "HELP_QUESTION",
    "INTERRUPTED",
    "SOME_LEFT",
    "USAGE",
    "advice",
    "code_of",
    "told",
]

DONE: Final = 0
SOME_LEFT: Final = 1
USAGE: Final = 2
BROKEN_OFF: Final = 3
INTERRUPTED: Final = 130

HELP: Final = (
    "Exit codes: 0 all done · 1 some records are rejected, ambiguous, broken or not sent · 2 wrong usage · "
    "3 the run broke off (bad token, unreachable host, daily limit, unreadable file or journal) · 130 Ctrl-C"
)

HELP_PULL: Final = (
    "Exit codes: 0 the copy is in step, or --watch was ended by Ctrl-C · 2 wrong usage, no place for a copy, another "
    "account's copy · 3 the pull broke off (bad token, unreachable host, daily limit, full disk, lost database) · "
    "130 Ctrl-C"
)

HELP_JOURNAL: Final = (
    "Exit codes: 0 all done · 1 something is left, rejected or ambiguous (status only) · 2 wrong usage, no such file · "
    "3 the journal is in use, damaged, or none"
)

HELP_QUESTION: Final = (
    "Exit codes: 0 done, also if nothing was found · 2 wrong usage · 3 HubSpot can not be reached or refuses (token, "
    "scope, limit) · 130 Ctrl-C"
)
HELP_GET: Final = (
    "Exit codes: 0 all found · 1 some are not there · 2 wrong usage · 3 HubSpot can not be reached or refuses (token, "
    "scope, limit) · 130 Ctrl-C"
)
HELP_BOOK: Final = (
    "Exit codes: 0 booked · 1 not booked (the time is taken, or you said no) · 2 wrong usage, not booked · 3 HubSpot "
    "can not be reached or refuses, or the answer was lost: the message says whether it may be booked · 130 Ctrl-C"
)
HELP_DOCTOR: Final = "Exit codes: 0 nothing fails · 1 something does · 2 wrong usage · 130 Ctrl-C"

_ADVICE: dict[type[BaseException], str] = {
    Unauthorized: "Check HUBSPOT_ACCESS_TOKEN: it must be the access token of a private app of this account.",
    Forbidden: "Give the app the missing scopes in HubSpot, then go on.",
    DailyLimitExceeded: "Go on when the day of the account is over, or have it waited for: --wait-for-reset.",
    NotFound: "Check --base-url and --api-version.",
    JournalMismatchError: "Give this push another journal with --journal, or remove this one if its job is over.",
}


def advice(error: BaseException) -> str | None:
    """What the person at the terminal can do about it, in a sentence."""
    for kind in type(error).__mro__:
        if kind in _ADVICE:
            return _ADVICE[kind]
    return None


def told(error: BaseException) -> str:
    """What happened, in a sentence."""
    if isinstance(error, HubSpotError):
        return str(error)
    if isinstance(error, OSError):
        return f"{error.filename}: {error.strerror}" if error.filename and error.strerror else str(error)
    return f"an error nobody foresaw, please report it: {type(error).__name__}: {error}"


def code_of(error: BaseException) -> int:
    """The exit code for a run that ended with `error`."""
    return USAGE if isinstance(error, ConfigurationError) else BROKEN_OFF
