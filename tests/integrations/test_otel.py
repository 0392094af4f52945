"""OpenTelemetry, heard by its SDK's own exporters in memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from hubspot_meetings_async import MeetingsClient, NoLimit, NotFound, RetryPolicy
from hubspot_meetings_async.emulator import Emulator
from hubspot_meetings_async.integrations.otel import OpenTelemetry

TOKEN = "pat-na1-canary-7f3a"
SWIFT = RetryPolicy(base_s=0.001, cap_s=0.002)


class Listening:
    """Providers of an application, and what they have heard."""

    def __init__(self) -> None:
        self._spans = InMemorySpanExporter()
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self._spans))
        self._reader = InMemoryMetricReader()
        self.meters = MeterProvider([self._reader])
        self.hook = OpenTelemetry(tracer_provider=self.tracers, meter_provider=self.meters)

    def client(self, emulator: Emulator) -> MeetingsClient:
        return MeetingsClient(TOKEN, base_url=emulator.url, limiter=NoLimit(), retry=SWIFT, on_attempt=self.hook)

    @property
    def spans(self) -> list[ReadableSpan]:
        return list(self._spans.get_finished_spans())

    def metrics(self) -> dict[str, list[Any]]:
        data = self._reader.get_metrics_data()
        assert data is not None
        return {
            metric.name: list(metric.data.data_points)
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }


@pytest.fixture
def listening() -> Iterator[Listening]:
    heard = Listening()
    yield heard
    heard.tracers.shutdown()
    heard.meters.shutdown()


async def test_a_span_for_each_try(listening: Listening) -> None:
    """Named by method and route, with HTTP's conventions, below the application's own span."""
    async with Emulator(limit=None) as emulator, listening.client(emulator) as hubspot:
        emulator.faults.fail_next(503)
        made, url = emulator.portal.add_object("meetings"), emulator.url
        with listening.tracers.get_tracer("app").start_as_current_span("handler"):
            await hubspot.meetings.get(made)
    first, second, handler = listening.spans
    assert first.name == second.name == "GET /crm/v3/objects/meetings/{id}"
    assert first.kind is SpanKind.CLIENT
    assert first.parent is not None
    assert first.parent.span_id == handler.context.span_id
    assert first.attributes is not None
    assert second.attributes is not None
    assert first.attributes["http.response.status_code"] == 503
    assert first.attributes["error.type"] == "HubSpotUnavailable"
    assert first.status.status_code is StatusCode.ERROR
    assert second.attributes["http.response.status_code"] == 200
    assert second.attributes["http.request.resend_count"] == 1
    assert second.attributes["url.full"] == f"{url}/crm/v3/objects/meetings/{made}"
    assert second.attributes["server.address"] == "127.0.0.1"
    assert url.endswith(str(second.attributes["server.port"]))
    assert second.status.status_code is StatusCode.UNSET
    assert first.start_time is not None
    assert first.end_time is not None
    assert second.start_time is not None
    assert first.start_time <= first.end_time <= second.start_time


async def test_metrics(listening: Listening) -> None:
    """Durations and waits by route, tries that are repeated, and 429s."""
    async with Emulator(limit=None) as emulator, listening.client(emulator) as hubspot:
        emulator.faults.fail_next(429)
        await hubspot.bulk.create([{"hs_meeting_title": "x"}] * 250)
    metrics = listening.metrics()
    durations = metrics["http.client.request.duration"]
    assert sum(point.count for point in durations) == 4
    assert {point.attributes["hubspot.lane"] for point in durations} == {"bulk"}
    assert {point.attributes["url.template"] for point in durations} == {"/crm/v3/objects/meetings/batch/create"}
    assert sum(point.value for point in metrics["hubspot.client.retries"]) == 1
    assert sum(point.value for point in metrics["hubspot.client.rate_limited"]) == 1
    assert sum(point.count for point in metrics["hubspot.client.wait.duration"]) == 4


async def test_nothing_secret_in_a_span(listening: Listening) -> None:
    """Neither the token nor what a meeting holds."""
    async with Emulator(limit=None) as emulator, listening.client(emulator) as hubspot:
        await hubspot.meetings.create({"hs_meeting_title": "a private matter"})
        with pytest.raises(NotFound):
            await hubspot.meetings.update(1, {"hs_meeting_title": "a private matter"})
    told = "".join(span.to_json() for span in listening.spans)
    assert len(listening.spans) == 2
    assert TOKEN not in told
    assert "private" not in told


def test_without_an_sdk_it_does_nothing() -> None:
    """The API alone costs next to nothing."""
    assert callable(OpenTelemetry())
