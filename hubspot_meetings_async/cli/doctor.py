"""`hubspot-meetings doctor`: whether everything is ready, and what to do where it is not."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from ..errors import printable
from .asking import ApiVersion, BaseUrl, Connection, Json, TrustEnv, end
from .diagnosis import Diagnosis, State, diagnose
from .exits import DONE, SOME_LEFT
from .push import Version
from .showing import for_programs, write
from .terminal import data

__all__ = ["doctor"]

_MARKS: dict[State, tuple[str, str]] = {
    "ok": ("ok", "green"),
    "note": ("note", "yellow"),
    "fails": ("FAILS", "bold red"),
    "skipped": ("-", "dim"),
}


def doctor(
    key_property: Annotated[
        str | None,
        typer.Option(metavar="P", help="Whether this property is there and unique, as creates with a key need it."),
    ] = None,
    json: Json = False,
    base_url: BaseUrl = "https://api.hubapi.com",
    api_version: ApiVersion = Version.v3,
    trust_env: TrustEnv = False,
) -> None:
    """Look whether everything is ready: address, token, scopes, limits, key property, clock.

    Says for each thing that is wrong what to do. Reads only, about six calls. Into a pipe, or with --json, it is one
    object: ok, findings (name, state, told, do) and quota. The token is read from HUBSPOT_ACCESS_TOKEN and never shown.
    """
    connection = Connection(base_url=base_url, api_version=api_version, trust_env=trust_env)

    def work() -> int:
        diagnosis = asyncio.run(diagnose(connection, key_property))
        if for_programs(json):
            write(diagnosis)
        else:
            _show(diagnosis)
        return DONE if diagnosis.ok else SOME_LEFT

    end("doctor", work)


def _show(diagnosis: Diagnosis) -> None:
    table = Table.grid(padding=(0, 2))
    table.add_column(width=5, justify="right")
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for finding in diagnosis.findings:
        mark, style = _MARKS[finding.state]
        table.add_row(Text(mark, style), finding.name, Text(printable(finding.told)))
        if finding.do is not None:
            table.add_row("", "", Text(f"→ {printable(finding.do)}", style if finding.state == "fails" else "default"))
    console = data()
    console.print(table)
    console.print()
    if diagnosis.ok:
        console.print("Everything is ready.", style="bold green")
    else:
        console.print("Not everything works; begin with the first that fails.", style="bold red")
