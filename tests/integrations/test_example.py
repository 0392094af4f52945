"""The example under load: `uvicorn examples.fastapi_app.main:app`, a process of its own, against the emulator."""

from __future__ import annotations

import asyncio
import os
import random
import re
import signal
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import httpx
import pytest

from hubspot_meetings_async.emulator import Emulator

from .deliveries import EVENT, SECRET, delivery, signed
from .served import counted

ROOT = Path(__file__).parent.parent.parent
START = "2026-12-01T09:00:00+00:00"


class Service:
    """The running example."""

    def __init__(self, process: asyncio.subprocess.Process, url: str) -> None:
        self.process = process
        self.url = url
        self.log = ""

    async def stop(self) -> int:
        """SIGTERM, as every supervisor sends it; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        assert self.process.stderr is not None
        with anyio.fail_after(20):
            self.log += (await self.process.stderr.read()).decode()
            return await self.process.wait()


@asynccontextmanager
async def example(hubspot_url: str, **environment: str) -> AsyncGenerator[Service, None]:
    """The example on a free port, as its README starts it; warnings of Python's go to its log."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "always", "-m", "uvicorn", "examples.fastapi_app.main:app"),
        *("--port", "0", "--no-access-log", "--no-use-colors"),
        cwd=ROOT,
        env={**os.environ, "HUBSPOT_ACCESS_TOKEN": "any-word", "HUBSPOT_BASE_URL": hubspot_url, **environment},
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    log = ""
    try:
        with anyio.fail_after(30):
            while (found := re.search(r"running on (http://\S+)", log)) is None:
                line = (await process.stderr.readline()).decode()
                assert line, log
                log += line
        service = Service(process, found[1])
        service.log = log
        yield service
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def ended_well(service: Service, code: int) -> bool:
    """Whether it said that it ended, and nothing went wrong before; uvicorn passes the signal on at the very end."""
    bad = [line for line in service.log.splitlines() if re.search(r"ERROR|WARN|Warning|Traceback|Unclosed|never", line)]
    return bad == [] and "Application shutdown complete." in service.log and code in (0, -signal.SIGTERM)


Record = Callable[[str, object], None]
Visit = Callable[[httpx.AsyncClient, int], Awaitable[None]]


async def test_under_load(record_property: Record) -> None:
    """Six hundred requests of fifty visitors: every answer is right, HubSpot sees one client, no error is logged.

    They log meetings and read them back, read, list, book what others want too, and log references a second time.
    """
    async with Emulator(limit=100_000) as emulator, counted(emulator.port) as way:
        emulator.portal.add_user("ada@example.com", first_name="Ada")
        emulator.portal.add_meeting_link("ada/intro", organizer="ada@example.com")
        emulator.portal.add_object("contacts", id="101")
        known = [
            emulator.portal.add_object("meetings", properties={"hs_meeting_title": f"Known {number}"})
            for number in range(50)
        ]
        booked: list[int] = []
        async with example(way.url) as service, httpx.AsyncClient(base_url=service.url) as first:
            free = [slot["start"] for slot in (await first.get("/slots/ada/intro?limit=100")).json()]
            assert len(free) == 100

            async def log(client: httpx.AsyncClient, number: int) -> None:
                new = {"reference": f"R-{number}", "title": f"T-{number}", "start": START, "contact_id": "101"}
                answer = await client.post("/meetings", json=new)
                assert answer.status_code == 201, answer.text
                stored = (await client.get(f"/meetings/{answer.json()['id']}")).json()
                assert (stored["reference"], stored["title"]) == (f"R-{number}", f"T-{number}")

            async def log_again(client: httpx.AsyncClient, number: int) -> None:
                new = {"reference": f"R-{number}", "title": "another", "start": START, "contact_id": "101"}
                answer = await client.post("/meetings", json=new)
                assert (answer.status_code, answer.json().get("code")) == (409, "Conflict"), answer.text

            async def read(client: httpx.AsyncClient, number: int) -> None:
                answer = await client.get(f"/meetings/{known[number % 50]}")
                assert answer.json()["title"] == f"Known {number % 50}"

            async def read_nothing(client: httpx.AsyncClient, number: int) -> None:
                assert (await client.get(f"/meetings/{number + 1}")).status_code == 404

            async def look(client: httpx.AsyncClient, number: int) -> None:
                assert len((await client.get(f"/meetings?limit={number + 1}")).json()) == number + 1

            async def book(client: httpx.AsyncClient, number: int) -> None:
                # Every slot is wanted by two.
                person = {"first_name": "Grace", "last_name": f"H{number}", "email": f"g{number}@example.com"}
                answer = await client.post("/bookings/ada/intro", json=person | {"start": free[number % 20 * 2]})
                booked.append(answer.status_code)

            async def visit(waiting: Iterator[tuple[Visit, int]]) -> None:
                async with httpx.AsyncClient(base_url=service.url, timeout=60) as client:
                    for do, number in waiting:
                        await do(client, number)

            jobs: list[tuple[Visit, int]] = [(log, number) for number in range(200)]
            jobs += [(read, number) for number in range(50)] + [(read_nothing, number) for number in range(50)]
            jobs += [(look, number) for number in range(40)] + [(book, number) for number in range(40)]
            random.Random(7).shuffle(jobs)
            again: list[tuple[Visit, int]] = [(log_again, number) for number in range(0, 200, 10)]
            before, began = emulator.stats(), time.monotonic()
            for part in (jobs, again):
                waiting = iter(part)
                async with asyncio.TaskGroup() as visitors:
                    for _ in range(50):
                        visitors.create_task(visit(waiting))
            took_s = time.monotonic() - began
            code = await service.stop()
    assert ended_well(service, code), service.log
    # Of two who want a slot, one has it at most.
    assert booked.count(201) + booked.count(409) == 40
    assert 1 <= booked.count(201) <= 20
    assert way.connections <= 50
    after = emulator.stats()
    assert after.records.created == 200 + booked.count(201)
    answered, sent = 200 + len(jobs) + len(again), after.requests - before.requests
    record_property(
        "example under load",
        f"{answered} answers in {took_s:.1f} s ({answered / took_s:.0f}/s) for {sent} requests to HubSpot over "
        f"{way.connections} connections; {after.by_operation}",
    )
    assert after.by_operation["meetings.batch_create"] < 200 + len(again)  # some travelled together


async def test_webhooks() -> None:
    """A signed delivery changes a meeting after its answer; one that is not HubSpot's changes nothing."""
    async with Emulator(limit=100_000) as emulator:
        meetings = [emulator.portal.add_object("meetings") for _ in range(100)]
        async with (
            example(emulator.url, HUBSPOT_CLIENT_SECRET=SECRET, PUBLIC_URL="https://app.example.com") as service,
            httpx.AsyncClient(base_url=service.url) as client,
        ):
            url = "https://app.example.com/hubspot/webhooks"
            outcome = {"propertyName": "hs_meeting_outcome", "propertyValue": "NO_SHOW"}
            body = delivery(*(EVENT | outcome | {"objectId": int(meeting)} for meeting in meetings))
            forged = await client.post(
                "/hubspot/webhooks", content=body, headers=signed(body, url=url, at_s=time.time(), secret="x")
            )
            replayed = await client.post(
                "/hubspot/webhooks", content=body, headers=signed(body, url=url, at_s=time.time() - 400)
            )
            assert (forged.status_code, replayed.status_code) == (401, 401)
            before = emulator.stats().requests
            answer = await client.post(
                "/hubspot/webhooks", content=body, headers=signed(body, url=url, at_s=time.time())
            )
            assert answer.status_code == 200
            with anyio.fail_after(20):
                await emulator.until_requests(before + 1)
            code = await service.stop()
        assert "is refused" in service.log
        assert SECRET not in service.log
        service.log = "\n".join(line for line in service.log.splitlines() if "is refused" not in line)
        assert ended_well(service, code), service.log
        stored = [emulator.portal.meetings.store.get(int(meeting)) for meeting in meetings]
        assert all(record and "Nobody came" in str(record.properties()) for record in stored)
        assert emulator.stats().requests == before + 1


async def test_without_a_secret_there_is_no_webhook(emulator: Emulator) -> None:
    """A service that can check nothing takes nothing."""
    async with example(emulator.url) as service, httpx.AsyncClient(base_url=service.url) as client:
        assert (await client.post("/hubspot/webhooks", content=delivery(EVENT))).status_code == 404
        assert (await service.stop()) in (0, -signal.SIGTERM)


@pytest.mark.parametrize("missing", ["HUBSPOT_ACCESS_TOKEN"])
async def test_without_a_token_it_does_not_start(missing: str) -> None:
    """And says which variable is missing."""
    with pytest.raises(AssertionError, match=missing):
        async with example("http://127.0.0.1:9", **{missing: ""}):
            pass


def test_its_readme_tells_the_truth() -> None:
    """Each route and variable it names is the app's."""
    folder = ROOT / "examples" / "fastapi_app"
    readme, source = (folder / "README.md").read_text("utf-8"), (folder / "main.py").read_text("utf-8")
    for name in re.findall(r"\b(?:HUBSPOT_[A-Z_]+|PUBLIC_URL)\b", readme):
        assert name in source
    routes = set(re.findall(r'@app\.(get|post)\("([^"{]*)', source))
    named = set(re.findall(r"^\| `(GET|POST) ([^`{]*)", readme, flags=re.MULTILINE))
    assert {(method.lower(), path) for method, path in named} == routes
