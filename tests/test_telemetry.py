"""What the client tells of attempts and runs: enough to see what goes on, and nothing that is secret."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import anyio
import pytest
from msgspec import structs

from hubspot_meetings_async import (
    AmbiguousWriteError,
    Attempt,
    BatchSettled,
    HubSpotError,
    MeetingsClient,
    NoLimit,
    NotFound,
    RetryPolicy,
    RunEnded,
    RunEvent,
    RunPaused,
    RunResumed,
    RunStarted,
    Timeouts,
)
from hubspot_meetings_async.bulk.events import watch
from hubspot_meetings_async.emulator import Emulator
from hubspot_meetings_async.errors import DeadlineExceeded
from hubspot_meetings_async.telemetry import route_of

SWIFT = RetryPolicy(base_s=0.001, cap_s=0.002)
TOKEN = "pat-na1-canary-7f3a"


class Heard(list[Attempt]):
    """A hook that keeps what it hears."""

    def client(self, emulator: Emulator, **options: object) -> MeetingsClient:
        return MeetingsClient(
            TOKEN,
            base_url=emulator.url,
            limiter=NoLimit(),
            retry=SWIFT,
            on_attempt=self.append,
            **options,  # type: ignore[arg-type]
        )


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/crm/v3/objects/meetings", "/crm/v3/objects/meetings"),
        ("/crm/v3/objects/meetings/501", "/crm/v3/objects/meetings/{id}"),
        ("/crm/v3/objects/meetings/some%20value", "/crm/v3/objects/meetings/{id}"),
        ("/crm/objects/2026-09/meetings/batch/create", "/crm/objects/2026-09/meetings/batch/create"),
        ("/crm/v4/objects/meetings/1/associations/0-1/2", "/crm/v4/objects/meetings/{id}/associations/{id}/{id}"),
        ("/scheduler/v3/meetings/meeting-links/book/jane-doe", "/scheduler/v3/meetings/meeting-links/book/{id}"),
        ("/crm/v3/properties/meetings/booking_ref", "/crm/v3/properties/meetings/{id}"),
    ],
)
def test_routes_are_few(path: str, route: str) -> None:
    """Whatever varies is one word: a metric has a series for each route."""
    assert route_of(path) == route


async def test_each_try_is_told() -> None:
    """A failure, how long until the next try, the success; each with what HubSpot said."""
    heard = Heard()
    async with Emulator(limit=None) as emulator, heard.client(emulator) as hubspot:
        emulator.faults.fail_next(503)
        made = emulator.portal.add_object("meetings")
        await hubspot.meetings.get(made)
    first, second = heard
    assert (first.method, first.route, first.path) == (
        "GET",
        "/crm/v3/objects/meetings/{id}",
        f"/crm/v3/objects/meetings/{made}",
    )
    assert (first.number, first.status, second.number, second.status) == (1, 503, 2, 200)
    assert first.error is not None
    assert first.retry_in_s is not None
    assert (second.error, second.retry_in_s) == (None, None)
    assert first.correlation_id != second.correlation_id
    assert second.bytes_received > 0
    assert second.lane == "interactive"
    assert second.took_s > 0
    assert second.began_at_ns >= first.began_at_ns


async def test_what_ends_a_call_is_told_too() -> None:
    """Refusals, lost answers, calls that nobody waits for any more."""
    heard = Heard()
    async with Emulator(limit=None) as emulator:
        async with heard.client(emulator) as hubspot:
            with pytest.raises(NotFound):
                await hubspot.meetings.get(1)
            emulator.faults.reset_next()
            with pytest.raises(AmbiguousWriteError):
                await hubspot.meetings.create({"hs_meeting_title": "x"})
        emulator.faults.hang_next()
        async with heard.client(emulator, timeout=Timeouts(call_s=0.05)) as hubspot:
            with pytest.raises(DeadlineExceeded):
                await hubspot.meetings.get(1)
    refused, lost, late = heard
    assert (refused.status, refused.retry_in_s, type(refused.error)) == (404, None, NotFound)
    assert (lost.status, lost.retry_in_s) == (None, None)
    assert lost.error is not None
    assert (late.cancelled, late.error, late.status) == (True, None, None)


async def test_bulk_is_told_apart() -> None:
    """By its lane; the sizes are those of the bodies."""
    heard = Heard()
    async with Emulator(limit=None) as emulator, heard.client(emulator) as hubspot:
        report = await hubspot.bulk.create([{"hs_meeting_title": "x"}] * 250)
    assert {attempt.lane for attempt in heard} == {"bulk"}
    assert sum(attempt.bytes_sent for attempt in heard) == report.bytes_sent
    assert sum(attempt.bytes_received for attempt in heard) == report.bytes_received


async def test_a_hook_that_raises_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """It is logged."""

    def broken(attempt: Attempt) -> None:
        raise LookupError("the dashboard is gone")

    async with Emulator(limit=None) as emulator:
        made = emulator.portal.add_object("meetings")
        async with MeetingsClient(TOKEN, base_url=emulator.url, on_attempt=broken) as hubspot:
            assert (await hubspot.meetings.get(made)).id == made
    assert "the dashboard is gone" in caplog.text


async def test_nothing_secret_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """No token and no value of a property, in any field, whatever happens."""
    caplog.set_level(logging.DEBUG)
    heard = Heard()
    async with Emulator(limit=None) as emulator, heard.client(emulator) as hubspot:
        for status in (401, 404, 429, 500):
            emulator.faults.fail_next(status)
            with suppress(HubSpotError):
                await hubspot.meetings.create({"hs_meeting_title": "a private matter"})
    assert len(heard) >= 4
    assert TOKEN not in repr(list(heard)) + caplog.text
    assert "private" not in repr(list(heard)) + caplog.text


class TestRuns:
    """What is told of bulk runs and micro-batches."""

    async def test_a_run_is_told_from_its_beginning_to_its_end(self) -> None:
        """Begun, every record's outcome counted once, ended with its report; each attempt names the run."""
        heard, told = Heard(), list[RunEvent]()
        records = [*({"hs_meeting_title": "x"} for _ in range(249)), {"nonsense": "a private matter"}]
        async with (
            Emulator(limit=None) as emulator,
            heard.client(emulator, on_run_event=told.append) as hubspot,
            hubspot.bulk.create(records) as run,
        ):
            async for _ in run:
                pass
        started, *settled, ended = told
        assert started == RunStarted(run_id=run.id, kind="bulk", operation="create", at_ns=started.at_ns)
        counts: Counter[str] = Counter()
        for event in settled:
            assert isinstance(event, BatchSettled)
            counts.update(event.records)
        assert counts == {"created": 249, "rejected": 1}
        assert isinstance(ended, RunEnded)
        assert ended.report == structs.replace(run.report, problems=())
        assert (ended.error, run.report.created, len(run.report.problems)) == (None, 249, 1)
        assert {attempt.run_id for attempt in heard} == {event.run_id for event in told} == {run.id}
        assert [event.at_ns for event in told] == sorted(event.at_ns for event in told)
        assert "private" not in repr(told)

    async def test_what_ends_a_run_is_told(self) -> None:
        """An error of the source, or a block that is left early."""
        told: list[RunEvent] = []

        def broken() -> Iterator[dict[str, str]]:
            yield {"hs_meeting_title": "x"}
            raise LookupError("the file is gone")

        async with Emulator(limit=None) as emulator, Heard().client(emulator, on_run_event=told.append) as hubspot:
            with pytest.raises(LookupError):
                await hubspot.bulk.create(broken())
            with pytest.raises(KeyError):
                async with hubspot.bulk.create([{}] * 300):
                    raise KeyError("enough")
        ends = [event for event in told if isinstance(event, RunEnded)]
        assert [type(end.error) for end in ends] == [LookupError, KeyError]
        assert all(end.report.adds_up for end in ends)

    async def test_a_run_that_goes_on_says_so(self, tmp_path: Path) -> None:
        """With the journal of an earlier one."""
        told: list[RunEvent] = []
        async with Emulator(limit=None) as emulator, Heard().client(emulator, on_run_event=told.append) as hubspot:
            for _ in range(2):
                await hubspot.bulk.create([{"hs_meeting_title": "x"}], journal=tmp_path / "a.journal")
        assert [event.resumed for event in told if isinstance(event, RunStarted)] == [False, True]

    async def test_a_pause_is_told_once(self, caplog: pytest.LogCaptureFixture) -> None:
        """However many requests find that HubSpot takes none; and its end."""
        caplog.set_level(logging.INFO)
        told: list[RunEvent] = []
        async with Emulator(limit=None) as emulator:
            emulator.faults.fail_next(477, times=3, retry_after=0.05)
            async with MeetingsClient(
                TOKEN,
                base_url=emulator.url,
                limiter=NoLimit(),
                retry=RetryPolicy(longest_wait_s=0.01),
                on_run_event=told.append,
            ) as hubspot:
                report = await hubspot.bulk.create([{"hs_meeting_title": "x"}] * 300, wait_for_reset=True)
        assert report.created == 300
        pauses = [event for event in told if isinstance(event, RunPaused)]
        kinds = [type(event) for event in told if isinstance(event, (RunPaused, RunResumed))]
        assert kinds == [RunPaused, RunResumed] * len(pauses)
        assert pauses[0].error.status == 477
        assert pauses[0].wait_s == pytest.approx(0.05)
        assert [record.levelname for record in caplog.records if "sleeps" in record.message] == ["WARNING"] * len(
            pauses
        )

    async def test_a_micro_batch_is_told_as_a_run_of_one_batch(self) -> None:
        """With the same events, and a name of its own; each attempt names it."""
        heard, told = Heard(), list[RunEvent]()
        async with (
            Emulator(limit=None) as emulator,
            heard.client(emulator, on_run_event=told.append) as hubspot,
            hubspot.micro_batch() as batch,
            anyio.create_task_group() as tasks,
        ):
            for _ in range(150):
                tasks.start_soon(batch.create, {"hs_meeting_title": "x"})
        first, second = (
            [event for event in told if event.run_id == name] for name in dict.fromkeys(e.run_id for e in told)
        )
        for events in (first, second):
            assert [type(event) for event in events] == [RunStarted, BatchSettled, RunEnded]
            assert {(event.kind, event.operation) for event in events} == {("micro_batch", "create")}
        ends = [event.report for event in told if isinstance(event, RunEnded)]
        assert sorted(report.created for report in ends) == [50, 100]
        assert [(report.requests, report.adds_up) for report in ends] == [(1, True)] * 2
        assert {attempt.run_id for attempt in heard} == {event.run_id for event in told}

    async def test_a_micro_batch_that_can_not_begin_says_why(self) -> None:
        """Here its key property is none."""
        told: list[RunEvent] = []
        async with (
            Emulator(limit=None) as emulator,
            Heard().client(emulator, on_run_event=told.append) as hubspot,
            hubspot.micro_batch(key_property="nowhere") as batch,
        ):
            with pytest.raises(HubSpotError):
                await batch.create({"nowhere": "x"})
        started, ended = told
        assert isinstance(started, RunStarted)
        assert isinstance(ended, RunEnded)
        assert isinstance(ended.error, HubSpotError)
        assert (ended.report.pulled, ended.report.not_sent, ended.report.adds_up) == (1, 1, True)

    async def test_a_hook_that_raises_changes_nothing(self, caplog: pytest.LogCaptureFixture) -> None:
        """It is logged."""

        def broken(event: RunEvent) -> None:
            raise LookupError("the dashboard is gone")

        async with Emulator(limit=None) as emulator, Heard().client(emulator, on_run_event=broken) as hubspot:
            report = await hubspot.bulk.create([{"hs_meeting_title": "x"}])
        assert report.created == 1
        assert "the dashboard is gone" in caplog.text

    def test_nobody_listens(self, caplog: pytest.LogCaptureFixture) -> None:
        """Then nothing is made for it."""
        caplog.set_level(logging.WARNING, "hubspot_meetings_async")
        assert watch(None, run_id="a", kind="bulk", operation="create") is None
        caplog.set_level(logging.INFO, "hubspot_meetings_async")
        assert watch(None, run_id="a", kind="bulk", operation="create") is not None
        assert watch(None, run_id="a", kind="micro_batch", operation="create") is None


class TestLog:
    """The logger `hubspot_meetings_async`."""

    async def test_a_retry_is_a_line_with_ids(self, caplog: pytest.LogCaptureFixture) -> None:
        """INFO at first, WARNING from the third failure on; HubSpot's correlation id in the line and in `extra`."""
        caplog.set_level(logging.INFO, "hubspot_meetings_async")
        heard = Heard()
        async with Emulator(limit=None) as emulator, heard.client(emulator) as hubspot:
            emulator.faults.fail_next(503, times=3)
            made = emulator.portal.add_object("meetings")
            await hubspot.meetings.get(made)
        lines = [record for record in caplog.records if record.name == "hubspot_meetings_async"]
        assert [line.levelname for line in lines] == ["INFO", "INFO", "WARNING"]
        for number, (line, attempt) in enumerate(zip(lines, heard, strict=False), 1):
            extra = vars(line)
            assert (extra["method"], extra["route"]) == ("GET", "/crm/v3/objects/meetings/{id}")
            assert (extra["status"], extra["attempt"], extra["error_type"]) == (503, number, "HubSpotUnavailable")
            assert extra["correlation_id"] == attempt.correlation_id
            assert extra["retry_in_s"] == attempt.retry_in_s
            assert str(attempt.correlation_id) in line.message
            assert line.message.startswith(
                f"GET /crm/v3/objects/meetings/{{id}}: 503 HubSpotUnavailable, attempt {number}, again in "
            )

    async def test_every_attempt_is_a_line_of_detail(self, caplog: pytest.LogCaptureFixture) -> None:
        """At DEBUG, without any hook; what fails for good is one of them, since its caller is told."""
        caplog.set_level(logging.DEBUG, "hubspot_meetings_async")
        async with Emulator(limit=None) as emulator:
            made = emulator.portal.add_object("meetings")
            async with MeetingsClient(TOKEN, base_url=emulator.url, limiter=NoLimit()) as hubspot:
                await hubspot.meetings.get(made)
                with pytest.raises(NotFound):
                    await hubspot.meetings.get(1)
        lines = [record for record in caplog.records if record.name == "hubspot_meetings_async"]
        assert [(line.levelname, vars(line)["status"]) for line in lines] == [("DEBUG", 200), ("DEBUG", 404)]

    async def test_a_run_is_two_lines(self, caplog: pytest.LogCaptureFixture) -> None:
        """Begun and ended, at INFO, with the run's id; nothing at WARNING."""
        caplog.set_level(logging.INFO, "hubspot_meetings_async")
        async with (
            Emulator(limit=None) as emulator,
            MeetingsClient(TOKEN, base_url=emulator.url, limiter=NoLimit()) as hubspot,
            hubspot.bulk.create([{"hs_meeting_title": "a private matter"}] * 300) as run,
        ):
            async for _ in run:
                pass
        began, ended = caplog.records
        assert (began.message, began.levelname) == ("bulk create began", "INFO")
        assert ended.message.startswith("bulk create ended: bulk create: 300 pulled, 300 created")
        assert {vars(line)["run_id"] for line in (began, ended)} == {run.id}
        assert "private" not in repr([vars(line) for line in caplog.records])

    def test_nothing_is_set_up_but_silence(self) -> None:
        """Importing logs nothing, and without logging of the application's own nothing is printed at all."""
        code = (
            "import logging, hubspot_meetings_async\n"
            "log = logging.getLogger('hubspot_meetings_async')\n"
            "assert [type(each) for each in log.handlers] == [logging.NullHandler] and log.level == logging.NOTSET\n"
            "log.warning('not to be seen')"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
        assert done.stdout + done.stderr == ""
