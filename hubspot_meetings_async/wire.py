"""The protocol without a socket: what a request is, and what an answer means.

This module knows how requests and answers look (bytes, statuses, error bodies) and turns answers into values or
errors. It must not know aiohttp, clocks, tokens, or which endpoints exist.

HubSpot: https://developers.hubspot.com/docs/api-reference/error-handling
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from enum import Enum
from typing import Any, Generic, Protocol, TypeVar, cast
from urllib.parse import quote

import msgspec
from msgspec import Struct

from .errors import (
    Conflict,
    DailyLimitExceeded,
    ErrorDetail,
    Forbidden,
    HubSpotError,
    HubSpotUnavailable,
    InvalidRecord,
    NotFound,
    RateLimited,
    RequestRejected,
    Unauthorized,
    UnexpectedResponse,
    printable,
)
from .models import BatchError, as_far_as_it_fits
from .secret import Secret

__all__ = [
    "Call",
    "Decodes",
    "Quota",
    "Replay",
    "Request",
    "Response",
    "Trail",
    "encode",
    "encode_plain",
    "known_id",
    "parse",
    "query_string",
    "rejection",
    "segment",
]

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


def _as_built_in(value: object) -> object:
    """What msgspec does not take as it is, and has a plain form: subclasses (numpy.float64, …) and other mappings."""
    match value:
        case str():
            return str.__str__(value)
        case int():
            return int(value)
        case float():
            return float(value)
        case Mapping():
            return dict(cast("Mapping[object, object]", value))
        case _:
            raise TypeError(f"a {type(value).__name__} has no form in JSON")


_encoder = msgspec.json.Encoder(enc_hook=_as_built_in)


encode_plain: Callable[[object], bytes] = _encoder.encode
"""`encode` for values that JSON surely has a form for. Raises: ValueError for lone surrogates."""


class Replay(Enum):
    """When a request may be sent again after a failure."""

    ALWAYS = "always"
    """Twice has the effect of once: reads, updates by id, upserts, archives."""
    IF_NOT_DONE = "if_not_done"
    """Creates: only when HubSpot surely did nothing (429, 477, no byte left)."""
    IF_NOT_SENT = "if_not_sent"
    """Bookings and calendar events, which send e-mails: only when no byte left."""
    NOT_HERE = "not_here"
    """Batches of a bulk run: when HubSpot surely did nothing. Any other failure is raised as it is; the run decides."""


class Quota(Enum):
    """Which of HubSpot's limits a request is counted against."""

    STANDARD = "standard"
    SEARCH = "search"
    NONE = "none"
    """Token endpoints, which no limit counts."""


class Decodes(Protocol[T_co]):
    """Reads a body: a `msgspec.json.Decoder`, or a room's own. Raises: msgspec.DecodeError, UnicodeDecodeError."""

    def decode(self, body: bytes, /) -> T_co: ...


class Request(Struct, Generic[T], frozen=True, kw_only=True):
    """One call, ready to travel: `path` and `query` percent-encoded, `body` JSON bytes or None.

    `decoder` reads a success body; None means the call answers without one (204). `bearer` is False for the token
    endpoints: no token is sent with the request, and since secrets go in and out there, nothing of an answer is quoted
    in errors. `secrets` are those in the body: no error repeats one, whatever the answer does.
    """

    method: str
    path: str
    query: str = ""
    body: bytes | None = None
    decoder: Decodes[T] | None = None
    replay: Replay = Replay.ALWAYS
    quota: Quota = Quota.STANDARD
    content_type: str = "application/json"
    bearer: bool = True
    secrets: tuple[Secret, ...] = ()

    def __repr__(self) -> str:
        # Bodies hold what people wrote, and the secrets of an app: logs and tracebacks with local variables show none.
        return f"<Request {self.method} {self.path}, {len(self.body or b''):,} bytes>"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [("method", self.method), ("path", self.path)]


class Response(Struct, frozen=True):
    """What came back: `headers` is case-insensitive, `body` is decompressed and complete."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def __repr__(self) -> str:
        return f"<Response {self.status}, {len(self.body):,} bytes>"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [("status", self.status)]


class Trail(Struct):
    """What one call has done so far; the caller room writes it, the bulk engine and reports read it.

    `in_doubt` is True from the moment request headers left until an answer settles what happened: whoever is
    cancelled meanwhile knows from it that the write may have been done. Moments are on the loop's clock. `date`,
    `status` and `correlation_id` are those of the last answer. `run_id` names the run it belongs to. `before_send` is
    awaited when a request has its slot of the quota and before its first byte leaves; a body that it gives is sent
    instead of the request's, and what it raises ends the call. `on_sent` is called, in the loop, whenever request
    headers have left.
    """

    requests: int = 0
    retries: int = 0
    rate_limited: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0
    in_doubt: bool = False
    first_sent_at: float | None = None
    last_sent_at: float | None = None
    date: str | None = None
    status: int | None = None
    correlation_id: str | None = None
    run_id: str | None = None
    before_send: Callable[[], Awaitable[bytes | None]] | None = None
    on_sent: Callable[[], None] | None = None


class Call(Protocol):
    """Send a request and return its decoded answer: what every resource is given instead of a client."""

    async def __call__(self, request: Request[T], trail: Trail | None = None) -> T: ...


# ---- out ----------------------------------------------------------------------------------------------------------


def encode(value: object) -> bytes:
    """`value` as JSON bytes.

    Raises: InvalidRecord for what JSON can not say.
    """
    try:
        return _encoder.encode(value)
    except (TypeError, ValueError, RecursionError) as error:  # lone surrogates are a ValueError
        raise InvalidRecord(f"this can not be written as JSON: {error}") from None


def segment(value: object, *, what: str, digits: bool = True) -> str:
    """`value` as one percent-encoded path segment that can not leave its place.

    With `digits`, only a HubSpot id (1-20 digits) passes. Raises: InvalidRecord.
    """
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise InvalidRecord(f"{what} must be a string or a number, not a {type(value).__name__}")
    try:
        text = str(value)
    except ValueError:  # Python writes no integers of thousands of digits
        raise InvalidRecord(f"{what} is a number of thousands of digits, which is none") from None
    if digits:
        if not (text.isascii() and text.isdigit() and len(text) <= 20):
            raise InvalidRecord(f"{what} must be 1-20 digits, not {printable(text)[:40]!r}")
        return text
    if text in ("", ".", "..") or not text.isprintable():
        raise InvalidRecord(f"{what} {printable(text)[:40]!r} can not stand in a path; give a visible, non-empty value")
    return quote(text, safe="")


def query_string(parameters: Mapping[str, object]) -> str:
    """Query parameters, percent-encoded; None and empty sequences are left out, sequences joined by commas."""
    parts: list[str] = []
    for name, value in parameters.items():
        if value is None:
            continue
        if isinstance(value, str):
            values = [str(value)]
        elif isinstance(value, bool):
            values = ["true" if value else "false"]
        elif isinstance(value, Iterable):
            values = [str(item) for item in cast("Iterable[object]", value)]
        else:
            try:
                values = [str(value)]
            except ValueError:
                raise InvalidRecord(f"{name} is a number of thousands of digits, which HubSpot can not take") from None
        if values:
            parts.append(f"{name}={','.join(_quoted(name, text) for text in values)}")
    return "&".join(parts)


def _quoted(name: str, text: str) -> str:
    if text.isascii() and (text.isidentifier() or text.isdigit()):
        return text  # names of properties, and cursors: most of what there is
    try:
        return quote(text, safe="")
    except UnicodeEncodeError:
        raise InvalidRecord(f"{name} holds half a character (a lone surrogate): {printable(text)[:40]!r}") from None


# ---- in -----------------------------------------------------------------------------------------------------------


_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def parse(request: Request[T], response: Response, *, validate: bool = True) -> T:
    """The value a success answer holds.

    Without `validate`, JSON that does not fit is given as far as it fits: a field of another type holds what came.

    Raises: RequestRejected or one of its kinds for 4xx, HubSpotUnavailable for 408, 423, 425, 477 and 5xx,
    UnexpectedResponse for redirects and for success answers that can not be read.
    """
    status = response.status
    if not 200 <= status < 300:
        raise _error(response, quoting=request.bearer)
    if request.decoder is None:
        if response.body and request.bearer:
            # A login page of some network on the way, for example, is no proof that anything was done.
            raise UnexpectedResponse(
                f"HubSpot answers this call without a body, but this answer has one ({_form(response)})", status=status
            )
        return cast("T", None)
    try:
        return request.decoder.decode(response.body)
    except _UNREADABLE as error:
        problem: Exception = error
    # A room may bring a reader of its own, which has no type to go by.
    wanted: object = getattr(request.decoder, "type", None)
    if not validate and wanted is not None and isinstance(problem, msgspec.ValidationError):
        # It ends at the first misfit: whether the rest is JSON at all shows here.
        try:
            return cast("T", as_far_as_it_fits(msgspec.json.decode(response.body), wanted))
        except _UNREADABLE as error:
            problem = error
    form = _form(response, quoting=request.bearer)
    raise UnexpectedResponse(
        f"HubSpot answered {status}, but the body can not be read ({form}): {problem}", status=status
    )


class _ErrorBody(Struct, rename="camel"):
    # All fields optional and loosely typed: HubSpot asks readers to expect any of them to be missing.
    message: Any = None
    category: Any = None
    sub_category: Any = None
    correlation_id: Any = None
    policy_name: Any = None
    error_type: Any = None
    error: Any = None
    errors: Any = None
    context: Any = None


_error_decoder = msgspec.json.Decoder(_ErrorBody)

_KINDS: Mapping[int, type[RequestRejected]] = {401: Unauthorized, 403: Forbidden, 404: NotFound, 409: Conflict}

_ADVICE = {
    401: " Check that the token is complete, belongs to this account and has not expired or been rotated.",
    403: " Grant the app the scope it lacks, then use a token made after that.",
    407: " The proxy wants credentials.",
    413: " Send fewer or smaller records in one call.",
    414: " Ask for fewer properties in one call.",
}


def _error(response: Response, *, quoting: bool) -> HubSpotError:
    status = response.status
    if status < 400:
        target = printable(response.headers.get("Location", "an unnamed place"))
        return UnexpectedResponse(
            f"HubSpot answered with a redirect to {target}; it was not followed. Check base_url.", status=status
        )
    try:
        body = _error_decoder.decode(response.body)
    except _UNREADABLE:
        body = _ErrorBody(message=f"no error body of HubSpot's ({_form(response, quoting=quoting)})")
    said = body.message if isinstance(body.message, str) and body.message else f"status {status} without a message"
    message, inner = _plain_message(said)
    correlation_id = known_id(body.correlation_id) or known_id(response.headers.get("X-HubSpot-Correlation-Id"))
    wait_s = _retry_after_s(response.headers.get("Retry-After"))
    if status >= 500 or status in (408, 423, 425, 477):
        return HubSpotUnavailable(message, status=status, retry_after_s=wait_s, correlation_id=correlation_id)
    about: dict[str, Any] = {
        "status": status,
        "category": _text(body.category) or _text(body.error_type) or (None if quoting else _text(body.error)),
        "sub_category": _text(body.sub_category),
        "correlation_id": correlation_id,
        "details": _details(body.errors) or inner,
        "context": _context(body.context),
    }
    if status == 429:
        policy = _text(body.policy_name) or (
            "SECONDLY" if "secondly limit" in message and "ten_" not in message else None
        )
        kind = DailyLimitExceeded if policy == "DAILY" else RateLimited
        return kind(message, policy=policy, retry_after_s=wait_s, **about)
    return _KINDS.get(status, RequestRejected)(message + _ADVICE.get(status, ""), **about)


def rejection(entry: BatchError) -> RequestRejected:
    """The error that one entry of a batch answer's `errors` stands for."""
    message, inner = _plain_message(entry.message or "refused without a reason")
    kind = {"OBJECT_NOT_FOUND": NotFound, "CONFLICT": Conflict}.get(entry.category or "", RequestRejected)
    return kind(
        message,
        category=_text(entry.category),
        sub_category=_text(entry.sub_category),
        details=_details(entry.errors) or inner,
        context=_context(entry.context),
    )


_LISTED = "Property values were not valid: "


def _plain_message(message: str) -> tuple[str, tuple[ErrorDetail, ...]]:
    """HubSpot packs a JSON list of problems into some messages: as a sentence, and as details."""
    if not message.startswith(_LISTED):
        return message, ()
    try:
        problems = _problems_decoder.decode(message[len(_LISTED) :])
    except _UNREADABLE:
        return message, ()
    details = tuple(
        ErrorDetail(message=printable(problem.message), code=_text(problem.error), property_name=_text(problem.name))
        for problem in problems
    )
    return _LISTED + "; ".join(_named(detail) for detail in details), details


def _named(detail: ErrorDetail) -> str:
    """A problem with the name of its property, which HubSpot leaves out of most sentences."""
    name = detail.property_name
    return detail.message if name is None or name in detail.message else f"{name}: {detail.message}"


class _Problem(Struct):
    message: str = ""
    error: str | None = None
    name: str | None = None


_problems_decoder = msgspec.json.Decoder(list[_Problem])


def _form(response: Response, *, quoting: bool = True) -> str:
    kind = response.headers.get("Content-Type", "no content type")
    # What is or begins like JSON holds people's data; a page of some network on the way tells what it is.
    if not quoting or "json" in kind.lower() or response.body[:1] in (b"{", b"["):
        return printable(f"{kind}, {len(response.body)} bytes")
    start = response.body[:200].decode("utf-8", "replace")
    return printable(f"{kind}, {len(response.body)} bytes, beginning {start!r}")


def _text(value: object) -> str | None:
    return printable(value) if isinstance(value, str) and value else None


_ID = re.compile(r"[\w.:-]{1,100}", re.ASCII)


def known_id(value: object) -> str | None:
    """A correlation id, which goes from logs to HubSpot's support; what does not look like one is none."""
    return value if isinstance(value, str) and _ID.fullmatch(value) else None


def _retry_after_s(value: str | None) -> float | None:
    """Seconds of a `Retry-After` header. Dates and nonsense count as absent: our own backoff covers them."""
    try:
        seconds = float(value) if value is not None else -1.0
    except ValueError:
        return None
    return seconds if 0 <= seconds < float("inf") else None


def _context(value: object) -> dict[str, tuple[str, ...]]:
    if not isinstance(value, dict):
        return {}
    found: dict[str, tuple[str, ...]] = {}
    for name, entry in cast("dict[str, object]", value).items():
        entries: Sequence[object] = cast("Sequence[object]", entry) if isinstance(entry, list) else (entry,)
        found[name] = tuple(str(item) for item in entries)
    return found


def _details(value: object) -> tuple[ErrorDetail, ...]:
    if not isinstance(value, list):
        return ()
    details: list[ErrorDetail] = []
    for item in cast("list[object]", value):
        if not isinstance(item, dict):
            continue
        entry = cast("dict[str, object]", item)
        context = _context(entry.get("context"))
        names = context.get("propertyName", ())
        details.append(
            ErrorDetail(
                message=_text(entry.get("message")) or "",
                code=_text(entry.get("code")),
                property_name=_text(names[0] if names else entry.get("in")),
                context=context,
            )
        )
    return tuple(details)
