"""`hubspot-meetings search`: meetings by their properties."""

from __future__ import annotations

from typing import Annotated

import typer

from ..client import MeetingsClient
from ..models import Meeting
from ..search import Filters, where
from .asking import ApiVersion, BaseUrl, Connection, Json, TimeZone, TrustEnv, ask
from .clocks import moment, person_zone
from .conditions import condition, filters
from .exits import DONE
from .meeting_rows import USUAL, as_json, columns, names, row
from .push import Version
from .showing import Rows
from .slots import most_of
from .terminal import say

__all__ = ["search"]

_USUAL = 100
_LARGEST_PAGE = 200


def search(
    conditions: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="CONDITION",
            help="All of them must hold: hs_meeting_outcome=SCHEDULED, 'hs_timestamp>=2026-11-01' (also != > < <=), "
            "hs_meeting_title~WORD and !~ (the text has this word, or not), 'hs_meeting_outcome in A,B' and 'not in', "
            "'hs_meeting_location exists' and 'missing', associations.contact=101. Quote what the shell would read.",
            show_default=False,
        ),
    ] = None,
    query: Annotated[
        str | None, typer.Option(metavar="WORDS", help="Words to look for in titles and descriptions.")
    ] = None,
    since: Annotated[
        str | None, typer.Option(metavar="WHEN", help="hs_timestamp from this day or time on: 2026-11-01, today.")
    ] = None,
    until: Annotated[str | None, typer.Option(metavar="WHEN", help="hs_timestamp before this day or time.")] = None,
    sort: Annotated[
        str | None,
        typer.Option(
            metavar="P", help="By this property; -hs_timestamp: from the latest on [default: by id, oldest first]."
        ),
    ] = None,
    properties: Annotated[
        str | None, typer.Option(metavar="P,P", help="Properties to show [default: times, outcome, title].")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, metavar="N", help=f"At most so many meetings [default: {_USUAL}].")
    ] = None,
    all: Annotated[bool, typer.Option("--all", help="All there are, past HubSpot's 10,000 too.")] = False,
    timezone: TimeZone = None,
    json: Json = False,
    base_url: BaseUrl = "https://api.hubapi.com",
    api_version: ApiVersion = Version.v3,
    trust_env: TrustEnv = False,
) -> None:
    """Search meetings by their properties.

    A table on a terminal. Into a pipe, or with --json, an object a line, as HubSpot has it: id, properties (times in
    UTC), createdAt, …. Days and times of conditions are those of --timezone. HubSpot finds new and changed meetings
    after some seconds. The token is read from HUBSPOT_ACCESS_TOKEN.
    """

    async def question(hubspot: MeetingsClient) -> int:
        person = person_zone(timezone)
        most = most_of(limit, all, _USUAL)
        asked = names(properties)
        wanted = [condition(text) for text in conditions or ()]
        days = any(one.names_a_day for one in wanted)
        found = filters(wanted, person, await hubspot.properties.all() if days else {})
        if since is not None:
            found = _and(found, where("hs_timestamp").ge(moment("--since", since, person)))
        if until is not None:
            found = _and(found, where("hs_timestamp").lt(moment("--until", until, person)))
        results = hubspot.meetings.search(
            found, query=query, sorts=sort, properties=asked or USUAL, limit=min(most or _LARGEST_PAGE, _LARGEST_PAGE)
        )
        total = await results.total()
        rows: Rows[Meeting] = Rows(columns(asked), lambda one: row(one, asked, person), as_json, json=json)
        async for meeting in results:
            rows.add(meeting)
            if rows.count == most:
                break
        rows.show()
        more = total - rows.count
        if more > 0:
            say(f"{rows.count:,} of {total:,} meetings; --limit N or --all shows more.", style="dim")
        else:
            say(f"{rows.count:,} {'meeting' if rows.count == 1 else 'meetings'}.", style="dim")
        return DONE

    ask("search", Connection(base_url=base_url, api_version=api_version, trust_env=trust_env), question)


def _and(one: Filters | None, other: Filters) -> Filters:
    return other if one is None else one & other
