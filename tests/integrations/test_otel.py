"""OpenTelemetry, heard by its SDK's own exporters in memory."""

from __future__ import annotations

import concurrent.futures
import gc
import importlib
import sys
from collections.abc import Iterator
from typing import Any

import anyio
import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from hubspot_meetings_async import ConfigurationError, MeetingsClient, NoLimit, NotFound, RetryPolicy, Unauthorized
from hubspot_meetings_async.emulator import Emulator
from hubspot_meetings_async.integrations import otel
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
        return MeetingsClient(
            TOKEN,
            base_url=emulator.url,
            limiter=NoLimit(),
            retry=SWIFT,
            on_attempt=self.hook,
            on_run_event=self.hook,
        )

    @property
    def spans(self) -> list[ReadableSpan]:
        return list(self._spans.get_finished_spans())

    def metrics(self) -> dict[str, list[Any]]:
        data = self._reader.get_metrics_data()
        return {
            metric.name: list(metric.data.data_points)
            for resource in (data.resource_metrics if data is not None else ())
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


async def test_a_run_is_a_span_above_its_attempts(listening: Listening) -> None:
    """Below the application's own; with the report's counts, and records by outcome as a metric."""
    async with Emulator(limit=None) as emulator, listening.client(emulator) as hubspot:
        emulator.faults.fail_next(503, operation="meetings.batch_*")
        emulator.portal.add_property("ref", unique=True)
        records = [{"ref": f"r{number}"} for number in range(250)] + [{"nonsense": "x"}]
        with listening.tracers.get_tracer("app").start_as_current_span("backfill"):
            await hubspot.bulk.upsert(records, id_property="ref")
    spans = {span.name: span for span in listening.spans}
    run, backfill = spans["bulk upsert"], spans["backfill"]
    attempts = [span for span in listening.spans if span.name == "POST /crm/v3/objects/meetings/batch/upsert"]
    assert run.parent is not None
    assert run.parent.span_id == backfill.context.span_id
    assert len(attempts) >= 4
    assert {span.parent.span_id for span in attempts if span.parent is not None} == {run.context.span_id}
    assert run.attributes is not None
    assert run.kind is SpanKind.INTERNAL
    assert (run.attributes["hubspot.run.done"], run.attributes["hubspot.run.rejected"]) == (250, 1)
    assert run.attributes["hubspot.run.requests"] == len(attempts)
    assert run.status.status_code is StatusCode.UNSET
    metrics = listening.metrics()
    records_by_outcome = {point.attributes["hubspot.outcome"]: point.value for point in metrics["hubspot.records"]}
    assert records_by_outcome == {"created": 250, "rejected": 1}
    assert [point.count for point in metrics["hubspot.run.duration"]] == [1]
    assert [point.value for point in metrics["hubspot.runs.active"]] == [0]


async def test_what_becomes_of_a_run_is_in_its_span(listening: Listening) -> None:
    """Its pauses are events, what ended it is its status; it is active meanwhile."""
    active = []
    async with Emulator(limit=None) as emulator:
        emulator.faults.fail_next(477, retry_after=0.05)
        async with MeetingsClient(
            TOKEN,
            base_url=emulator.url,
            limiter=NoLimit(),
            retry=RetryPolicy(longest_wait_s=0.01),
            on_run_event=listening.hook,
        ) as hubspot:
            records: list[dict[str, str]] = [{}] * 300
            async with hubspot.bulk.create(records, wait_for_reset=True) as run:
                async for _ in run:
                    active.append(listening.metrics()["hubspot.runs.active"][0].value)
            emulator.faults.fail_next(401, times=None)
            with pytest.raises(Unauthorized):
                await hubspot.bulk.create([{}])
    whole, broken = listening.spans
    assert set(active) == {1}
    assert [event.name for event in whole.events][:2] == ["paused", "resumed"]
    assert whole.events[0].attributes is not None
    assert whole.events[0].attributes["error.type"] == "HubSpotUnavailable"
    assert (broken.status.status_code, broken.status.description) == (StatusCode.ERROR, "Unauthorized")


async def test_a_micro_batch_is_a_span_above_its_attempt(listening: Listening) -> None:
    """And its records are counted apart from those of bulk runs."""
    async with (
        Emulator(limit=None) as emulator,
        listening.client(emulator) as hubspot,
        hubspot.micro_batch() as batch,
        anyio.create_task_group() as tasks,
    ):
        for _ in range(100):
            tasks.start_soon(batch.create, {"hs_meeting_title": "x"})
    attempt, run = listening.spans
    assert (run.name, attempt.name) == ("micro-batch create", "POST /crm/v3/objects/meetings/batch/create")
    assert attempt.parent is not None
    assert attempt.parent.span_id == run.context.span_id
    (point,) = listening.metrics()["hubspot.records"]
    assert point.value == 100
    assert point.attributes["hubspot.run.kind"] == "micro_batch"


class TestQuotaGauges:
    @pytest.fixture(autouse=True)
    def look_each_time(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A look is kept for a moment, for all gauges of a collection."""
        monkeypatch.setattr(otel, "_FRESH_S", -1.0)

    async def test_they_are_what_the_client_knows(self, listening: Listening) -> None:
        """Also when they are collected in another thread; what HubSpot does not tell is not there."""
        async with Emulator(limit=110, daily_limit=1_000) as emulator:
            async with MeetingsClient(TOKEN, base_url=emulator.url) as hubspot:
                listening.hook.watch(hubspot, account="acme")
                made = emulator.portal.add_object("meetings")
                assert "hubspot.quota.daily.left" not in listening.metrics()
                for _ in range(3):
                    await hubspot.meetings.get(made)
                here, there = listening.metrics(), await anyio.to_thread.run_sync(listening.metrics)
                quota = hubspot.quota
            for metrics in (here, there):
                points = {name: metrics[name][0] for name in metrics if name.startswith("hubspot.quota.")}
                values = {name.removeprefix("hubspot.quota."): point.value for name, point in points.items()}
                assert values == {"limit": 110, "used": 3, "left": 107, "waiting": 0, "daily.left": 997}
                assert {tuple(point.attributes.items()) for point in points.values()} == {
                    (("hubspot.account", "acme"), ("hubspot.quota.policy", quota.name))
                }
            del hubspot
            gc.collect()
            assert "hubspot.quota.used" not in listening.metrics()

    async def test_a_loop_that_is_held_up_is_not_waited_for(
        self, listening: Listening, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The collection goes without them."""
        monkeypatch.setattr(otel, "_PATIENCE_S", 0.01)
        async with Emulator(limit=None) as emulator, MeetingsClient(TOKEN, base_url=emulator.url) as hubspot:
            listening.hook.watch(hubspot, account="acme")
            with concurrent.futures.ThreadPoolExecutor(1) as elsewhere:
                assert "hubspot.quota.used" not in elsewhere.submit(listening.metrics).result(timeout=30)

    def test_outside_of_a_loop(self, listening: Listening) -> None:
        """It says where to call it."""
        with pytest.raises(ConfigurationError, match="event loop"):
            listening.hook.watch(MeetingsClient(TOKEN), account="acme")


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


def test_without_the_api_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not only which module is missing."""
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    monkeypatch.delitem(sys.modules, otel.__name__)
    with pytest.raises(ImportError, match=r"hubspot-meetings-async\[otel\]"):
        importlib.import_module(otel.__name__)
