"""A server that enforces a rolling window exactly, in real time: a call is stamped after a random delay, and refused
when the window before its stamp is full. `GET /stamps` tells the stamps, in seconds from the first.

    python -m benchmarks.window_server [--limit 190] [--window-s 10] [--jitter-ms 5 150]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
from contextlib import suppress

from .limiter_sim import Window
from .neutral_server import answer_to, batch_answer, http, serve

__all__ = ["main"]

_REFUSED = json.dumps(
    {
        "status": "error",
        "message": "You have reached your ten_secondly_rolling limit.",
        "errorType": "RATE_LIMIT",
        "policyName": "TEN_SECONDLY_ROLLING",
    }
).encode()
_BATCH = batch_answer(0)
_SINGLE = answer_to(b"post /one\r\n", b"").partition(b"\r\n\r\n")[2]


class _Judge:
    """The window, and what a call is told."""

    def __init__(self, limit: int, window_s: float) -> None:
        self._window = Window(limit, window_s)
        self._began_at: float | None = None

    def answer(self, head: bytes, body: bytes) -> bytes:
        """Stamp a call. A batch is always answered the same: its meetings are told by their keys."""
        if head.startswith(b"get /stamps"):
            stamps = {"accepted": self._window.accepted, "refused": self._window.refused}
            return http(json.dumps(stamps).encode())
        now = asyncio.get_running_loop().time()
        if self._began_at is None:
            self._began_at = now
        del body
        accepted, headers = self._window.stamp(now - self._began_at)
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        if accepted:
            return http(_BATCH if b"/batch/" in head[: head.index(b"\r\n")] else _SINGLE, headers=lines)
        return http(_REFUSED, status="429 Too Many Requests", headers=lines)


def main(limit: int, window_s: float, least_ms: float, most_ms: float) -> None:
    """Serve until interrupted."""
    rng = random.Random(1)
    with suppress(KeyboardInterrupt):
        asyncio.run(serve(_Judge(limit, window_s).answer, lambda: rng.uniform(least_ms, most_ms) / 1000))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit", type=int, default=190)
    parser.add_argument("--window-s", type=float, default=10.0)
    parser.add_argument("--jitter-ms", type=float, nargs=2, default=(5.0, 150.0))
    asked = parser.parse_args()
    main(asked.limit, asked.window_s, *asked.jitter_ms)
