"""`python -m hubspot_meetings_async.emulator`: the emulator as a process of its own.

Knows arguments, signals and exit codes. Prints one line to stdout when it is ready: `HubSpot emulator on URL`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import signal
import sys
from collections.abc import Sequence

import msgspec

from .behaviour import Behaviour
from .clock import SystemClock
from .connections import allow_open_files
from .fault_words import FAULT_WORDS, fault_rule, latency
from .fixtures import AROUND_MS
from .keeping import DataFileError
from .server import Emulator
from .times import parse_ms


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until SIGINT or SIGTERM; returns the exit code."""
    parser = _parser()
    asked = parser.parse_args(arguments)
    # Records are many and never form cycles: looking through them for some would take a fifth of a big run.
    gc.set_threshold(100_000, 50, 1000)
    allow_open_files()
    try:
        emulator = Emulator(
            host=asked.host,
            port=asked.port,
            limit=asked.limit,
            daily_limit=asked.daily_limit,
            window_s=asked.window,
            search_limit=asked.search_limit,
            tokens=asked.token,
            behaviour=_behaviour(asked.behaviour),
            seed=asked.seed,
            forward_latency_s=latency(asked.forward_latency),
            service_latency_s=latency(asked.service_latency),
            portal_id=asked.portal_id,
            timezone=asked.timezone,
            data=asked.data,
            meetings=asked.meetings,
            contacts=asked.contacts,
            around_ms=asked.around,
        )
        # What a data file brought back is not given once more.
        for name in asked.unique_property:
            if not emulator.portal.meetings.book.is_unique(name):
                emulator.portal.add_property(name, unique=True)
        for text in asked.fault:
            emulator.faults.add(fault_rule(text))
        for text in asked.oauth_app:
            client_id, _, rest = text.partition(":")
            client_secret, colon, scopes = rest.partition(":")
            if emulator.portal.keyring.app(client_id) is None:
                emulator.portal.add_app(client_id, client_secret, scopes=scopes.split() if colon else None)
    except (ValueError, msgspec.ValidationError) as error:
        parser.error(str(error))
    except DataFileError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    try:
        asyncio.run(_serve(emulator))
    except DataFileError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    except OSError as error:
        print(f"cannot listen on {asked.host}:{asked.port}: {error.strerror or error}", file=sys.stderr)  # noqa: T201
        return 1
    except KeyboardInterrupt:  # where the loop takes no signal handlers
        pass
    return 0


async def _serve(emulator: Emulator) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for wanted in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):  # Windows
            loop.add_signal_handler(wanted, stop.set)
    async with emulator:
        print(f"HubSpot emulator on {emulator.url}", flush=True)  # noqa: T201
        await stop.wait()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m hubspot_meetings_async.emulator",
        description="A local HubSpot for meetings. Its own paths: /__emulator/ (stats, faults, ledger, …).",
    )
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    add("--port", type=int, default=0, help="port to listen on; 0 takes a free one (%(default)s)")
    add("--limit", type=_limit, default=190, metavar="N|off", help="requests per window and app (%(default)s)")
    add("--daily-limit", type=_limit, default=None, metavar="N|off", help="requests per day (off)")
    add("--search-limit", type=_limit, default=5, metavar="N|off", help="searches per second (%(default)s)")
    add("--window", type=float, default=10.0, metavar="S", help="length of the window in seconds (%(default)s)")
    add("--token", action="append", metavar="TOKEN", help="accept only this bearer token; may be repeated (any)")
    add("--unique-property", action="append", default=[], metavar="NAME", help="custom unique property to start with")
    add("--data", metavar="FILE", help="SQLite file that keeps the account between two runs; made if missing (memory)")
    add("--meetings", type=int, default=0, metavar="N", help="start with a made-up account of the seed (%(default)s)")
    add("--contacts", type=int, default=None, metavar="N", help="its contacts (one for eight meetings)")
    add(
        "--around",
        type=_moment,
        default=AROUND_MS,
        metavar="MOMENT|now",
        help="earlier made-up meetings are over, later ones scheduled; ISO with offset, or Unix ms (21 November 2026)",
    )
    add("--seed", type=int, default=0, help="of orders, fault rates, latencies, made-up accounts (%(default)s)")
    add(
        "--forward-latency",
        default="0",
        metavar="S[:S]",
        help="seconds, or a range, before the stamp; S~SIGMA: lognormal",
    )
    add("--service-latency", default="0", metavar="S[:S]", help="the same between stamp and answer")
    add(
        "--fault",
        action="append",
        default=[],
        metavar="RATE:FAULT",
        help=f"e.g. 0.01:503, or #3:503 for the third request; FAULT is {FAULT_WORDS}",
    )
    add(
        "--oauth-app",
        action="append",
        default=[],
        metavar="ID:SECRET[:SCOPES]",
        help="register an OAuth app; SCOPES are parted by blanks (all)",
    )
    add("--behaviour", action="append", default=[], metavar="NAME=VALUE", help="a field of Behaviour")
    add("--portal-id", type=int, default=1_234_567, help="number of the account (%(default)s)")
    add("--timezone", default="UTC", help="zone of the account; daily limits start anew at its midnight (%(default)s)")
    return parser


def _moment(text: str) -> int:
    if text == "now":
        return SystemClock().wall_ms()
    try:
        return parse_ms(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"must be a moment like 2027-01-04T09:00:00Z, or now: {error}") from None


def _limit(text: str) -> int | None:
    if text == "off":
        return None
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a number above 0, or off, not {text!r}")
    return int(text)


def _behaviour(pairs: Sequence[str]) -> Behaviour:
    given: dict[str, object] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise ValueError(f"--behaviour takes NAME=VALUE, not {pair!r}")
        words: dict[str, object] = {"true": True, "false": False, "none": None}
        given[name] = words[value] if value in words else _number(value)
    return msgspec.convert(given, Behaviour)


def _number(text: str) -> str | int | float:
    if text.isdigit():
        return int(text)
    whole, dot, rest = text.partition(".")
    return float(text) if dot and whole.isdigit() and rest.isdigit() else text


if __name__ == "__main__":
    raise SystemExit(main())
