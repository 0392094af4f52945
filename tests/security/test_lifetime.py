"""A client that was forgotten says so, and one that was forked off sends nothing."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
from pathlib import Path

import pytest

import hubspot_meetings_async
from hubspot_meetings_async import ForkedClientError, MeetingsClient
from hubspot_meetings_async.emulator import Emulator

from ..raw_server import Connection, listening
from .canaries import watching

PROJECT = Path(hubspot_meetings_async.__file__).parent.parent


async def run_child(code: str, *arguments: str, flags: tuple[str, ...] = ()) -> tuple[int, str, str]:
    """A Python of its own, while this loop goes on serving."""
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        *flags,
        "-c",
        code,
        *arguments,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
    )
    try:
        out, err = await asyncio.wait_for(child.communicate(), 40.0)
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    assert child.returncode is not None
    return child.returncode, out.decode(), err.decode()


class TestUnclosed:
    @pytest.mark.row("P10")
    async def test_thrown_away_while_the_loop_runs(self, emulator: Emulator) -> None:
        """One warning, ours, that names what to do; the connections are closed, and aiohttp says nothing."""
        with watching() as watch:
            hubspot = MeetingsClient("token", base_url=emulator.url)
            await hubspot.meetings.create({})
            del hubspot
            gc.collect()
            await asyncio.sleep(0)
        (warning,) = watch.warnings
        assert warning.category is ResourceWarning
        assert "async with" in str(warning.message)
        assert "aclose()" in str(warning.message)
        assert [record for record in watch.records if record.levelno >= 30] == []

    @pytest.mark.parametrize("how", ["closed", "never used", "async with"])
    async def test_no_warning(self, emulator: Emulator, how: str) -> None:
        """A client that was closed, or never opened a connection, goes in silence."""
        with watching() as watch:
            hubspot = MeetingsClient("token", base_url=emulator.url)
            if how == "closed":
                await hubspot.meetings.create({})
                await hubspot.aclose()
            if how == "async with":
                async with hubspot:
                    await hubspot.meetings.create({})
            del hubspot
            gc.collect()
        assert watch.warnings == []

    @pytest.mark.row("P10")
    async def test_at_the_end_of_the_program(self, emulator: Emulator) -> None:
        """`asyncio.run` ends, the interpreter exits: the same warning once, and no traceback."""
        code = (
            "import asyncio, sys\n"
            "from hubspot_meetings_async import MeetingsClient\n"
            "async def main():\n"
            "    global hubspot\n"
            "    hubspot = MeetingsClient('token', base_url=sys.argv[1])\n"
            "    await hubspot.meetings.create({})\n"
            "asyncio.run(main())\n"
        )
        status, _, err = await run_child(code, emulator.url, flags=("-W", "always"))
        assert (status, err.count("thrown away")) == (0, 1)
        assert "Traceback" not in err
        assert "Unclosed" not in err


FORK = """
import asyncio, os, sys
from hubspot_meetings_async import *

url, how = sys.argv[1:]

async def main():
    options = {"limiter": NoLimit()} if how.endswith("no limit") else {}
    async with MeetingsClient("token", base_url=url, timeout=Timeouts(call_s=10.0), **options) as hubspot:
        made = await hubspot.meetings.create({})
        reader, writer = os.pipe()
        child = os.fork()
        if not child:
            async def in_child():
                try:
                    await hubspot.meetings.get(made.id)
                except Exception as error:
                    os.write(writer, type(error).__name__.encode())
                if how.startswith("closed"):
                    await hubspot.aclose()
            try:
                asyncio._set_running_loop(None)
                asyncio.run(in_child())
            finally:
                os._exit(0)
        await asyncio.to_thread(os.waitpid, child, 0)
        print(os.read(reader, 100).decode())
        for _ in range(3):
            print((await hubspot.meetings.get(made.id)).id == made.id)

asyncio.run(main())
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
class TestFork:
    @pytest.mark.row("P11")
    @pytest.mark.parametrize("how", ["left open", "closed", "left open, no limit", "closed, no limit"])
    async def test_a_child_sends_nothing(self, emulator: Emulator, how: str) -> None:
        """ForkedClientError in the child, which may close the client; the parent works on, on the same connection."""
        before = emulator.stats().requests
        # Newer Pythons warn of forks with threads about; this is about what happens all the same.
        status, out, err = await run_child(
            FORK, emulator.url, how, flags=("-W", "error", "-W", "ignore::DeprecationWarning")
        )
        assert (status, err) == (0, "")
        assert out.split() == ["ForkedClientError", "True", "True", "True"]
        assert emulator.stats().requests - before == 4

    async def test_the_parents_connection_lives(self) -> None:
        """What the child does to its copy of a connection does not reach the parent's."""

        async def serve(connection: Connection) -> None:
            while True:
                await connection.request()
                await connection.send(b'HTTP/1.1 200 OK\r\nContent-Length: 26\r\n\r\n{"id":"1","properties":{}}')

        async with listening(serve) as server:
            status, out, _ = await run_child(FORK, server.url, "closed, no limit")
            assert status == 0
            assert out.split()[0] == ForkedClientError.__name__
            assert (server.connections, len(server.requests)) == (1, 4)
