"""Starting, stopping and wrong values, in Python and from the command line."""

import ast
import asyncio
import signal
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest

import hubspot_meetings_async.emulator
from hubspot_meetings_async.emulator import Emulator
from tests.emulator.account import MEETINGS


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ({"port": 70_000}, "port"),
        ({"limit": 0}, "limit"),
        ({"daily_limit": -1}, "daily_limit"),
        ({"window_s": 0}, "window_s"),
        ({"tokens": "secret"}, "tokens"),
        ({"forward_latency_s": -1}, "forward_latency_s"),
        ({"service_latency_s": (2, 1)}, "service_latency_s"),
        ({"timezone": "Nowhere/Land"}, "Nowhere/Land"),
        ({"keep_requests": -1}, "keep_requests"),
        ({"max_body_bytes": 0}, "max_body_bytes"),
    ],
)
def test_wrong_values_fail_at_once_in_words(words: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Emulator(**words)


async def test_it_is_not_there_before_it_runs() -> None:
    emulator = Emulator()
    assert repr(emulator) == "<Emulator not running, 0 meetings>"
    with pytest.raises(RuntimeError, match="not running"):
        _ = emulator.url
    async with emulator:
        assert emulator.url == f"http://127.0.0.1:{emulator.port}"
        with pytest.raises(RuntimeError, match="running already"):
            await emulator.start()
    await emulator.close()
    with pytest.raises(RuntimeError, match="not running"):
        await emulator.until_requests(1)


def test_without_asyncio_it_says_what_to_take_instead() -> None:
    with pytest.raises(RuntimeError, match="ThreadedEmulator"):
        Emulator().start().send(None)


async def test_a_taken_port_fails_at_once() -> None:
    async with Emulator() as first:
        second = Emulator(port=first.port)
        with pytest.raises(OSError, match="address already in use"):
            await second.start()


async def test_closing_does_not_wait_for_open_connections() -> None:
    async with Emulator(service_latency_s=60) as hubspot, aiohttp.ClientSession() as session:
        _, writer = await asyncio.open_connection("127.0.0.1", hubspot.port)
        asked = asyncio.ensure_future(session.get(hubspot.url + MEETINGS, headers={"Authorization": "Bearer a"}))
        await hubspot.until_requests(1)
        before = asyncio.get_running_loop().time()
        await hubspot.close()
        assert asyncio.get_running_loop().time() - before < 1
        with pytest.raises(aiohttp.ClientConnectionError):
            await asked
        writer.close()
        await writer.wait_closed()


async def test_closing_lets_go_of_those_who_wait_for_requests() -> None:
    async with Emulator() as hubspot:
        waiting = asyncio.ensure_future(hubspot.until_requests(1))
        await asyncio.sleep(0)
    with pytest.raises(RuntimeError, match="closed before request 1"):
        await waiting


def test_it_imports_nothing_from_the_rest_of_the_package() -> None:
    folder = Path(hubspot_meetings_async.emulator.__file__).parent
    allowed = set(sys.stdlib_module_names) | {"aiohttp", "msgspec"}
    for file in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom):
                assert node.level == 1 or (node.module or "").split(".")[0] in allowed, file
            elif isinstance(node, ast.Import):
                assert {alias.name.split(".")[0] for alias in node.names} <= allowed, file


async def start(*arguments: str) -> asyncio.subprocess.Process:
    pipe = asyncio.subprocess.PIPE
    command = [sys.executable, "-m", "hubspot_meetings_async.emulator", *arguments]
    return await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe)


class TestCommand:
    @pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
    async def test_serves_until_told_to_stop(self, how: signal.Signals) -> None:
        process = await start("--token", "t", "--unique-property", "booking_ref", "--behaviour", "echo_trace_id=true")
        assert process.stdout is not None
        line = (await process.stdout.readline()).decode()
        assert line.startswith("HubSpot emulator on http://127.0.0.1:")
        url = line.split()[-1]
        async with aiohttp.ClientSession() as session:
            body = {"inputs": [{"properties": {"booking_ref": "a"}, "objectWriteTraceId": "1"}]}
            headers = {"Authorization": "Bearer t"}
            async with session.post(f"{url}{MEETINGS}/batch/create", json=body, headers=headers) as response:
                assert (response.status, response.headers["X-HubSpot-RateLimit-Max"]) == (201, "190")
                assert (await response.json())["results"][0]["objectWriteTraceId"] == "1"
        process.send_signal(how)
        _, errors = await process.communicate()
        assert (process.returncode, errors) == (0, b"")

    async def test_injects_faults_at_a_rate(self) -> None:
        process = await start("--fault", "1:503-applied", "--limit", "off", "--service-latency", "0:0.001")
        assert process.stdout is not None
        url = (await process.stdout.readline()).decode().split()[-1]
        async with aiohttp.ClientSession(headers={"Authorization": "Bearer t"}) as session:
            async with session.post(url + MEETINGS, json={"properties": {}}) as response:
                assert response.status == 503
            async with session.get(url + "/__emulator/stats") as response:
                assert (await response.json())["records"]["created"] == 1
        process.terminate()
        assert await process.wait() == 0
        await process.communicate()

    @pytest.mark.parametrize(
        "arguments",
        [
            ["--limit", "many"],
            ["--fault", "0.1"],
            ["--fault", "x:503"],
            ["--fault", "2:503"],
            ["--behaviour", "nope=1"],
            ["--behaviour", "echo_trace_id"],
            ["--service-latency", "slow"],
            ["--timezone", "Nowhere/Land"],
            ["--unique-property", "hs_meeting_title"],
        ],
    )
    async def test_wrong_arguments_exit_with_2_and_a_line(self, arguments: list[str]) -> None:
        process = await start(*arguments)
        output, errors = await process.communicate()
        assert (process.returncode, output) == (2, b"")
        assert b"error:" in errors
        assert b"Traceback" not in errors

    async def test_a_taken_port_exits_with_1(self) -> None:
        async with Emulator() as hubspot:
            process = await start("--port", str(hubspot.port))
            _, errors = await process.communicate()
            assert (process.returncode, b"cannot listen" in errors, b"Traceback" in errors) == (1, True, False)
