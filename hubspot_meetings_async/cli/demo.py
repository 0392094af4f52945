"""`hubspot-meetings demo`: thousands of meetings into a HubSpot that behaves like HubSpot, and the account of it."""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from ..bulk.outcomes import Read, Report
from ..bulk.sources import Source
from ..client import MeetingsClient
from ..errors import ConfigurationError
from ..limiter import Limits
from .checking import Check
from .dataset import KEY, write
from .exits import BROKEN_OFF, DONE, SOME_LEFT, USAGE, advice, told
from .interruption import Interruption
from .progress import Meter, Reading
from .pushing import Account, push
from .rejects import Rejects
from .terminal import data, people, say
from .verdict import Verdict, show
from .witness import Witness, running, steady_use

__all__ = ["demo"]

_FAULTS = (
    "0.003:429",
    "0.01:423",
    "0.01:500",
    "0.01:502",
    "0.01:503",
    "0.01:504",
    "0.01:504-applied",
    "0.01:reset",
    "0.01:reset-applied",
)
"""How often what goes wrong, per request. `applied` strikes after the write: the answer is lost, not the work."""


def demo(
    meetings: Annotated[int, typer.Option(min=1, metavar="N", help="Meetings to push and read back.")] = 20_000,
    seed: Annotated[int, typer.Option(min=0, help="Of the data, the faults and the delays.")] = 7,
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="Requests that HubSpot takes per 10 seconds.")] = 190,
    json: Annotated[bool, typer.Option("--json", help="Print the account as JSON to stdout.")] = False,
) -> None:
    """Push thousands of meetings into a local HubSpot, read them back, and compare.

    The HubSpot is the emulator, a process of its own: with a real quota, network delays, and faults (429, 423, 5xx,
    connections torn down before and after the write). The meetings are written to a JSONL file and pushed by upsert
    on a unique property; every value is then compared with the file. No account and no token are needed.
    """
    if not json:
        say(f"{meetings:,} meetings (seed {seed}), {limit} requests per 10 s, faults on the way")
    options = ["--limit", str(limit), "--seed", str(seed), "--unique-property", KEY]
    options += ["--forward-latency", "0.003:0.02", "--service-latency", "0.002:0.02"]
    options += [part for fault in _FAULTS for part in ("--fault", fault)]
    try:
        with tempfile.TemporaryDirectory(prefix="hubspot-meetings-demo-") as folder, running(options) as hubspot:
            verdict = asyncio.run(_all(Path(folder), hubspot, meetings, seed, limit))
    except ConfigurationError as error:
        say(f"hubspot-meetings demo: {error}", style="red")
        raise typer.Exit(USAGE) from None
    except OSError as error:
        say(f"hubspot-meetings demo: {told(error)}", style="red")
        raise typer.Exit(BROKEN_OFF) from None
    if verdict.signal is not None:
        say("Stopped by you.", style="bold yellow")
    for failure in verdict.failures:
        say(f"Broken off: {told(failure)}", style="bold red")
        say(advice(failure) or "")
    if json:
        sys.stdout.buffer.write(msgspec.json.encode(verdict.figures()) + b"\n")
        sys.stdout.flush()
    else:
        show(verdict, data())
    raise typer.Exit(_code(verdict))


def _code(verdict: Verdict) -> int:
    if verdict.signal is not None:
        return 128 + verdict.signal
    if verdict.failures:
        return BROKEN_OFF
    return DONE if verdict.adds_up else SOME_LEFT


async def _all(folder: Path, hubspot: Witness, meetings: int, seed: int, limit: int) -> Verdict:
    file = folder / "meetings.jsonl"
    with file.open("wb") as stream:
        lines = write(stream, meetings, seed)
    rejects = Rejects(folder / "rejects.jsonl")
    client = MeetingsClient("demo", base_url=hubspot.url, limits=Limits(per_ten_seconds=limit))
    check = Check.of(_expected(file))
    async with client:
        with Source(file) as source:
            pushed = await push(
                client,
                lambda client, items: client.bulk.upsert(items, id_property=KEY),
                source,
                rejects,
                label="push     ",
                console=people(),
                total_lines=lines,
                lines=True,
            )
        rejects.close()
        back = Account(report=Report(operation="read"), signal=pushed.signal)
        if pushed.signal is None and pushed.failure is None:
            await _read_back(client, check, back)
    stats = hubspot.stats()
    accepted, refused = hubspot.stamps()
    busy = [(account.began_at, account.ended_at) for account in (pushed, back) if account.ended_at is not None]
    return Verdict(
        meetings=meetings,
        seed=seed,
        lines=lines,
        pushed=pushed,
        back=back,
        check=check,
        stats=stats,
        duplicates=hubspot.duplicates(KEY),
        # A request that a fault refuses had its place in the window, too: HubSpot may count it, so nothing else goes
        # in that place.
        quota_use=steady_use([*accepted, *refused], busy, stats.limit, stats.window_s),
        quota_refused=steady_use(refused, busy, stats.limit, stats.window_s),
    )


def _expected(file: Path) -> dict[str, dict[str, str]]:
    """What must be in HubSpot afterwards, from the file itself: of lines with the same key the last."""
    decoder = msgspec.json.Decoder(dict[str, str])
    with file.open("rb") as lines:
        return {properties[KEY]: properties for properties in map(decoder.decode, lines)}


async def _read_back(client: MeetingsClient, check: Check, back: Account) -> None:
    names = _names(check)
    with Interruption() as interruption:
        run = client.bulk.read(_keys(check, back), id_property=KEY, properties=names)

        def reading() -> Reading:
            quota = client.quota
            return Reading(
                report=run.report,
                total=len(check.expected),
                quota_in_use=quota.in_use,
                quota_limit=quota.limit,
            )

        try:
            with Meter("read back", people(), reading, lines=True):
                async with run:
                    async for outcome in run:
                        if isinstance(outcome, Read):
                            check.add(outcome.meeting.properties.get(KEY), outcome.meeting.properties)
        except Exception as error:  # noqa: BLE001 - whatever ended the run, its account is printed
            back.failure = error
        finally:
            back.report = run.report
    back.signal = interruption.signal


def _keys(check: Check, back: Account) -> Iterator[str]:
    back.began_at = time.monotonic()
    yield from check.expected
    back.ended_at = time.monotonic()


def _names(check: Check) -> Sequence[str]:
    names: dict[str, Any] = {}
    for properties in check.expected.values():
        names.update(dict.fromkeys(properties))
    return list(names)
