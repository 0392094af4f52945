"""Processes of a benchmark: a server, and one for each contestant. Knows how to talk to them, not what they do."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from typing import Any

__all__ = ["Racer", "asked_of", "serving"]


@contextmanager
def serving(*options: str, module: str = "benchmarks.neutral_server") -> Iterator[str]:
    """A server's address, while it runs."""
    words = [sys.executable, "-m", module, *options]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.terminate()


def asked_of(url: str, path: str) -> Any:
    """What a server of ours says of itself: `/cpu`, `/stamps`."""
    with closing(HTTPConnection(url.removeprefix("http://"))) as connection:
        connection.request("GET", path)
        return json.loads(connection.getresponse().read())


class Racer:
    """A contestant's process: waits for tasks, does one at a time."""

    def __init__(self, name: str, *, under: Sequence[str] = ()) -> None:
        words = [*under, sys.executable, "-m", "benchmarks.contestants", name]
        self._process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def do(self, **task: object) -> dict[str, Any]:
        """What a task took."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(task) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"{self._process.args!r} ended before it had done {task}")
        result: dict[str, Any] = json.loads(line)
        return result

    def stop(self) -> None:
        """No more tasks."""
        self._process.communicate()
