"""`hubspot-meetings get`: meetings by id."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

import typer

from ..bulk.outcomes import NotSent, Read, Rejected
from ..client import MeetingsClient
from ..errors import ConfigurationError, HubSpotError, NotFound, UnexpectedResponse
from ..models import Meeting
from ..moments import Zone
from .asking import ApiVersion, BaseUrl, Connection, Json, TimeZone, TrustEnv, advised, ask
from .clocks import on_clock, person_zone
from .exits import DONE, SOME_LEFT
from .meeting_rows import USUAL, as_json, columns, names, row
from .push import Version
from .showing import Column, facts, for_programs, show_table, write
from .terminal import say

__all__ = ["get"]

_ALL = "all"

Links = Mapping[str, list[str]]
"""By object type: the ids that a meeting is linked to."""


def get(
    ids: Annotated[list[str], typer.Argument(metavar="ID", help="Ids of meetings.")],
    properties: Annotated[
        str | None,
        typer.Option(metavar="P,P", help="Properties to show, or: all [default: times, outcome, title]."),
    ] = None,
    associations: Annotated[
        str | None, typer.Option(metavar="TYPE,TYPE", help="Show what they are linked to: contacts,companies,deals.")
    ] = None,
    id_property: Annotated[
        str | None, typer.Option(metavar="P", help="The IDs are values of this unique property.")
    ] = None,
    archived: Annotated[bool, typer.Option("--archived", help="Look into the recycling bin only.")] = False,
    timezone: TimeZone = None,
    json: Json = False,
    base_url: BaseUrl = "https://api.hubapi.com",
    api_version: ApiVersion = Version.v3,
    trust_env: TrustEnv = False,
) -> None:
    """Show meetings by id.

    Any number of them cost one call a hundred, and with --associations one more for each type. On a terminal one
    meeting is a list of its properties, several are a table. Into a pipe, or with --json, each is an object a line, as
    HubSpot has it: id, properties (times in UTC), createdAt, …; its associations are lists of ids by type. The token is
    read from HUBSPOT_ACCESS_TOKEN.
    """

    async def question(hubspot: MeetingsClient) -> int:
        person = person_zone(timezone)
        asked = await _names(hubspot, properties)
        types = _types(associations)
        wanted = list(dict.fromkeys(one.strip() for one in ids))
        found, failures = await _read(hubspot, wanted, asked or USUAL, id_property, archived=archived)
        linked = await _linked(hubspot, found, types)
        _show(found, linked if types else None, asked, person, json=json)
        for id_, error in failures.items():
            say(f"{id_}: {_why(error)}", style="red")
        return SOME_LEFT if failures else DONE

    ask("get", Connection(base_url=base_url, api_version=api_version, trust_env=trust_env), question)


async def _names(hubspot: MeetingsClient, properties: str | None) -> tuple[str, ...]:
    asked = names(properties)
    return tuple(await hubspot.properties.all()) if asked == (_ALL,) else asked


def _types(associations: str | None) -> list[str]:
    if associations is None:
        return []
    found = list(dict.fromkeys(part.strip() for part in associations.split(",") if part.strip()))
    if not found:
        raise ConfigurationError("--associations takes object types with commas between them: contacts,companies")
    return found


async def _read(
    hubspot: MeetingsClient, ids: Sequence[str], properties: Sequence[str], id_property: str | None, *, archived: bool
) -> tuple[list[Meeting], dict[str, HubSpotError]]:
    """The meetings, in the order of `ids`, and what is wrong with the others."""
    found: dict[int, Meeting] = {}
    failures: dict[int, HubSpotError] = {}
    run = hubspot.bulk.read(ids, properties=properties, id_property=id_property, archived=archived)
    async with run:
        async for outcome in run:
            match outcome:
                case Read(meeting=meeting):
                    found[outcome.ordinal] = meeting
                case Rejected(error=error):
                    failures[outcome.ordinal] = error
                case NotSent(why=why, error=error):
                    failures[outcome.ordinal] = error or UnexpectedResponse(f"was not read ({why})")
                case _:  # a read has no other outcomes
                    pass
    return [found[at] for at in sorted(found)], {ids[at]: failures[at] for at in sorted(failures)}


async def _linked(hubspot: MeetingsClient, meetings: Sequence[Meeting], types: Sequence[str]) -> dict[str, Links]:
    linked: dict[str, dict[str, list[str]]] = {meeting.id: {} for meeting in meetings}
    for type_ in types:
        async for id_, records in hubspot.associations.read("meetings", type_, list(linked)):
            linked[id_][type_] = [record.to_object_id for record in records]
    return dict(linked)


def _why(error: HubSpotError) -> str:
    return "there is no such meeting" if isinstance(error, NotFound) else advised(error)


def _show(
    found: Sequence[Meeting],
    linked: Mapping[str, Links] | None,
    asked: tuple[str, ...],
    person: Zone,
    *,
    json: bool,
) -> None:
    if for_programs(json):
        for meeting in found:
            write(as_json(meeting, None if linked is None else linked[meeting.id]))
    elif len(found) == 1:
        meeting = found[0]
        values = [(name, meeting.properties.get(name)) for name in asked or USUAL]
        shown = [(name, on_clock(value or "", person)) for name, value in values if value or len(values) < _FEW]
        shown += [(type_, ", ".join(ids) or "none") for type_, ids in (linked or {}).get(meeting.id, {}).items()]
        facts([("id", meeting.id), *((name, value) for name, value in shown)])
    else:
        types = list(next(iter(linked.values()))) if linked else []
        rows = [
            [*row(one, asked, person), *(" ".join(ids) for ids in (linked or {}).get(one.id, {}).values())]
            for one in found
        ]
        show_table([*columns(asked), *map(Column, types)], rows)


_FEW = 30
"""Of so many properties also the empty ones are shown: somebody asked for them by name."""
