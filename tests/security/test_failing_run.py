"""One run in which all fails, told by everything that tells: nowhere is a secret in it.

Every answer repeats the request it answers, headers and body, in all places an answer has.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import pickle
import sys
import traceback
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from hubspot_meetings_async import (
    Attempt,
    MeetingsClient,
    NoLimit,
    OAuth,
    RetryPolicy,
    RunEnded,
    RunEvent,
    RunPaused,
    Secret,
    Timeouts,
)
from hubspot_meetings_async.integrations.otel import OpenTelemetry

from ..raw_server import Connection, RawServer, listening
from .canaries import CLIENT_SECRET, CODE, MARK, PERSONAL, REFRESH, SECRETS, TOKEN, everything_told_by, watching

SWIFT = RetryPolicy(attempts=3, refusals=2, base_s=0.001, cap_s=0.002, locked_s=0.0)
FAST = Timeouts(call_s=5.0, attempt_s=0.5, connect_s=0.5, read_s=0.5)
SHORT = Timeouts(call_s=5.0, attempt_s=0.1, connect_s=0.1, read_s=0.1)
RECORDS = [{"hs_meeting_title": PERSONAL, "ref": f"r{n}"} for n in range(3)]


def answer(status: str, body: bytes, *headers: str, kind: str = "application/json") -> bytes:
    head = [f"HTTP/1.1 {status}", f"Content-Type: {kind}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*head, "", ""]).encode("latin-1") + body


def in_every_word(echo: str, **more: Any) -> bytes:
    """An error body of HubSpot's with the echo in every field."""
    detail = {"message": echo, "code": echo, "in": echo, "context": {"propertyName": [echo], echo: [echo]}}
    said = {
        "status": "error",
        "message": f'Property values were not valid: [{{"message":{json.dumps(echo)},"name":{json.dumps(echo)}}}]',
        "error": echo,
        "category": echo,
        "subCategory": echo,
        "correlationId": echo,
        "policyName": echo,
        "errors": [detail],
        "context": {echo: [echo]},
    }
    return json.dumps(said | more).encode()


def answers(request: bytes, word: str) -> dict[str, bytes]:
    """All the ways to repeat a request; `word` is the secret in it by itself, fit for a header."""
    echo = request.decode("latin-1")
    inline = echo.replace("\r\n", " ")
    correlated = f"X-HubSpot-Correlation-Id: {word}"
    failed = {"status": "error", "category": word, "message": echo, "context": {"ids": [word]}}
    multi = {"status": "COMPLETE", "results": [], "errors": [failed], "numErrors": 1}
    return {
        "500": answer("500 Oops", in_every_word(echo), correlated),
        "500, one word": answer("500 Oops", in_every_word(word), correlated),
        "503": answer("503 " + inline[:400], in_every_word(echo), correlated, "Retry-After: 0"),
        "400": answer("400 Bad", in_every_word(word), correlated),
        "400 in HTML": answer("400 Bad", b"<pre>" + request, correlated, kind=f"text/html; x={word}"),
        "401": answer("401 No", in_every_word(word), correlated, f"WWW-Authenticate: Bearer {word}"),
        "403": answer("403 No", in_every_word(word), correlated),
        "404": answer("404 No", in_every_word(word), correlated),
        "409": answer("409 No", in_every_word(word), correlated),
        "429": answer("429 Slow", in_every_word(word), correlated, f"Retry-After: {word}"),
        "429, daily": answer("429 Slow", in_every_word(word, policyName="DAILY"), correlated),
        "477": answer("477 Moving", in_every_word(word), correlated, "Retry-After: 0"),
        "207": answer("207 Some", json.dumps(multi).encode(), correlated),
        "redirect": answer("307 Moved", b"", f"Location: https://elsewhere.example/?token={word}", correlated),
        "a page": answer("200 OK", b"<html>" + request, correlated, kind=f"text/html; x={word}"),
        "not JSON": answer("200 OK", request, correlated, kind=f"application/json; x={word}"),
        "another shape": answer("200 OK", json.dumps([echo]).encode(), correlated),
        "coded": answer("200 OK", request, f"Content-Encoding: {word}", correlated),
        "no HTTP": request,
        "bad status": f"HTTP/1.1 {word}\r\n\r\n".encode(),
        "bad header": f"HTTP/1.1 200 OK\r\n{word} \x00: {word}\r\n\r\n".encode(),
        "bad length": f"HTTP/1.1 200 OK\r\nContent-Length: {word}\r\n\r\n".encode(),
        "bad chunk": f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{word}\r\n".encode(),
        "cut": answer("200 OK", request + b"and more")[:-5],
        "silence": b"",
    }


CASES = list(answers(b"", ""))
TOLD_BY_ASYNCIO = ("500", "401", "no HTTP", "silence")


class Tellers:
    """Everybody who is told of what a client does, and what they heard."""

    def __init__(self) -> None:
        self.heard: list[Attempt | RunEvent] = []
        self._spans = InMemorySpanExporter()
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self._spans))
        self._metrics = InMemoryMetricReader()
        self.meters = MeterProvider([self._metrics])
        self.telemetry = OpenTelemetry(tracer_provider=self.tracers, meter_provider=self.meters)

    def __call__(self, told: Attempt | RunEvent) -> None:
        self.heard.append(told)
        self.telemetry(told)

    def text(self) -> Iterator[str]:
        for told in self.heard:
            yield repr(told)
            error = told.error if isinstance(told, (Attempt, RunEnded, RunPaused)) else None
            if error is not None:
                yield everything_told_by(error)
        spans = self._spans.get_finished_spans()
        yield from (span.to_json() for span in spans)
        data = self._metrics.get_metrics_data()
        yield data.to_json() if data is not None else ""
        assert spans
        assert data is not None
        self.tracers.shutdown()
        self.meters.shutdown()


def as_a_debugger_shows_it(error: BaseException) -> str:
    """Its traceback with local variables; the test's own frames, which hold the secrets, are left out."""
    shown = traceback.TracebackException.from_exception(error, capture_locals=True)
    links = [shown]
    for link in links:
        link.stack[:] = [frame for frame in link.stack if "/tests/" not in frame.filename.replace("\\", "/")]
        links += [inner for inner in (link.__cause__, link.__context__, *(link.exceptions or ())) if inner is not None]
    return "".join(shown.format())


async def all_calls(hubspot: MeetingsClient, folder: Path, case: str) -> list[Any]:
    """Single calls, a bulk run with a journal and a micro-batch; what each gave or raised."""
    journal = folder / f"{case.replace(' ', '-').replace(',', '')}.journal"
    batcher = hubspot.micro_batch()

    async def batched() -> Any:
        async with batcher as batch:
            return await batch.create(RECORDS[0])

    calls: list[Callable[[], Awaitable[Any]]] = [
        lambda: hubspot.meetings.get(1),
        lambda: hubspot.meetings.create(RECORDS[0]),
        lambda: hubspot.bulk.create(RECORDS, journal=journal, on_ambiguous="resend"),
        batched,
    ]
    told: list[Any] = [hubspot, batcher]
    for call in calls:
        try:
            told.append(await call())
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not show a secret
            told.append(error)
    return told


def files_in(folder: Path) -> list[str]:
    return [path.read_bytes().decode("latin-1") for path in folder.iterdir()]


def leaks(shown: Iterable[str]) -> Iterator[str]:
    """The surroundings of each secret; pytest prints what it compares, so the secret itself is left out."""
    for text in shown:
        at = text.find(MARK)
        if at >= 0:
            yield text[max(0, at - 200) : at + 40].replace(MARK, "<HERE>")


def text_of(thing: Any) -> str:
    shown = [repr(thing), str(thing), repr(getattr(thing, "__dict__", ""))]
    if isinstance(thing, BaseException):
        shown += [everything_told_by(thing), as_a_debugger_shows_it(thing)]
    else:
        try:
            shown.append(repr(pickle.dumps(thing)))
        except Exception as refused:  # noqa: BLE001 - what can not be pickled tells nothing
            shown.append(repr(refused))
    for problem in getattr(thing, "problems", ()):
        shown += [repr(problem), everything_told_by(problem.error) if problem.error is not None else ""]
    return "\n".join(shown)


async def command(url: str, folder: Path) -> str:
    """What `hubspot-meetings push` prints."""
    (folder / "records.jsonl").write_text("".join(json.dumps(record) + "\n" for record in RECORDS))
    pushed = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", "from hubspot_meetings_async.cli import main; main()"),
        *("push", "records.jsonl", "--base-url", url, "--no-journal"),
        cwd=folder,
        env={**os.environ, "HUBSPOT_ACCESS_TOKEN": TOKEN},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    printed, _ = await pushed.communicate()
    assert pushed.returncode
    return printed.decode()


class Echo:
    """A server that answers each request with itself, in the form of `case`."""

    def __init__(self) -> None:
        self.case = "500"
        self.gives_tokens = True

    async def __call__(self, connection: Connection) -> None:
        while True:
            request = await connection.request()
            if self.gives_tokens and request.startswith(b"POST /oauth/v3/token "):
                tokens = {"access_token": TOKEN, "refresh_token": REFRESH, "expires_in": 1800, "token_type": "bearer"}
                await connection.send(answer("200 OK", json.dumps(tokens).encode()))
                continue
            word = next((secret for secret in SECRETS.values() if secret.encode() in request), "nothing")
            sent = answers(request, word)[self.case]
            if not sent:
                await connection.gone()
            await connection.send(sent)
            if not sent.startswith(b"HTTP/1.1 ") or "bad" in self.case or self.case in ("cut", "coded"):
                return


async def fail_in_every_way(server: RawServer, echo: Echo, tellers: Tellers, folder: Path) -> list[Any]:
    options: dict[str, Any] = {
        "base_url": server.url,
        "limiter": NoLimit(),
        "retry": SWIFT,
        "timeout": FAST,
        "on_attempt": tellers,
        "on_run_event": tellers,
    }
    told: list[Any] = []
    loop = asyncio.get_running_loop()
    loop.slow_callback_duration = 0.0  # in debug mode asyncio then says of every step what ran
    for echo.case in CASES:
        loop.set_debug(echo.case in TOLD_BY_ASYNCIO)
        if echo.case == "silence":
            options |= {"retry": RetryPolicy(attempts=1), "timeout": SHORT}
        async with AsyncExitStack() as stack:
            private = await stack.enter_async_context(MeetingsClient(TOKEN, **options))
            auth = OAuth("app-1", CLIENT_SECRET, REFRESH)
            installed = await stack.enter_async_context(MeetingsClient(auth=auth, **options))
            other = OAuth("app-1", CLIENT_SECRET, REFRESH)
            refused = await stack.enter_async_context(MeetingsClient(auth=other, **options))
            echo.gives_tokens = True
            for number, hubspot in enumerate((private, installed)):
                told += await all_calls(hubspot, folder, f"{echo.case} {number}")
            echo.gives_tokens = False
            told += [auth, other]
            asks: list[Callable[[], Awaitable[Any]]] = [
                partial(refused.meetings.get, 1),
                partial(other.exchange_code, Secret(CODE), redirect_uri="https://x.example/"),
                partial(other.introspect, refresh_token=True),
                other.revoke,
                partial(private.private_app_token_info, Secret(TOKEN)),
            ]
            for ask in asks:
                try:
                    told.append(await ask())
                except Exception as error:  # noqa: BLE001 - whatever it is, it must not show a secret
                    told.append(error)
    return told


async def test_no_secret_shows_in_anything_that_a_failing_run_tells(tmp_path: Path) -> None:
    """Log lines at DEBUG (aiohttp's and asyncio's too), reprs, tracebacks, hooks, spans, metrics, pickles, journals
    and the command line: token, client secret, refresh token and code are in none of them."""
    tellers, echo = Tellers(), Echo()
    with watching() as watch:
        async with listening(echo) as server:
            told = await fail_in_every_way(server, echo, tellers, tmp_path)
            echo.case = "400"
            printed = await command(server.url, tmp_path)
    shown = itertools.chain(
        (text_of(thing) for thing in told),
        tellers.text(),
        (f"{record.getMessage()} {record.__dict__!r}" for record in watch.records),
        [watch.text(), printed, *files_in(tmp_path)],
    )
    assert list(itertools.islice(leaks(shown), 10)) == []
    lines = [record for record in watch.records if record.name == "hubspot_meetings_async"]
    assert {record.levelname for record in lines} >= {"DEBUG", "INFO", "WARNING"}
    assert any(record.name == "asyncio" for record in watch.records)
    assert any(isinstance(thing, Exception) for thing in told)
    assert not [record for record in lines if PERSONAL in record.getMessage()]


def test_the_echo_has_the_secret_in_all_its_answers() -> None:
    """Else the test above would look for nothing."""
    request = f"GET /x HTTP/1.1\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode()
    assert [case for case, sent in answers(request, TOKEN).items() if TOKEN.encode() not in sent] == ["silence"]
    with pytest.raises(AssertionError):
        assert MARK not in text_of(ValueError(TOKEN))
