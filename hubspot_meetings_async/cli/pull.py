"""`hubspot-meetings pull`: an account's meetings into a file or a database, and in step with it."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from ..errors import ConfigurationError
from ..limiter import Limits
from ..stores.pulling import LEAST_EVERY_S
from .asking import ApiVersion, BaseUrl, Connection, TrustEnv
from .copying import Copying, copy
from .exits import USAGE, told
from .push import Version
from .terminal import say

__all__ = ["pull"]


def pull(
    to: Annotated[
        str,
        typer.Option(
            "--to",
            metavar="FILE|URL",
            help="A file that ends in .jsonl, .csv, .parquet or .db (SQLite), or postgresql://HOST/DATABASE. A URL can "
            "be seen by other users of the machine: leave the password to PGPASSWORD or ~/.pgpass.",
        ),
    ],
    properties: Annotated[
        str | None,
        typer.Option(
            metavar="P,P",
            help="These properties, with commas between. [default: as the copy was begun; for a new one the documented "
            "ones and the account's own]",
            show_default=False,
        ),
    ] = None,
    all_properties: Annotated[
        bool, typer.Option("--all-properties", help="Every property that meetings of the account have.")
    ] = False,
    associations: Annotated[
        str | None,
        typer.Option(metavar="KIND,KIND", help="Copy links to these, too: contacts, companies, deals, tickets, …"),
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Go on: look for changes again and again, until Ctrl-C.")
    ] = False,
    every: Annotated[
        float | None,
        typer.Option(
            min=LEAST_EVERY_S,
            metavar="SECONDS",
            help="With --watch: the pause between two looks. HubSpot's search shows a change after some seconds. "
            "[default: 60]",
            show_default=False,
        ),
    ] = None,
    base_url: BaseUrl = "https://api.hubapi.com",
    api_version: ApiVersion = Version.v3,
    trust_env: TrustEnv = False,
    limit: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Requests per 10 seconds of your plan; HubSpot's answers correct it."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the account of each pull as JSON to stdout.")] = False,
) -> None:
    """Copy the account's meetings into a file or a database; the next time, only what changed.

    The copy has a row for each meeting in its latest version; archived ones stay and are marked. It knows where it got
    to: broken off at any point, the same command goes on there. Columns have the types of the properties; a value that
    does not fit stands as text in the column `unfit`, and a property that comes to the account becomes a column.

    SQLite and PostgreSQL: tables meetings, meeting_associations and meeting_copy; ?schema=NAME in a URL says where.
    JSONL, CSV and Parquet: the file is written anew when something changed, whole at any moment; beside it is
    FILE.copy, which belongs to it. A spreadsheet runs CSV cells that begin with = + - @ as formulas, and meetings hold
    what strangers wrote: import all columns as text.

    The access token is read from the environment variable HUBSPOT_ACCESS_TOKEN.
    """
    try:
        if properties is not None and all_properties:
            raise ConfigurationError("choose one of --properties and --all-properties")
        if every is not None and not watch:
            raise ConfigurationError("--every goes with --watch")
        wanted = Copying(
            to=to,
            properties="all" if all_properties else _listed("--properties", properties),
            associations=_listed("--associations", associations) or (),
            every_s=(every or 60.0) if watch else None,
        )
        client = Connection(base_url=base_url, api_version=api_version, trust_env=trust_env)
        limits = Limits(per_ten_seconds=limit) if limit is not None else None
        code = asyncio.run(copy(wanted, client, limits, json=json))
    except ConfigurationError as error:
        say(f"hubspot-meetings pull: {told(error)}", style="red")
        raise typer.Exit(USAGE) from None
    raise typer.Exit(code)


def _listed(option: str, text: str | None) -> tuple[str, ...] | None:
    if text is None:
        return None
    names = tuple(name.strip() for name in text.split(","))
    if not all(names):
        raise ConfigurationError(f"{option} takes names with commas between them, not {text!r}")
    return names
