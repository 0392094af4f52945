"""`hubspot-meetings push`: a file or standard input into HubSpot."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer

from ..bulk.engine import Run
from ..bulk.sources import Broken, Columns, Source
from ..client import MeetingsClient
from ..errors import ConfigurationError, InvalidRecord
from ..inputs import Inputs, Record
from ..limiter import Limits
from .account import as_json, exit_code, show
from .exits import DONE, SOME_LEFT, USAGE, told
from .pushing import Account, Items, line_count
from .pushing import push as push_source
from .rejects import Rejects, free_name
from .terminal import people, say, warn

__all__ = ["push"]

_SHOWN_BY_DRY_RUN: Final = 5
_BROKEN_SHOWN: Final = 10


class FormatName(StrEnum):
    """What `--format` takes."""

    jsonl = "jsonl"
    csv = "csv"


class Version(StrEnum):
    """What `--api-version` takes."""

    v3 = "v3"
    march_2026 = "2026-03"
    september_2026 = "2026-09"


def push(
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="JSONL or CSV, also .gz; - reads standard input.", show_default=False)
    ],
    create: Annotated[bool, typer.Option("--create", help="Make a new meeting of each record (the default).")] = False,
    update: Annotated[bool, typer.Option("--update", help="Write to the meetings with these ids.")] = False,
    upsert: Annotated[bool, typer.Option("--upsert", help="Update or create, by the value of --id-property.")] = False,
    archive: Annotated[bool, typer.Option("--archive", help="Put the meetings with these ids into the bin.")] = False,
    id_property: Annotated[
        str | None, typer.Option(metavar="P", help="The unique property that tells meetings apart.")
    ] = None,
    format: Annotated[
        FormatName | None, typer.Option(help="What the file is; otherwise its name or first character tells.")
    ] = None,
    map: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN=P",
            help="CSV: a column is this property: 'Subject=hs_meeting_title'. Two columns make one time: "
            "'Start Date+Start Time=hs_meeting_start_time'. 'Notes=' leaves one out. May be repeated.",
        ),
    ] = None,
    timezone: Annotated[
        str | None,
        typer.Option(
            metavar="ZONE",
            help="CSV: zone of times that name none (Europe/Berlin). Of an hour that a clock change repeats the "
            "first is meant; a time that it skips is a broken row.",
        ),
    ] = None,
    date_format: Annotated[
        str | None,
        typer.Option(
            metavar="F",
            help="CSV: how dates are written, as for strptime ('%d/%m/%Y %H:%M'). Otherwise ISO 8601, Unix "
            "milliseconds, MM/DD/YYYY and DD.MM.YYYY are read.",
        ),
    ] = None,
    associate: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KIND=COLUMN",
            help="CSV, with --create: link the contact, company, deal or ticket ids (separated by ;) in this column. "
            "May be repeated.",
        ),
    ] = None,
    encoding: Annotated[str, typer.Option(help="How the file's text is encoded.")] = "utf-8",
    from_line: Annotated[int, typer.Option(min=1, metavar="N", help="Leave out what stands before this line.")] = 1,
    rejects: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Where records go that were not done [default: FILE.rejects.jsonl, written if there are any]. It can "
            "be pushed again.",
            show_default=False,
        ),
    ] = None,
    base_url: Annotated[
        str, typer.Option(metavar="URL", help="For the emulator: http://127.0.0.1:PORT.")
    ] = "https://api.hubapi.com",
    api_version: Annotated[Version, typer.Option(help="Which paths of HubSpot's API to use.")] = Version.v3,
    limit: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Requests per 10 seconds of your plan; HubSpot's answers correct it."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Most requests in flight; otherwise as the quota allows.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Send nothing: print what the first records become, and check all.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the account as JSON to stdout.")] = False,
) -> None:
    """Push meetings from a file into HubSpot.

    The access token is read from the environment variable HUBSPOT_ACCESS_TOKEN, never from an argument: other users of
    the machine could see it in the list of processes.

    JSONL: one object of properties a line, or HubSpot's shape {"id": …, "properties": {…}, "associations": […]}.
    CSV: a header of property names, or --map. Empty cells are left out.
    """
    try:
        wanted = _Wanted.chosen(create, update, upsert, archive, id_property, workers)
        columns = Columns(
            mapped=_pairs("--map", map or []),
            timezone=timezone,
            date_format=date_format,
            associated=wanted.links(_pairs("--associate", associate or [])),
        )
        with Source(
            file,
            format=format.value if format is not None else None,
            columns=columns,
            encoding=encoding,
            ambiguous_too=wanted.operation != "create",
            on_warning=warn,
        ) as source:
            if dry_run:
                raise typer.Exit(_dry_run(source, wanted.inputs(), from_line))
            client = MeetingsClient.from_env(
                base_url=base_url,
                api_version=api_version.value,
                limits=Limits(per_ten_seconds=limit) if limit is not None else None,
            )
            code = _push(
                client, source, file, wanted, rejects, title=f"{file} → {base_url}", from_line=from_line, json=json
            )
    except (ConfigurationError, OSError) as error:
        # Nothing was sent yet: once the run has begun, its account takes every error.
        say(f"hubspot-meetings push: {told(error)}", style="red")
        raise typer.Exit(USAGE) from None
    raise typer.Exit(code)


class _Wanted(msgspec.Struct, frozen=True):
    """Which call of `client.bulk` is wanted."""

    operation: str
    id_property: str | None
    workers: int | None

    @classmethod
    def chosen(
        cls, create: bool, update: bool, upsert: bool, archive: bool, id_property: str | None, workers: int | None
    ) -> _Wanted:
        flags = {"create": create, "update": update, "upsert": upsert, "archive": archive}
        given = [name for name, flag in flags.items() if flag]
        if len(given) > 1:
            raise ConfigurationError(f"choose one of --{', --'.join(given)}")
        operation = given[0] if given else "create"
        if operation == "upsert" and not id_property:
            raise ConfigurationError("--upsert needs --id-property P, a property that is unique in the account")
        if operation in ("create", "archive") and id_property:
            raise ConfigurationError(f"--id-property goes with --upsert and --update, not with --{operation}")
        return cls(operation, id_property, workers)

    def __str__(self) -> str:
        return f"{self.operation} by {self.id_property}" if self.id_property else self.operation

    def links(self, associated: dict[str, str]) -> dict[str, str]:
        if associated and self.operation != "create":
            raise ConfigurationError(f"--associate goes with --create: HubSpot's batch {self.operation} sets no links")
        return {kind.strip(): column for kind, column in associated.items()}

    def inputs(self) -> Inputs:
        """How records become inputs of the call."""
        match self.operation:
            case "create":
                return Inputs.create()
            case "update":
                return Inputs.update(id_property=self.id_property)
            case "upsert":
                return Inputs.upsert(id_property=self.id_property or "")
            case _:
                return Inputs.archive()

    def start(self, client: MeetingsClient, items: Items) -> Run[Record]:
        """Begin the run."""
        match self.operation:
            case "create":
                return client.bulk.create(items, workers=self.workers)
            case "update":
                return client.bulk.update(items, id_property=self.id_property, workers=self.workers)
            case "upsert":
                return client.bulk.upsert(items, id_property=self.id_property or "", workers=self.workers)
            case _:
                return client.bulk.archive(items, workers=self.workers)


def _pairs(option: str, given: Sequence[str]) -> dict[str, str]:
    """`LEFT=RIGHT` options as a mapping. Columns of --map may hold `=`, those of --associate too."""
    pairs: dict[str, str] = {}
    for text in given:
        left, equals, right = text.rpartition("=") if option == "--map" else text.partition("=")
        if not equals or not left.strip():
            example = "--map 'Subject=hs_meeting_title'" if option == "--map" else "--associate contact=COLUMN"
            raise ConfigurationError(f"{option} is written like {example}, not {text!r}")
        if left in pairs:
            raise ConfigurationError(f"{option} names {left!r} twice")
        pairs[left] = right.strip() if option == "--map" else right
    return pairs


def _push(
    client: MeetingsClient,
    source: Source,
    file: str,
    wanted: _Wanted,
    rejects_path: Path | None,
    *,
    title: str,
    from_line: int,
    json: bool,
) -> int:
    console = people()
    rejects = Rejects(rejects_path or free_name(file))

    async def go() -> Account:
        async with client:
            return await push_source(
                client,
                wanted.start,
                source,
                rejects,
                label=wanted.operation,
                console=console,
                from_line=from_line,
                total_lines=line_count(Path(file)) if file != "-" else None,
                # Whoever types the records would have the bar written over them.
                bar=file != "-" or not sys.stdin.isatty(),
            )

    account = asyncio.run(go())
    rejects.close()
    code = exit_code(account, rejects)
    show(account, rejects, console, title=f"{title} ({wanted})", can_go_on=file != "-")
    if json:
        sys.stdout.buffer.write(as_json(account, rejects, code) + b"\n")
        sys.stdout.flush()
    if account.ended_at is None:
        # A thread may still wait for input; nobody can end that, and closing the file would wait for it.
        sys.stderr.flush()
        os._exit(code)
    return code


def _dry_run(source: Source, inputs: Inputs, from_line: int) -> int:
    """Print what the first records become; count all, and name the broken ones."""
    records = broken = 0
    for item in source:
        if (item.line if isinstance(item, Broken) else item.ref) < from_line:
            continue
        try:
            if isinstance(item, Broken):
                raise InvalidRecord(item.reason)
            encoded = inputs.entry(records, item, f"dry-run-{records}").encoded
        except InvalidRecord as error:
            broken += 1
            if broken <= _BROKEN_SHOWN:
                line = item.line if isinstance(item, Broken) else item.ref
                say(f"line {line}: {error}", style="red")
            continue
        if records < _SHOWN_BY_DRY_RUN:
            sys.stdout.buffer.write(encoded + b"\n")
        records += 1
    sys.stdout.flush()
    more = f" (the first {_BROKEN_SHOWN} are above)" if broken > _BROKEN_SHOWN else ""
    say(f"{source.line:,} lines: {records:,} records could be sent, {broken:,} not{more}. Nothing was sent.")
    return SOME_LEFT if broken else DONE
