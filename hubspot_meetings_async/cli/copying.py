"""One pull, or one after the other, with its meter, its account and its end.

This module knows the order of things. It must not know arguments of the command line.
"""

from __future__ import annotations

import sys
import time
from contextlib import aclosing
from datetime import datetime
from typing import Any, Final, Literal

import msgspec

from ..bulk.outcomes import Report
from ..calling.retry import RetryPolicy
from ..client import MeetingsClient
from ..errors import ConfigurationError
from ..limiter import Limits
from ..stores import Pulled, Store, pull, store_at, watch
from ..telemetry import Attempt
from ..transport import Timeouts
from .asking import Connection, advised
from .exits import BROKEN_OFF, DONE
from .interruption import Interruption
from .progress import Meter
from .progress import Reading as Gauge
from .terminal import near, people, say, warn

__all__ = ["Copying", "copy"]


_GOES_ON: Final = "What was written stays; the same command goes on there."


class Copying(msgspec.Struct, frozen=True, kw_only=True):
    """A copy as it was asked for. `every_s`: the pause between two pulls; None for a single one."""

    to: str
    properties: Literal["all"] | tuple[str, ...] | None = None
    associations: tuple[str, ...] = ()
    every_s: float | None = None


class _Tally:
    """Counts requests as they go; `so_far` is the account of the pull that is under way."""

    def __init__(self) -> None:
        self.retries = self.rate_limited = 0
        self.so_far = Pulled()

    def __call__(self, attempt: Attempt) -> None:
        self.retries += attempt.number > 1
        self.rate_limited += attempt.status == 429


async def copy(wanted: Copying, connection: Connection, limits: Limits | None, *, json: bool) -> int:
    """Pull, tell what became of it, and return the exit code. Raises: ConfigurationError."""
    tally = _Tally()
    client = connection.client(limits=limits, on_attempt=tally, retry=RetryPolicy(), timeout=Timeouts())
    store = store_at(wanted.to)
    place = near(wanted.to) if "://" not in wanted.to else str(store)
    failure: Exception | None = None
    with Interruption() as interruption:
        try:
            async with client, store:
                await _pulls(wanted, client, store, tally, place, json=json)
        except ConfigurationError:
            raise
        except Exception as error:  # noqa: BLE001 - a person gets a line, never a traceback
            failure = error
    if failure is not None:
        say(f"Broken off: {advised(failure)}", style="bold red")
        if tally.so_far.seen:
            say(_GOES_ON)
        return BROKEN_OFF
    if interruption.signal is not None:
        say(f"Stopped by you. {_GOES_ON}", style="yellow")
        return DONE if wanted.every_s is not None else 128 + interruption.signal
    return DONE


async def _pulls(
    wanted: Copying, client: MeetingsClient, store: Store, tally: _Tally, place: str, *, json: bool
) -> None:
    console = people()

    def on_lot(pulled: Pulled) -> None:
        tally.so_far = pulled

    def gauge() -> Gauge:
        quota = client.quota
        return Gauge(
            report=Report(
                operation="pull",
                pulled=tally.so_far.seen,
                read=tally.so_far.seen,
                retries=tally.retries,
                rate_limited=tally.rate_limited,
                seconds=time.monotonic() - began_at,
            ),
            total=tally.so_far.total,
            quota_in_use=quota.in_use,
            quota_limit=quota.limit,
        )

    began_at = time.monotonic()
    if wanted.every_s is None:
        with Meter("pull", console, gauge):
            pulled = await pull(
                client, store, properties=wanted.properties, associations=wanted.associations, on_lot=on_lot
            )
        _tell(pulled, place, json=json)
        return
    rounds = watch(
        client,
        store,
        every_s=wanted.every_s,
        properties=wanted.properties,
        associations=wanted.associations,
        on_lot=on_lot,
    )
    async with aclosing(rounds):
        with Meter("pull", console, gauge):
            pulled = await anext(rounds)
        _tell(pulled, place, json=json)
        say(f"Looking for changes every {wanted.every_s:g} s; Ctrl-C ends it.", style="dim")
        async for pulled in rounds:
            if pulled.failure is not None or pulled.meetings or pulled.dropped:
                _tell(pulled, f"{datetime.now():%H:%M:%S} {place}", json=json)  # noqa: DTZ005 - the reader's own clock


def _tell(pulled: Pulled, place: str, *, json: bool) -> None:
    """The account of one pull: a line for people, and an object for programs where they asked for it."""
    if pulled.failure is not None:
        warn(f"{place}: {advised(pulled.failure)}; trying again later")
    else:
        say(f"{place}: {_words(pulled)}", style="green")
    for name, number in sorted(pulled.unfit.items()):
        warn(
            f"property {name}: {number:,} {'value is' if number == 1 else 'values are'} not of the property's type; as "
            "text in the column unfit"
        )
    if json:
        sys.stdout.buffer.write(_as_json(pulled) + b"\n")
        sys.stdout.flush()


def _words(pulled: Pulled) -> str:
    parts = [f"{pulled.meetings:,} {'meeting' if pulled.meetings == 1 else 'meetings'} written"]
    if pulled.archived:
        parts[0] += f" ({pulled.archived:,} archived)"
    if pulled.older:
        parts.append(f"{pulled.older:,} known in a later version")
    if pulled.dropped:
        parts.append(f"{pulled.dropped:,} merged into others")
    if not pulled.seen:
        parts = ["nothing has changed"]
    return f"{', '.join(parts)}, in {pulled.seconds:.1f} s"


def _as_json(pulled: Pulled) -> bytes:
    value: dict[str, Any] = {name: getattr(pulled, name) for name in pulled.__struct_fields__}
    value["failure"] = advised(pulled.failure) if pulled.failure is not None else None
    return msgspec.json.encode(value)
