"""OpenTelemetry: a span and a few metrics for each attempt.

    MeetingsClient(token, on_attempt=OpenTelemetry())

This module knows OpenTelemetry's API and HTTP's semantic conventions. It must not know how calls are made. It needs the
extra `otel`; without an SDK set up by the application, all of it does nothing.

OpenTelemetry: https://opentelemetry.io/docs/specs/semconv/http/
"""

from __future__ import annotations

from typing import Final

from opentelemetry import metrics, trace
from opentelemetry.metrics import MeterProvider
from opentelemetry.trace import SpanKind, Status, StatusCode, TracerProvider
from opentelemetry.util.types import AttributeValue

from ..telemetry import Attempt
from ..version import __version__

__all__ = ["OpenTelemetry"]

_NAME: Final = "hubspot_meetings_async"
_NS: Final = 1_000_000_000


class OpenTelemetry:
    """A hook for `on_attempt`.

    Each attempt is a client span `POST /crm/v3/objects/meetings/batch/create`, a child of whatever span is current
    where the call is made; the tries of one call are told apart by `http.request.resend_count`. Metrics:
    `http.client.request.duration` (s, from the first byte sent), `hubspot.client.wait.duration` (s, for quota and
    journal before it), `hubspot.client.retries` and `hubspot.client.rate_limited` (counts).

    Args:
        tracer_provider, meter_provider: the application's global ones by default.
    """

    def __init__(
        self, *, tracer_provider: TracerProvider | None = None, meter_provider: MeterProvider | None = None
    ) -> None:
        self._tracer = trace.get_tracer(_NAME, __version__, tracer_provider)
        meter = metrics.get_meter(_NAME, __version__, meter_provider)
        self._duration = meter.create_histogram(
            "http.client.request.duration", unit="s", description="Duration of HTTP client requests."
        )
        self._wait = meter.create_histogram(
            "hubspot.client.wait.duration",
            unit="s",
            description="Time that attempts waited for quota before they left.",
        )
        self._retries = meter.create_counter(
            "hubspot.client.retries", unit="{attempt}", description="Attempts that will be tried again."
        )
        self._rate_limited = meter.create_counter(
            "hubspot.client.rate_limited", unit="{attempt}", description="Attempts that HubSpot answered with 429."
        )

    def __call__(self, attempt: Attempt) -> None:
        """Tell of one attempt."""
        shared = _attributes(attempt)
        self._span(attempt, shared)
        self._duration.record(attempt.took_s, shared)
        self._wait.record(attempt.waited_s, shared)
        if attempt.retry_in_s is not None:
            self._retries.add(1, shared)
        if attempt.status == 429:
            self._rate_limited.add(1, shared)

    def _span(self, attempt: Attempt, shared: dict[str, AttributeValue]) -> None:
        sent_at_ns = attempt.began_at_ns + round(attempt.waited_s * _NS)
        span = self._tracer.start_span(
            f"{attempt.method} {attempt.route}",
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
        "hubspot.lane": attempt.lane,
    }
    if attempt.status is not None:
        attributes["http.response.status_code"] = attempt.status
    if attempt.error is not None:
        attributes["error.type"] = type(attempt.error).__name__
    elif attempt.cancelled:
        attributes["error.type"] = "cancelled"
    return attributes
