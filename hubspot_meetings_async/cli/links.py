"""`hubspot-meetings links`: the meeting links of the account."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from ..client import MeetingsClient
from ..models import MeetingLink
from .asking import ApiVersion, BaseUrl, Connection, Json, TrustEnv, ask
from .exits import DONE
from .push import Version
from .showing import Column, Rows, given
from .terminal import say

__all__ = ["links"]


class LinkKind(StrEnum):
    """What `--kind` takes: HubSpot's types of links, in short."""

    personal = "personal"
    group = "group"
    round_robin = "round-robin"


_TYPES = {
    LinkKind.personal: "PERSONAL_LINK",
    LinkKind.group: "GROUP_CALENDAR",
    LinkKind.round_robin: "ROUND_ROBIN_CALENDAR",
}
_COLUMNS = (Column("slug", whole=True), Column("name"), Column("kind"), Column("default", style="dim"))


def links(
    name: Annotated[str | None, typer.Option(metavar="NAME", help="Links with this name only.")] = None,
    kind: Annotated[LinkKind | None, typer.Option(help="Links of this kind only.")] = None,
    json: Json = False,
    base_url: BaseUrl = "https://api.hubapi.com",
    api_version: ApiVersion = Version.v3,
    trust_env: TrustEnv = False,
) -> None:
    """List the meeting links that can be booked.

    A table on a terminal. Into a pipe, or with --json, an object a line with HubSpot's members (id, slug, link, name,
    type, …). The token is read from HUBSPOT_ACCESS_TOKEN; it needs the scope scheduler.meetings.meeting-link.read.
    """

    async def question(hubspot: MeetingsClient) -> int:
        rows = Rows(_COLUMNS, _row, given, json=json)
        async for link in hubspot.scheduler.links(name=name, type=None if kind is None else _TYPES[kind]):
            rows.add(link)
        rows.show()
        if not rows.count:
            asked = "such " if name is not None or kind is not None else ""
            say(f"The account has no {asked}meeting links.", style="yellow")
        return DONE

    ask("links", Connection(base_url=base_url, api_version=api_version, trust_env=trust_env), question)


def _row(link: MeetingLink) -> tuple[str, ...]:
    kinds = {type_: kind.value for kind, type_ in _TYPES.items()}
    kind = kinds.get(link.type or "", link.type or "")
    return link.slug, link.name or "", kind, "yes" if link.default_link else ""
