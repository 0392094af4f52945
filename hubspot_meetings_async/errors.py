"""Every exception this library raises.

    HubSpotError
    ├── ConfigurationError        a wrong argument or setting; nothing was sent (also a ValueError)
    ├── InvalidRecord             a record that can not be sent as it is; nothing was sent (also a ValueError)
    ├── TransportFailed           no HTTP answer: DNS, connect, TLS, reset, timeout (`sent` tells if bytes left)
    │   ├── DeadlineExceeded      the call's own time budget ran out
    │   ├── TokenUnavailable      no token could be had now; nothing was sent
    │   └── CircuitOpen           the circuit breaker holds requests back for now
    ├── RequestRejected           HubSpot answered 4xx and did nothing
    │   ├── Unauthorized          401: token missing, wrong or expired
    │   │   └── TokenRefused      the token endpoint gives no token: grant, app or request is wrong
    │   ├── Forbidden             403: a scope is missing
    │   ├── NotFound              404: record, route or object type unknown
    │   ├── Conflict              409: a unique value is taken
    │   ├── SlotTaken             a booking: the time is taken, or not on offer
    │   ├── DurationNotOffered    a booking: the meeting link has no meetings of this length
    │   ├── FormFieldMissing      a booking: the form asks for a value that was not given
    │   └── RateLimited           429
    │       └── DailyLimitExceeded  429, and waiting is no use before the reset
    ├── HubSpotUnavailable        423, 477, 5xx: HubSpot could not do it now
    ├── UnexpectedResponse        an answer that can not be read, or a redirect
    ├── CalendarNotConnected      a booking was answered with 200, and no event was made
    ├── AmbiguousWriteError       a write left, no trustworthy answer came; it was not repeated
    ├── PoisonRecord              HubSpot fails whenever it is given this one record, and works without it
    ├── JournalError              the journal of a bulk run can not be written or read; nothing goes out without it
    │   ├── JournalLockedError    another run has it open
    │   ├── JournalDamagedError   a part of it is missing or broken
    │   ├── JournalVersionError   it was written by a newer version of this library
    │   └── JournalMismatchError  it belongs to another job, account or source
    ├── StoreError                a copy of the account can not be written or read; it is as it was
    ├── WebhookRefused            a webhook delivery that is not signed by HubSpot, too old, or can not be read
    ├── ForkedClientError         a client was used in a child process that was forked after its first use
    └── AccountingError           a bulk run lost count of a record: a bug of this library

This module knows which failures exist and what each carries. It must not know an HTTP library, how bodies are
parsed, or the models. No message holds a token, a request body or more than a line of a response body.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Self, TypeVar

import msgspec

__all__ = [
    "AccountingError",
    "AmbiguousWriteError",
    "CalendarNotConnected",
    "CircuitOpen",
    "ConfigurationError",
    "Conflict",
    "DailyLimitExceeded",
    "DeadlineExceeded",
    "DurationNotOffered",
    "ErrorDetail",
    "Forbidden",
    "ForkedClientError",
    "FormFieldMissing",
    "HubSpotError",
    "HubSpotUnavailable",
    "InvalidRecord",
    "JournalDamagedError",
    "JournalError",
    "JournalLockedError",
    "JournalMismatchError",
    "JournalVersionError",
    "NotFound",
    "PoisonRecord",
    "RateLimited",
    "RequestRejected",
    "SlotTaken",
    "StoreError",
    "TokenRefused",
    "TokenUnavailable",
    "TransportFailed",
    "Unauthorized",
    "UnexpectedResponse",
    "WebhookRefused",
]

R = TypeVar("R", bound="RequestRejected")

_LONGEST_MESSAGE = 500


class ErrorDetail(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of the `errors` member of a HubSpot error body; HubSpot leaves out what it likes.

    `code` is for example `PROPERTY_DOESNT_EXIST`; `context` maps a word to a list of strings, for example
    `{"propertyName": ["nope"]}`.
    """

    message: str = ""
    code: str | None = None
    property_name: str | None = None
    context: Mapping[str, tuple[str, ...]] = {}


def printable(text: str) -> str:
    """`text` on one line, without control or direction signs, at most 500 characters.

    Words from a server reach terminals and logs through our messages; they must not forge lines there.
    """
    if len(text) > _LONGEST_MESSAGE:
        text = text[: _LONGEST_MESSAGE - 1] + "…"
    if not text.isprintable():
        text = "".join(character if character.isprintable() else "�" for character in text)
    return text


def shown(value: object) -> str:
    """The repr of anything a user gave, for a message: on one line, short, and never an error of its own."""
    try:
        return printable(repr(value))
    except ValueError:  # Python writes no integers of thousands of digits
        return f"a {type(value).__name__} that can not be written"


class HubSpotError(Exception):
    """The root of all errors of this library.

    Attributes: `method` and `path` of the request (no query, no host), `status` of the answer, `attempt`
    (1 = first). Each is None where it does not apply.
    """

    def __init__(
        self,
        message: str,
        *,
        method: str | None = None,
        path: str | None = None,
        status: int | None = None,
        attempt: int | None = None,
    ) -> None:
        # Made harmless here and not only in `__str__`: `repr` and `args` reach logs too.
        message = printable(message)
        super().__init__(message)
        self.message = message
        self.method = method
        self.path = path
        self.status = status
        self.attempt = attempt

    def __str__(self) -> str:
        where = f" [{self.method} {self.path}" if self.method else ""
        if where and self.status is not None:
            where += f" → {self.status}"
        if where and self.attempt is not None and self.attempt > 1:
            where += f", attempt {self.attempt}"
        return self.message + (where + "]" if where else "")

    def __reduce__(self) -> tuple[Any, ...]:
        # Keyword-only arguments defeat the default pickling, and errors travel between worker processes.
        return (_rebuilt, (type(self), self.message, self.__dict__.copy()))

    def at(self, *, method: str, path: str, attempt: int) -> Self:
        """Fill in where it happened, once; returns the error itself so that it can be raised in one line."""
        if self.method is None:
            self.method, self.path, self.attempt = method, path, attempt
        return self


def _rebuilt(kind: type[HubSpotError], message: str, state: dict[str, Any]) -> HubSpotError:
    error = kind.__new__(kind)
    Exception.__init__(error, message)
    error.__dict__.update(state)
    return error


class ConfigurationError(HubSpotError, ValueError):
    """An argument or setting is wrong. Nothing was sent; the message says what to write instead."""


class InvalidRecord(HubSpotError, ValueError):
    """A record can not be sent as it is: no mapping, no id, a value JSON has no form for, too large.

    Nothing of this record was sent; the other records of a bulk run go on.
    """


class TransportFailed(HubSpotError):
    """No HTTP answer came: DNS, connect, TLS, reset, timeout.

    `sent` is False only when no byte of the request can have left, so that sending again is safe; True means
    HubSpot may have done what was asked. `fatal` is True where trying again can not help (a certificate that
    is not trusted).
    """

    def __init__(self, message: str, *, sent: bool, fatal: bool = False, timeout: bool = False, **where: Any) -> None:
        super().__init__(message, **where)
        self.sent = sent
        self.fatal = fatal
        self.timeout = timeout


class DeadlineExceeded(TransportFailed):
    """The time budget of the whole call (waiting for quota, retries and transfer) ran out."""


class TokenUnavailable(TransportFailed):
    """No token could be had now: the token endpoint did not answer, or the token could not be stored (`__cause__`).

    Nothing of the call it was for has been sent (`sent` is False); a later call tries again.
    """

    def __init__(self, message: str, *, sent: bool = False, **rest: Any) -> None:
        super().__init__(message, sent=sent, **rest)


class CircuitOpen(TransportFailed):
    """The circuit breaker is open: HubSpot failed many times in a row, and is left alone for a while.

    `retry_in_s` are the seconds until the next request may go. `sent` is True only when an earlier try of the same call
    had left.
    """

    def __init__(self, message: str, *, retry_in_s: float, sent: bool = False, **rest: Any) -> None:
        super().__init__(message, sent=sent, **rest)
        self.retry_in_s = retry_in_s


class RequestRejected(HubSpotError):
    """HubSpot answered 4xx: the request was understood or not, and was not carried out.

    Attributes: `category` (`VALIDATION_ERROR`, …), `sub_category`, `correlation_id` (give it to HubSpot's support),
    `details` (a tuple of `ErrorDetail`), `context` (HubSpot's own map of strings to lists of strings).
    HubSpot: https://developers.hubspot.com/docs/api-reference/error-handling
    """

    def __init__(
        self,
        message: str,
        *,
        category: str | None = None,
        sub_category: str | None = None,
        correlation_id: str | None = None,
        details: tuple[ErrorDetail, ...] = (),
        context: Mapping[str, tuple[str, ...]] | None = None,
        **where: Any,
    ) -> None:
        super().__init__(message, **where)
        self.category = category
        self.sub_category = sub_category
        self.correlation_id = correlation_id
        self.details = details
        self.context: Mapping[str, tuple[str, ...]] = context or {}

    @property
    def property_names(self) -> tuple[str, ...]:
        """The properties HubSpot named as wrong, in its order, each once."""
        return tuple(dict.fromkeys(detail.property_name for detail in self.details if detail.property_name))

    def told_as(self, kind: type[R], message: str, **more: Any) -> R:
        """The same refusal as a more telling kind of error; `more` are attributes that only this kind has."""
        told = kind(message, **more)
        told.__dict__.update({name: value for name, value in self.__dict__.items() if name != "message"})
        return told


class Unauthorized(RequestRejected):
    """401: the token is missing, wrong or expired. A new token is needed before anything else works."""


class TokenRefused(Unauthorized):
    """The token endpoint refused: the refresh token or code is no good any more, or the app's id or secret is wrong.

    `error` is the word of RFC 6749 (`invalid_grant`, `invalid_client`, `invalid_scope`, …), None where none came.
    After `invalid_grant` the user must authorize the app anew; trying again is no use. `status` is the answer's, 400 as
    a rule.
    """

    def __init__(self, message: str, *, error: str | None = None, **rest: Any) -> None:
        super().__init__(message, **rest)
        self.error = error


class Forbidden(RequestRejected):
    """403: the token lacks a scope; `scopes` names those that HubSpot asked for."""

    @property
    def scopes(self) -> tuple[str, ...]:
        """Scopes that would allow the call, as HubSpot named them."""
        return tuple(dict.fromkeys(s for d in self.details for s in d.context.get("requiredGranularScopes", ())))


class NotFound(RequestRejected):
    """404: no such record, route or object type."""


class Conflict(RequestRejected):
    """409: a value that must be unique exists already, mostly; the message names the record."""


class SlotTaken(RequestRejected):
    """A booking was refused for its time: somebody has it, or the meeting link does not offer it (any more).

    Ask for the free slots again. `sub_category` tells which it was, where HubSpot says so.
    """


class DurationNotOffered(RequestRejected):
    """The meeting link has no meetings of this length; `offered_s` are those it has, in seconds, where known."""

    def __init__(self, message: str, *, offered_s: tuple[float, ...] = (), **rest: Any) -> None:
        super().__init__(message, **rest)
        self.offered_s = offered_s


class FormFieldMissing(RequestRejected):
    """A booking lacks a value that the meeting link's form requires; `field` names it, where HubSpot says which."""

    def __init__(self, message: str, *, field: str | None = None, **rest: Any) -> None:
        super().__init__(message, **rest)
        self.field = field


class RateLimited(RequestRejected):
    """429: refused by a limit. `policy` is HubSpot's name of it, `retry_after_s` its wish, both often None."""

    def __init__(
        self, message: str, *, policy: str | None = None, retry_after_s: float | None = None, **rest: Any
    ) -> None:
        super().__init__(message, **rest)
        self.policy = policy
        self.retry_after_s = retry_after_s


class DailyLimitExceeded(RateLimited):
    """The account's calls of the day are spent; `resets_at` is the end of the wait where it is known."""

    def __init__(self, message: str, *, resets_at: datetime | None = None, **rest: Any) -> None:
        super().__init__(message, **rest)
        self.resets_at = resets_at


class HubSpotUnavailable(HubSpotError):
    """423, 477 or 5xx: HubSpot could not do it now. Whether a write happened all the same is unknown,
    except for 477 (the account is being moved; nothing was done)."""

    def __init__(
        self, message: str, *, retry_after_s: float | None = None, correlation_id: str | None = None, **where: Any
    ) -> None:
        super().__init__(message, **where)
        self.retry_after_s = retry_after_s
        self.correlation_id = correlation_id


class UnexpectedResponse(HubSpotError):
    """An answer that is not what the API documents: a redirect, HTML, a cut or foreign body.

    After a 2xx the write has probably happened; what it did can not be read.
    """


class CalendarNotConnected(HubSpotError):
    """HubSpot answered a booking with 200, but made no event: the organizer's calendar is not connected (any more).

    Nobody will come to this meeting. The contact was created or updated all the same. `answer` is HubSpot's answer.
    """

    def __init__(self, message: str, *, answer: Any = None, **where: Any) -> None:
        super().__init__(message, **where)
        self.answer = answer


class AmbiguousWriteError(HubSpotError):
    """A write left, and no trustworthy answer came. It may have happened; it was not sent again.

    `why` is `timeout`, `reset`, `5xx`, `locked` or `unreadable`; `__cause__` is what was seen. Look the record up
    before you repeat the call. `asked` is what a booking or a calendar event asked for; None elsewhere.
    """

    def __init__(self, message: str, *, why: str, asked: Any = None, **where: Any) -> None:
        super().__init__(message, **where)
        self.why = why
        self.asked = asked

    def about(self, asked: Any, advice: str) -> Self:
        """Add what was asked for, and put first how to find out what became of it; returns the error itself."""
        self.asked = asked
        self.message = printable(f"{advice} ({self.message})")
        self.args = (self.message,)
        return self


class PoisonRecord(HubSpotError):
    """HubSpot failed every time it was given this record, alone in its batch, while other batches went through.

    It was given up, and a look into the account showed that nothing had been made of it. `__cause__` is the last
    failure. Tell HubSpot's support the correlation id of that, and give the record to a new run once it is mended.
    """


class JournalError(HubSpotError):
    """The journal of a bulk run can not be written or read: the disk is full, the folder read-only, the file in use.

    The run ends before anything more is sent; what HubSpot answered until then is still told. Nothing is lost: mend
    the cause and run the same job again with the same journal. `__cause__` is what the database or the system said.
    """


class JournalLockedError(JournalError):
    """Another run, in this process or another, has the journal open. One journal is for one run at a time."""


class JournalDamagedError(JournalError):
    """The file is no journal, or a part of it is missing (its `-wal` file, mostly). It was not touched.

    To go on without it could send records twice.
    """


class JournalVersionError(JournalError):
    """The journal was written by a newer version of this library than this one; it was not touched."""


class JournalMismatchError(JournalError):
    """The journal belongs to another job: another operation, mode, key property, account or source of records.

    Nothing was sent. Give the job its own journal, or give this journal the source it was made from.
    """


class StoreError(HubSpotError):
    """A copy of an account (`hubspot_meetings_async.stores`) can not be written or read: the disk is full, the server
    away, the file damaged, or somebody else writes to it.

    The copy is as the last write left it, with the cursor of that write: mend the cause and pull again. `__cause__` is
    what the database or the system said, where that holds no password.
    """


class WebhookRefused(HubSpotError):
    """A request to a webhook is not HubSpot's, or is nothing that can be worked with. Nothing in it may be believed.

    `why` is `unsigned`, `stale` (signed too long ago, or in the future), `forged` (the signature does not fit) or
    `unreadable`. The message holds neither the signature nor the client secret.
    """

    def __init__(self, message: str, *, why: str, **where: Any) -> None:
        super().__init__(message, **where)
        self.why = why


class ForkedClientError(HubSpotError):
    """This client was used before the process was forked, and is now used in the child.

    Parent and child would read each other's answers from the connections they share. Nothing was sent: make a client in
    the child.
    """


class AccountingError(HubSpotError):
    """The outcomes of a bulk run do not add up to the records it took: a bug of this library, never of the caller."""
