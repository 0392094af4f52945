"""OpenTelemetry: spans and metrics of attempts, runs and micro-batches, and gauges of the quota.

    telemetry = OpenTelemetry()
    async with MeetingsClient(token, on_attempt=telemetry, on_run_event=telemetry) as hubspot:
        telemetry.watch(hubspot, account="acme")

This module knows OpenTelemetry's API and HTTP's semantic conventions. It must not know how calls are made. It needs the
extra `otel`; without an SDK set up by the application, all of it does nothing.

OpenTelemetry: https://opentelemetry.io/docs/specs/semconv/http/
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import time
import weakref
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Final

try:
    from opentelemetry import metrics, trace
    from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation
    from opentelemetry.trace import Span, SpanKind, Status, StatusCode, TracerProvider
    from opentelemetry.util.types import AttributeValue
except ImportError as missing:
    raise ImportError(
        f"this needs OpenTelemetry's API ({missing.name} is missing): pip install 'hubspot-meetings-async[otel]'"
    ) from None

from ..bulk.events import BatchSettled, RunEnded, RunEvent, RunPaused, RunResumed, RunStarted
from ..client import MeetingsClient
from ..errors import ConfigurationError
from ..limiter import QuotaStats
from ..telemetry import Attempt
from ..version import __version__

__all__ = ["OpenTelemetry"]

_NAME: Final = "hubspot_meetings_async"
_NS: Final = 1_000_000_000

_REQUEST_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
"""Seconds, as HTTP's conventions advise them."""
_RUN_BUCKETS: Final = (0.1, 1.0, 10.0, 60.0, 300.0, 1800.0, 3600.0, 21600.0, 86400.0)

_PATIENCE_S: Final = 0.5
_FRESH_S: Final = 0.1
"""All gauges of one collection are of one look."""

_REPORTED: Final = (
    "pulled", "done", "rejected", "ambiguous", "not_sent", "requests", "retries", "rate_limited", "bytes_sent",
    "bytes_received",
)  # fmt: skip

_GAUGES: Final[Mapping[str, tuple[str, str, Callable[[QuotaStats], float | None]]]] = {
    "hubspot.quota.limit": ("{call}", "Calls that a window allows.", lambda q: q.limit or None),
    "hubspot.quota.used": ("{call}", "Calls of the window that are spent.", lambda q: q.used),
    "hubspot.quota.left": ("{call}", "Calls left in the window.", lambda q: q.left if q.limit else None),
    "hubspot.quota.waiting": (
        "{call}", "Calls that wait for quota.", lambda q: q.waiting_interactive + q.waiting_bulk
    ),
    "hubspot.quota.daily.left": ("{call}", "Calls left today.", lambda q: q.daily_remaining),
    "hubspot.quota.daily.reset": (
        "s",
        "Time until the day's calls are counted anew.",
        lambda q: None if q.daily_resets_at is None else (q.daily_resets_at - datetime.now(UTC)).total_seconds(),
    ),
}  # fmt: skip


class OpenTelemetry:
    """A hook for `on_attempt` and `on_run_event`.

    Each attempt is a client span `POST /crm/v3/objects/meetings/batch/create`: of a run, a child of the run's span;
    else of whatever span is current where the call is made. The tries of one call are told apart by
    `http.request.resend_count`. Each bulk run is a span `bulk create`, each micro-batch a span `micro-batch create`;
    pauses are events of theirs, and the report's counts their attributes. Spans and metrics hold no property values.

    Metrics of attempts: `http.client.request.duration` (s, from the first byte sent), `hubspot.client.wait.duration`
    (s, for quota and journal before it), `hubspot.client.retries` and `hubspot.client.rate_limited` (counts). Of runs:
    `hubspot.records` (by `hubspot.operation`, `hubspot.run.kind` and `hubspot.outcome`), `hubspot.run.duration` (s),
    `hubspot.runs.active`. Of the quota, after `watch`: the gauges `hubspot.quota.limit`, `.used`, `.left`, `.waiting`,
    `.daily.left` and `.daily.reset` (s), where HubSpot tells.

    Args:
        tracer_provider, meter_provider: the application's global ones by default.
    """

    def __init__(
        self, *, tracer_provider: TracerProvider | None = None, meter_provider: MeterProvider | None = None
    ) -> None:
        self._tracer = trace.get_tracer(_NAME, __version__, tracer_provider)
        self._runs: dict[str, Span] = {}
        self._looks: list[_Look] = []
        meter = metrics.get_meter(_NAME, __version__, meter_provider)
        self._duration = meter.create_histogram(
            "http.client.request.duration",
            unit="s",
            description="Duration of HTTP client requests.",
            explicit_bucket_boundaries_advisory=_REQUEST_BUCKETS,
        )
        self._wait = meter.create_histogram(
            "hubspot.client.wait.duration",
            unit="s",
            description="Time that attempts waited for quota before they left.",
            explicit_bucket_boundaries_advisory=_REQUEST_BUCKETS,
        )
        self._retries = meter.create_counter(
            "hubspot.client.retries", unit="{attempt}", description="Attempts that will be tried again."
        )
        self._rate_limited = meter.create_counter(
            "hubspot.client.rate_limited", unit="{attempt}", description="Attempts that HubSpot answered with 429."
        )
        self._records = meter.create_counter("hubspot.records", unit="{record}", description="Records by outcome.")
        self._run_duration = meter.create_histogram(
            "hubspot.run.duration",
            unit="s",
            description="Duration of bulk runs and micro-batches.",
            explicit_bucket_boundaries_advisory=_RUN_BUCKETS,
        )
        self._active = meter.create_up_down_counter("hubspot.runs.active", unit="{run}", description="Runs under way.")
        for name, (unit, description, read) in _GAUGES.items():
            meter.create_observable_gauge(name, [self._observer(read)], unit=unit, description=description)

    def __call__(self, told: Attempt | RunEvent) -> None:
        """Tell of one attempt, or of one thing that happened to a run."""
        match told:
            case Attempt():
                self._attempt(told)
            case RunStarted():
                self._started(told)
            case BatchSettled():
                for outcome, number in told.records.items():
                    self._records.add(number, {**_of_run(told), "hubspot.outcome": outcome})
            case RunPaused():
                why = type(told.error).__name__
                self._span_of(told).add_event("paused", {"error.type": why, "hubspot.wait_s": told.wait_s}, told.at_ns)
            case RunResumed():
                self._span_of(told).add_event("resumed", timestamp=told.at_ns)
            case RunEnded():
                self._ended(told)

    def watch(self, hubspot: MeetingsClient, *, account: str) -> None:
        """Observe this client's quota from now on, as long as the client lives; call it on the client's event loop.

        `account` becomes the attribute `hubspot.account` of the gauges: any name that tells your clients apart. A
        collection in another thread asks the loop, and goes without these gauges when that does not answer within
        half a second.

        Raises: ConfigurationError outside of an event loop.
        """
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            raise ConfigurationError("call watch() on the event loop that the client is used on") from None
        self._looks = [look for look in self._looks if not look.loop.is_closed()]
        look = next((look for look in self._looks if look.loop is loop), None)
        if look is None:
            self._looks.append(look := _Look(loop))
        look.at(hubspot, account)

    # ---- attempts

    def _attempt(self, attempt: Attempt) -> None:
        shared = _attributes(attempt)
        self._attempt_span(attempt, shared)
        self._duration.record(attempt.took_s, shared)
        self._wait.record(attempt.waited_s, shared)
        if attempt.retry_in_s is not None:
            self._retries.add(1, shared)
        if attempt.status == 429:
            self._rate_limited.add(1, shared)

    def _attempt_span(self, attempt: Attempt, shared: dict[str, AttributeValue]) -> None:
        sent_at_ns = attempt.began_at_ns + round(attempt.waited_s * _NS)
        run = self._runs.get(attempt.run_id or "")
        span = self._tracer.start_span(
            f"{attempt.method} {attempt.route}",
            context=None if run is None else trace.set_span_in_context(run),
            kind=SpanKind.CLIENT,
            start_time=sent_at_ns,
            attributes={
                **shared,
                "url.full": f"{attempt.base_url}{attempt.path}",
                "http.request.body.size": attempt.bytes_sent,
                "http.response.body.size": attempt.bytes_received,
                "hubspot.waited_s": attempt.waited_s,
            },
        )
        if attempt.number > 1:
            span.set_attribute("http.request.resend_count", attempt.number - 1)
        if attempt.correlation_id is not None:
            span.set_attribute("hubspot.correlation_id", attempt.correlation_id)
        if attempt.error is not None:
            span.set_status(Status(StatusCode.ERROR, attempt.error.message))
        elif attempt.cancelled:
            span.set_status(Status(StatusCode.ERROR, "cancelled"))
        span.end(sent_at_ns + round(attempt.took_s * _NS))

    # ---- runs

    def _started(self, run: RunStarted) -> None:
        self._runs[run.run_id] = self._tracer.start_span(
            f"{run.kind.replace('_', '-')} {run.operation}",
            start_time=run.at_ns,
            attributes={**_of_run(run), "hubspot.run.id": run.run_id, "hubspot.run.resumed": run.resumed},
        )
        self._active.add(1, _of_run(run))

    def _ended(self, run: RunEnded) -> None:
        about = _of_run(run)
        self._active.add(-1, about)
        span = self._span_of(run)
        del self._runs[run.run_id]
        span.set_attributes({f"hubspot.run.{name}": getattr(run.report, name) for name in _REPORTED})
        if run.error is not None:
            about["error.type"] = type(run.error).__name__
            span.set_attribute("error.type", type(run.error).__name__)
            span.set_status(Status(StatusCode.ERROR, type(run.error).__name__))
        self._run_duration.record(run.report.seconds, about)
        span.end(run.at_ns)

    def _span_of(self, told: RunEvent) -> Span:
        return self._runs[told.run_id]

    # ---- the quota

    def _observer(
        self, read: Callable[[QuotaStats], float | None]
    ) -> Callable[[CallbackOptions], Iterable[Observation]]:
        def observe(_: CallbackOptions) -> Iterable[Observation]:
            for look in self._looks:
                for account, stats in look.stats():
                    if (value := read(stats)) is not None:
                        yield Observation(value, {"hubspot.account": account, "hubspot.quota.policy": stats.name})

        return observe


class _Look:
    """Looks at the quota of clients on their own loop, whatever thread wants to know; all of the loop's at once."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._clients: list[tuple[str, weakref.ref[MeetingsClient]]] = []
        self._seen: list[tuple[str, QuotaStats]] = []
        self._seen_at = float("-inf")

    def at(self, hubspot: MeetingsClient, account: str) -> None:
        """Look at this client too."""
        self._clients.append((account, weakref.ref(hubspot)))

    def stats(self) -> list[tuple[str, QuotaStats]]:
        """One look; nothing where there is nobody to look."""
        if time.monotonic() > self._seen_at + _FRESH_S:
            self._seen = self._asked()
            self._seen_at = time.monotonic()
        return self._seen

    def _asked(self) -> list[tuple[str, QuotaStats]]:
        if not self.loop.is_running():
            return []
        if asyncio._get_running_loop() is self.loop:  # noqa: SLF001
            return self._now()
        seen: concurrent.futures.Future[list[tuple[str, QuotaStats]]] = concurrent.futures.Future()
        try:
            self.loop.call_soon_threadsafe(lambda: seen.set_result(self._now()))
            return seen.result(_PATIENCE_S)
        except (RuntimeError, TimeoutError):  # the loop has just been closed, or is held up
            return []

    def _now(self) -> list[tuple[str, QuotaStats]]:
        self._clients = [known for known in self._clients if known[1]() is not None]
        living = [(account, client()) for account, client in self._clients]
        return [(account, hubspot.quota) for account, hubspot in living if hubspot is not None]


def _of_run(told: RunEvent) -> dict[str, AttributeValue]:
    return {"hubspot.operation": told.operation, "hubspot.run.kind": told.kind}


def _attributes(attempt: Attempt) -> dict[str, AttributeValue]:
    """What spans and metrics share: of each of these there are few values."""
    scheme, _, rest = attempt.base_url.partition("://")
    address, _, port = rest.partition("/")[0].rpartition(":")
    attributes: dict[str, AttributeValue] = {
        "http.request.method": attempt.method,
        "url.template": attempt.route,
        "url.scheme": scheme,
        "server.address": address or port,
        "server.port": int(port) if address and port.isdigit() else 443 if scheme == "https" else 80,
        "network.protocol.version": "1.1",
        "hubspot.lane": attempt.lane,
    }
    if attempt.status is not None:
        attributes["http.response.status_code"] = attempt.status
    if attempt.error is not None:
        attributes["error.type"] = type(attempt.error).__name__
    elif attempt.cancelled:
        attributes["error.type"] = "cancelled"
    return attributes
