"""The command as a process of its own, as a shell would start it."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path
from typing import Any, NamedTuple

from .forking import fork

TOKEN = "pat-na1-canary-0123456789"

_START = "from hubspot_meetings_async.cli import main; main()"


class Done(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def account(self) -> dict[str, Any]:
        """The account that `--json` printed."""
        value: dict[str, Any] = json.loads(self.out)
        return value


async def start(*words: str, cwd: Path, token: str | None = TOKEN, code: str | None = None, out: int = PIPE) -> Process:
    """Start the command; with `code` of a test's own, a new Python that has imported nothing."""
    environment = {name: value for name, value in os.environ.items() if name != "HUBSPOT_ACCESS_TOKEN"}
    if token is not None:
        environment["HUBSPOT_ACCESS_TOKEN"] = token
    environment["PYTHONWARNINGS"] = "error"
    if code is None:
        return await fork(_START, words, cwd=cwd, environment=environment, out=out)
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, *words, stdin=PIPE, stdout=out, stderr=PIPE, cwd=cwd, env=environment
    )


async def end(process: Process, given: bytes = b"") -> Done:
    out, err = await process.communicate(given)
    assert process.returncode is not None
    out = out or b""  # None where it went elsewhere
    assert TOKEN.encode() not in out + err
    return Done(process.returncode, out.decode(), err.decode())


async def run(*words: str, cwd: Path, given: bytes = b"", token: str | None = TOKEN) -> Done:
    return await end(await start(*words, cwd=cwd, token=token), given)


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]
