"""FastAPI: one client for the app, errors as HTTP answers, webhooks.

    app = FastAPI()
    install(app)                                    # the token is in HUBSPOT_ACCESS_TOKEN

    @app.get("/meetings/{meeting_id}")
    async def meeting(meeting_id: str, hubspot: Hubspot) -> dict[str, str | None]:
        return (await hubspot.meetings.get(meeting_id, properties=["hs_meeting_title"])).properties

This module knows FastAPI, which error is whose fault, and `integrations.webhooks`. It must not know how calls are made.
It needs the extra `fastapi`.

FastAPI: https://fastapi.tiangolo.com/advanced/events/; problem details: RFC 9457
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Any, Final, NamedTuple
from urllib.parse import quote

try:
    from fastapi import Depends, FastAPI, HTTPException, Request
    from fastapi.requests import HTTPConnection
    from fastapi.responses import JSONResponse
    from starlette.requests import ClientDisconnect
except ImportError as missing:
    raise ImportError(
        f"this needs FastAPI ({missing.name} is missing): pip install 'hubspot-meetings-async[fastapi]'"
    ) from None

from ..client import MeetingsClient
from ..errors import (
    AmbiguousWriteError,
    CalendarNotConnected,
    CircuitOpen,
    ConfigurationError,
    Conflict,
    DailyLimitExceeded,
    DeadlineExceeded,
    DurationNotOffered,
    Forbidden,
    FormFieldMissing,
    HubSpotError,
    HubSpotUnavailable,
    InvalidRecord,
    NotFound,
    RateLimited,
    RequestRejected,
    SlotTaken,
    TokenUnavailable,
    TransportFailed,
    Unauthorized,
    UnexpectedResponse,
    WebhookRefused,
    printable,
)
from ..secret import Secret
from ..settings import need_count
from .webhooks import SIGNATURE_HEADER, Event, check_signature, client_secret_of, parse_events

__all__ = ["Hubspot", "add_error_answers", "hubspot_client", "hubspot_lifespan", "install", "webhook_events"]

_logger = logging.getLogger(__name__)

# ---- one client for the app ---------------------------------------------------------------------------------------

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[Any]]


def install(app: FastAPI, make_client: Callable[[], MeetingsClient] = MeetingsClient.from_env) -> None:
    """Give `app` its client, and answers for this library's errors.

    `make_client` is called when the app starts, on its event loop; by default the token is in `HUBSPOT_ACCESS_TOKEN`.
    A lifespan that the app has already runs inside of the client's life: it may use `app.state.hubspot`.

    Raises: ConfigurationError when `make_client` can not be called.
    """
    outer, inner = hubspot_lifespan(make_client), app.router.lifespan_context

    @asynccontextmanager
    async def both(app: FastAPI) -> AsyncGenerator[Any, None]:
        async with outer(app), inner(app) as state:
            yield state

    app.router.lifespan_context = both
    add_error_answers(app)


def hubspot_lifespan(make_client: Callable[[], MeetingsClient] = MeetingsClient.from_env) -> Lifespan:
    """A lifespan that makes the client when the app starts, keeps it in `app.state.hubspot`, and closes it at the end.

        app = FastAPI(lifespan=hubspot_lifespan())

    or within a lifespan of your own:

        @asynccontextmanager
        async def lifespan(app: FastAPI) -> AsyncGenerator[None, None]:
            async with hubspot_lifespan()(app):
                yield

    A mounted app has no lifespan of its own; `mounted.state = app.state` lets it use the client of the app around it.

    Raises: ConfigurationError when `make_client` can not be called, makes something else, or the app has a client.
    """
    if not callable(make_client):
        raise ConfigurationError(
            "make_client takes a function that makes a client, such as lambda: MeetingsClient(token); the client "
            "itself belongs to the event loop, which runs only when the app has started"
        )

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None, None]:
        if hasattr(app.state, "hubspot"):
            raise ConfigurationError("this app has its HubSpot client already; install it once")
        client = make_client()
        if not isinstance(client, MeetingsClient):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigurationError(f"make_client must return a MeetingsClient, not a {type(client).__name__}")
        async with client:
            app.state.hubspot = client
            try:
                yield
            finally:
                del app.state.hubspot

    return lifespan


async def hubspot_client(connection: HTTPConnection) -> MeetingsClient:
    """The dependency behind `Hubspot`; tests give another client by `app.dependency_overrides[hubspot_client]`.

    Raises: ConfigurationError when the app did not start with its lifespan.
    """
    client: MeetingsClient | None = getattr(connection.app.state, "hubspot", None)
    if client is None:
        raise ConfigurationError(
            "this app has no HubSpot client: call install(app), or make it with FastAPI(lifespan=hubspot_lifespan()). "
            "In tests the lifespan runs only within `with TestClient(app) as client:`"
        )
    return client


Hubspot = Annotated[MeetingsClient, Depends(hubspot_client)]
"""The app's one client, as a parameter of a path operation: `async def f(hubspot: Hubspot)`."""


# ---- errors as answers --------------------------------------------------------------------------------------------


class _Answer(NamedTuple):
    status: int
    detail: str


_LATER = "HubSpot can not be asked right now. Try again later."
_OUR_ACCESS = "This service could not use HubSpot. Its operators have to look at it."
_OUR_FAULT = "This service failed."
_OUR_REQUEST = "HubSpot did not take this service's request."

_ANSWERS: Final[tuple[tuple[type[HubSpotError], _Answer], ...]] = (
    # The first that fits counts. Words are our own: HubSpot's may name other people's records.
    (RateLimited, _Answer(503, _LATER)),
    (CircuitOpen, _Answer(503, _LATER)),
    (TokenUnavailable, _Answer(503, _LATER)),
    (HubSpotUnavailable, _Answer(503, _LATER)),
    (DeadlineExceeded, _Answer(504, "HubSpot did not answer in time.")),
    (TransportFailed, _Answer(502, "HubSpot could not be reached.")),
    (Unauthorized, _Answer(502, _OUR_ACCESS)),
    (Forbidden, _Answer(502, _OUR_ACCESS)),
    (NotFound, _Answer(404, "HubSpot has no such record.")),
    (Conflict, _Answer(409, "A value that has to be unique is taken.")),
    (SlotTaken, _Answer(409, "This time is taken, or not on offer. Ask for the free slots again.")),
    (DurationNotOffered, _Answer(422, "There are no meetings of this length.")),
    (FormFieldMissing, _Answer(422, "A value that the booking form requires is missing.")),
    (InvalidRecord, _Answer(422, "A value is nothing that HubSpot can take.")),
    (AmbiguousWriteError, _Answer(502, "It is not known whether HubSpot did this. Look before you try again.")),
    (UnexpectedResponse, _Answer(502, "HubSpot's answer could not be read.")),
    (CalendarNotConnected, _Answer(502, "Nothing was booked: the organizer's calendar is not connected.")),
)

_WINDOW_S: Final = 10.0
"""HubSpot's rolling window: after a 429 that names no time, it has room again."""
_SOON_S: Final = 5.0


def add_error_answers(app: FastAPI) -> None:
    """Answer this library's errors with `application/problem+json` (RFC 9457) instead of a plain 500.

    | error | status |
    |---|---|
    | RateLimited, CircuitOpen, HubSpotUnavailable, TokenUnavailable | 503, with `Retry-After` |
    | DeadlineExceeded | 504 |
    | NotFound | 404 |
    | Conflict, SlotTaken | 409 |
    | InvalidRecord, DurationNotOffered, FormFieldMissing, values that HubSpot refused | 422 |
    | AmbiguousWriteError | 502, with `"ambiguous": true` |
    | HubSpot not reached or not understood, the token refused, other refusals | 502 |
    | ConfigurationError and the rest | 500 |

    `code` is the error's class, `correlation_id` HubSpot's, `properties` are the names of refused ones. What HubSpot
    and the error itself say is in the log only: a warning for 502 to 504, an error with traceback for 500. An endpoint
    that knows better catches the error itself. Web sockets are left alone.
    """
    app.add_exception_handler(HubSpotError, _answer)


async def _answer(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, HubSpotError) or request.scope["type"] != "http":
        raise error
    status, detail = _status_of(error)
    route = f"{request.method} {printable(request.url.path)}"
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:
        _logger.error("%s failed: %s", route, error, exc_info=error)
    else:
        level = logging.WARNING if status > HTTPStatus.INTERNAL_SERVER_ERROR else logging.INFO
        _logger.log(level, "%s is answered with %d: %s: %s", route, status, type(error).__name__, error)
    problem: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": type(error).__name__,
    }
    if correlation_id := _correlation_id(error):
        problem["correlation_id"] = correlation_id
    if isinstance(error, AmbiguousWriteError):
        problem["ambiguous"] = True
    if isinstance(error, RequestRejected) and status == HTTPStatus.UNPROCESSABLE_ENTITY and error.property_names:
        problem["properties"] = list(error.property_names)
    headers = {"Retry-After": str(_retry_after_s(error))} if status == HTTPStatus.SERVICE_UNAVAILABLE else None
    return JSONResponse(problem, status_code=status, headers=headers, media_type="application/problem+json")


def _status_of(error: HubSpotError) -> _Answer:
    for kind, answer in _ANSWERS:
        if isinstance(error, kind):
            return answer
    if isinstance(error, WebhookRefused):
        return _Answer(400 if error.why == "unreadable" else 401, error.message)
    if isinstance(error, RequestRejected):
        if error.category == "VALIDATION_ERROR" or error.property_names:
            return _Answer(422, "HubSpot refused a value.")
        return _Answer(502, _OUR_REQUEST)
    return _Answer(500, _OUR_FAULT)


def _correlation_id(error: BaseException) -> str | None:
    found = getattr(error, "correlation_id", None)
    return found or (_correlation_id(error.__cause__) if error.__cause__ is not None else None)


def _retry_after_s(error: HubSpotError) -> int:
    wait_s: float | None = None
    if isinstance(error, CircuitOpen):
        wait_s = error.retry_in_s
    elif isinstance(error, DailyLimitExceeded) and error.resets_at is not None:
        wait_s = (error.resets_at - datetime.now(UTC)).total_seconds()
    elif isinstance(error, (RateLimited, HubSpotUnavailable)):
        wait_s = error.retry_after_s
    if wait_s is None:
        wait_s = _WINDOW_S if isinstance(error, RateLimited) else _SOON_S
    return max(1, math.ceil(wait_s))


# ---- webhooks -----------------------------------------------------------------------------------------------------


_CHALLENGE: Final = {"WWW-Authenticate": SIGNATURE_HEADER}


def webhook_events(
    client_secret: str | Secret,
    *,
    public_url: str | None = None,
    max_body_bytes: int = 16 * 1024 * 1024,
    now: Callable[[], float] = time.time,
) -> Callable[[Request], Awaitable[tuple[Event, ...]]]:
    """A dependency that gives the events of a webhook delivery, once its signature (v3) is found to be HubSpot's.

        @app.post("/hubspot/webhooks")
        async def changed(events: Annotated[tuple[Event, ...], Depends(webhook_events(client_secret))]) -> None:
            for event in events: ...

    HubSpot waits 5 s for the answer: leave what takes longer to a background task. It has read the request's body.

    Args:
        client_secret: that of the HubSpot app which the webhooks belong to.
        public_url: what HubSpot's target URL begins with, up to where the app's own paths begin, such as
            `https://app.example.com`. HubSpot signs the URL it calls: behind a proxy that changes the host, the scheme
            or the path, the app can not know it otherwise.
        max_body_bytes: more than this is not read, and answered with 413.
        now: Unix seconds.

    It answers 401 to what is not signed, signed too long ago or by somebody else, and 400 to what holds no events;
    the reason is logged as a warning.

    Raises: ConfigurationError at once for values that make no sense.
    """
    secret = client_secret_of(client_secret)
    need_count("max_body_bytes", max_body_bytes)
    if public_url is not None and not public_url.startswith(("https://", "http://")):
        raise ConfigurationError(f"public_url must look like https://app.example.com, not {public_url!r}")

    async def events(request: Request) -> tuple[Event, ...]:
        url = _called_url(request, public_url)
        try:
            body = await _body(request, max_body_bytes)
            check_signature(secret, method=request.method, url=url, body=body, headers=request.headers, now=now)
            return parse_events(body)
        except WebhookRefused as error:
            _logger.warning("a webhook delivery to %s is refused: %s", printable(url), error)
            status, detail = _status_of(error)
            # No WebhookRefused: apps without `add_error_answers` get their 401 too.
            raise HTTPException(status, detail, _CHALLENGE if status == HTTPStatus.UNAUTHORIZED else None) from None

    return events


def _called_url(request: Request, public_url: str | None) -> str:
    # Not `request.url`, whose path is decoded: the signature is over the escapes as they came.
    scope = request.scope
    path = scope.get("raw_path") or quote(scope["path"]).encode()
    query = scope.get("query_string") or b""
    base = public_url if public_url is not None else f"{request.url.scheme}://{request.url.netloc}"
    return base.rstrip("/") + (path + b"?" + query if query else path).decode("utf-8", "replace")


async def _body(request: Request, max_bytes: int) -> bytes:
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > max_bytes:
                raise HTTPException(413, f"a delivery may have {max_bytes:,} bytes")
    except ClientDisconnect:
        raise WebhookRefused("the delivery broke off before its end", why="unreadable") from None
    return bytes(body)
