"""`hubspot-meetings slots`: when a meeting link is free."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import groupby
from typing import Annotated

import typer

from ..client import MeetingsClient
from ..errors import ConfigurationError, DurationNotOffered, NotFound
from ..models import Slot
from .asking import ApiVersion, BaseUrl, Connection, Json, TimeZone, TrustEnv, ask
from .clocks import day_of, length, minutes, moment, person_zone
from .exits import DONE
from .push import Version
from .showing import Column, for_programs, show_table, write
from .terminal import say

__all__ = ["as_json", "slots", "unknown_link"]

_USUAL = 100


def slots(
    slug: Annotated[str, typer.Argument(metavar="SLUG", help="The end of a meeting link: ada/intro.")],
    duration: Annotated[
        str | None, typer.Option(metavar="LENGTH", help="Slots of this length only: 30 (minutes), 1h, 1h30m.")
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="WHEN", help="From this day or time on: tomorrow, 2026-11-24, 2026-11-24 16:00."
        ),
    ] = None,
    until: Annotated[str | None, typer.Option(metavar="WHEN", help="Before this day or time.")] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, metavar="N", help=f"At most so many slots [default: {_USUAL}].")
    ] = None,
    all: Annotated[bool, typer.Option("--all", help="As far as the link offers any.")] = False,
    timezone: TimeZone = None,
    json: Json = False,
    base_url: BaseUrl = "https://api.hubapi.com",
    api_version: ApiVersion = Version.v3,
    trust_env: TrustEnv = False,
) -> None:
    """Show when a meeting link is free.

    A table of days on a terminal. Into a pipe, or with --json, an object a line: start and end (ISO 8601, with offset)
    and duration_s. The token is read from HUBSPOT_ACCESS_TOKEN.
    """

    async def question(hubspot: MeetingsClient) -> int:
        person = person_zone(timezone)
        most = most_of(limit, all, _USUAL)
        free = hubspot.scheduler.availability(
            slug,
            timezone=person.name,
            duration=None if duration is None else length("--duration", duration),
            start=None if since is None else moment("--from", since, person),
            end=None if until is None else moment("--until", until, person),
        )
        shown: list[Slot] = []
        more = False
        try:
            async for slot in free:
                if more := len(shown) == most:
                    break
                shown.append(slot)
                if for_programs(json):
                    write(as_json(slot))
        except NotFound as error:
            raise unknown_link(slug) from error
        except DurationNotOffered as error:
            offered = ", ".join(minutes(length_s) for length_s in error.offered_s)
            raise ConfigurationError(f"{slug} has no meetings of this length; --duration can be {offered}") from error
        if not for_programs(json):
            show_table([Column("day", whole=True), *_length_column(shown), Column("free")], list(_days(shown)))
        if not shown:
            say(f"{slug} has no free slots" + (" in that time." if since or until else "."), style="yellow")
        else:
            say(
                f"{len(shown):,} slots of {slug}, times in {person.name}."
                + (" There are more: --limit N or --all shows them." if more else ""),
                style="dim",
            )
        return DONE

    ask("slots", Connection(base_url=base_url, api_version=api_version, trust_env=trust_env), question)


def most_of(limit: int | None, all: bool, usual: int) -> int | None:
    """How many are wanted; None is all of them. Raises: ConfigurationError for both at once."""
    if limit is not None and all:
        raise ConfigurationError("choose one of --limit and --all")
    return None if all else limit or usual


def unknown_link(slug: str) -> ConfigurationError:
    """There is no link of this name."""
    return ConfigurationError(f"there is no meeting link {slug!r}; `hubspot-meetings links` lists those there are")


def as_json(slot: Slot) -> dict[str, str | float]:
    """A slot, for programs."""
    return {"start": slot.start_at.isoformat(), "end": slot.end_at.isoformat(), "duration_s": slot.duration_s}


def _length_column(shown: Iterable[Slot]) -> list[Column]:
    return [Column("length", whole=True)] if len({slot.duration_s for slot in shown}) > 1 else []


def _days(shown: list[Slot]) -> Iterator[list[str]]:
    """A row for each day, or where there are several lengths, for each of them on each day."""
    lengths = sorted({slot.duration_s for slot in shown})
    for day, on_day in groupby(shown, key=lambda slot: day_of(slot.start_at)):
        free = list(on_day)
        for length_s in lengths:
            times = [_clock(slot.start_at) for slot in free if slot.duration_s == length_s]
            if times:
                yield [day, *([minutes(length_s)] if len(lengths) > 1 else []), "  ".join(times)]
                day = ""


def _clock(at: datetime) -> str:
    return f"{at:%H:%M}"
