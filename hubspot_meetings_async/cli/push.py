"""`hubspot-meetings push`: a file or standard input into HubSpot."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final, get_args

import msgspec
import typer

from ..bulk.columns import Columns
from ..bulk.sources import Broken, Source, format_by_name, line_of
from ..errors import ConfigurationError, InvalidRecord, JournalError
from ..inputs import Inputs
from .exits import BROKEN_OFF, DONE, SOME_LEFT, USAGE, told
from .job import carry_out, look
from .terminal import say
from .wanted import Operation, Wanted

__all__ = ["push"]

_SHOWN_BY_DRY_RUN: Final = 5
_BROKEN_SHOWN: Final = 10


class FormatName(StrEnum):
    """What `--format` takes."""

    jsonl = "jsonl"
    csv = "csv"
    ics = "ics"


class Version(StrEnum):
    """What `--api-version` takes."""

    v3 = "v3"
    march_2026 = "2026-03"
    september_2026 = "2026-09"


class OnAmbiguousName(StrEnum):
    """What `--on-ambiguous` takes."""

    reconcile = "reconcile"
    hold = "hold"
    probe = "probe"
    resend = "resend"


class DurabilityName(StrEnum):
    """What `--durability` takes; for none at all there is `--no-journal`."""

    power = "power"
    process = "process"


class VerifyName(StrEnum):
    """What `--verify` takes."""

    values = "values"
    final = "final"


def push(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            help="JSONL, CSV or a calendar (.ics), also .gz; - reads standard input.",
            show_default=False,
        ),
    ],
    create: Annotated[bool, typer.Option("--create", help="Make a new meeting of each record (the default).")] = False,
    update: Annotated[bool, typer.Option("--update", help="Write to the meetings with these ids.")] = False,
    upsert: Annotated[bool, typer.Option("--upsert", help="Update or create, by the value of --id-property.")] = False,
    archive: Annotated[bool, typer.Option("--archive", help="Put the meetings with these ids into the bin.")] = False,
    id_property: Annotated[
        str | None,
        typer.Option(
            metavar="P",
            help="--upsert, --update: the unique property that tells meetings apart; of a calendar [ical_uid].",
        ),
    ] = None,
    key_property: Annotated[
        str | None,
        typer.Option(
            metavar="P",
            help="--create: a unique property of which each record has a value. Each record is then created exactly "
            "once, whatever breaks: after a lost answer it is looked for by its key.",
        ),
    ] = None,
    on_ambiguous: Annotated[
        OnAmbiguousName | None,
        typer.Option(
            help="--create: what to do when an answer is lost. reconcile (with a key): look for it, send what is "
            "missing. hold (without): name it, never send it again. probe: search for it, best effort. resend: send "
            "it again, maybe twice.",
            show_default=False,
        ),
    ] = None,
    verify: Annotated[
        VerifyName | None,
        typer.Option(
            help="values: read back what was written, and count what is stored otherwise. final (--update, --upsert): "
            "look at the end at what was sent twice, and mend it.",
        ),
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
            help="CSV, calendars: zone of times that name none (Europe/Berlin). Of an hour that a clock change repeats "
            "the first is meant; in CSV a time that it skips is a broken row.",
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
    since: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="DATE",
            help="Calendars: leave out events that begin before it (2026-01-31, or with a time) [default: a year ago].",
        ),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option(
            metavar="DATE", help="Calendars: leave out events that begin on or after it [default: in a year]."
        ),
    ] = None,
    owner: Annotated[
        list[str] | None,
        typer.Option(
            metavar="EMAIL=ID",
            help="Calendars: events with this organizer belong to this HubSpot owner. May be repeated.",
        ),
    ] = None,
    no_attendees: Annotated[
        bool, typer.Option("--no-attendees", help="Calendars: do not look for contacts among the attendees.")
    ] = False,
    create_property: Annotated[
        bool,
        typer.Option(
            "--create-property", help="Make the property of --id-property or --key-property where there is none."
        ),
    ] = False,
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
    journal: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="What makes the push resumable: whatever breaks it off, `hubspot-meetings resume FILE`, or the same "
            "push again, finishes it. [default: FILE.journal beside a file, removed when it is of no more use; one "
            "named here is kept]",
            show_default=False,
        ),
    ] = None,
    no_journal: Annotated[
        bool, typer.Option("--no-journal", help="Keep none: a push that is cut off can not be resumed.")
    ] = False,
    durability: Annotated[
        DurabilityName,
        typer.Option(
            help="What the journal outlives: a power cut, or (faster on slow disks) only the end of the process."
        ),
    ] = DurabilityName.power,
    base_url: Annotated[
        str,
        typer.Option(metavar="URL", envvar="HUBSPOT_BASE_URL", help="For the emulator: http://127.0.0.1:PORT."),
    ] = "https://api.hubapi.com",
    api_version: Annotated[Version, typer.Option(help="Which paths of HubSpot's API to use.")] = Version.v3,
    limit: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Requests per 10 seconds of your plan; HubSpot's answers correct it."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Most requests in flight; otherwise as the quota allows.")
    ] = None,
    wait_for_reset: Annotated[
        bool,
        typer.Option(
            "--wait-for-reset",
            help="Sleep when the daily limit is spent or the account is being moved, instead of breaking off.",
        ),
    ] = False,
    delivery_timeout: Annotated[
        float | None,
        typer.Option(
            min=0.1, metavar="SECONDS", help="Give a batch up after so long, waits for quota and retries included."
        ),
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
    Calendars (.ics, needs the extra icalendar) are upserted by their events' UIDs, one meeting for each occurrence of a
    repeating event; attendees who are contacts are linked.
    """
    try:
        kept, passing = _journal(journal, no_journal, file)
        calendar = (format.value if format is not None else format_by_name(file)) == "ics"
        wanted = Wanted(
            file=file if file == "-" else os.path.abspath(file),
            operation=_operation(create, update, upsert, archive, usual="upsert" if calendar else "create"),
            key_property=key_property,
            on_ambiguous=on_ambiguous.value if on_ambiguous is not None else None,
            id_property=id_property or ("ical_uid" if calendar else None),
            verify=verify.value if verify is not None else None,
            format="ics" if calendar else format.value if format is not None else None,
            mapped=_pairs("--map", map or []),
            timezone=timezone,
            date_format=date_format,
            associated={kind.strip(): column for kind, column in _pairs("--associate", associate or []).items()},
            since=_moment("--from", since, timezone),
            until=_moment("--until", until, timezone),
            owners={address.lower(): id_ for address, id_ in _pairs("--owner", owner or []).items()},
            link_attendees=not no_attendees,
            create_property=create_property,
            encoding=encoding,
            from_line=from_line,
            rejects=os.path.abspath(rejects) if rejects is not None else None,
            base_url=base_url,
            api_version=api_version.value,
            limit=limit,
            workers=workers,
            durability=durability.value,
            wait_for_reset=wait_for_reset,
            delivery_timeout_s=delivery_timeout,
            passing=passing,
        )
        if dry_run:
            with wanted.with_window().source() as source:
                raise typer.Exit(_dry_run(source, wanted.inputs(), from_line))
        before = look(kept) if kept is not None else None
        wanted = wanted.with_window(before.wanted if before is not None else None)
        if before is not None and before.wanted is not None and rejects is None:
            wanted = msgspec.structs.replace(wanted, rejects=before.wanted.rejects)
        code = carry_out(wanted.with_source_as_it_is(), kept, before, json=json)
    except (ConfigurationError, OSError) as error:
        # Nothing was sent yet: once the run has begun, its account takes every error.
        say(f"hubspot-meetings push: {told(error)}", style="red")
        raise typer.Exit(USAGE) from None
    except JournalError as error:
        say(f"hubspot-meetings push: {told(error)}", style="red")
        raise typer.Exit(BROKEN_OFF) from None
    raise typer.Exit(code)


def _journal(given: Path | None, none: bool, file: str) -> tuple[Path | None, bool]:
    """Where the journal is, and whether nobody asked for it."""
    if given is not None and none:
        raise ConfigurationError("choose one of --journal and --no-journal")
    if given is not None or none:
        return given, False
    return (Path(f"{file}.journal"), True) if Path(file).is_file() else (None, False)


def _operation(create: bool, update: bool, upsert: bool, archive: bool, *, usual: Operation) -> Operation:
    given: list[Operation] = []
    for flag, name in zip((create, update, upsert, archive), get_args(Operation), strict=True):
        if flag:
            given.append(name)
    if len(given) > 1:
        raise ConfigurationError(f"choose one of --{', --'.join(given)}")
    return given[0] if given else usual


def _moment(option: str, given: str | None, timezone: str | None) -> datetime | None:
    """A date (its midnight in the zone, else in UTC) or a moment."""
    if given is None:
        return None
    try:
        moment = datetime.fromisoformat(given.strip())
    except ValueError:
        raise ConfigurationError(
            f"{option} takes a date such as 2026-01-31, or a moment (2026-01-31T12:00Z), not {given!r}"
        ) from None
    return moment if moment.utcoffset() is not None else moment.replace(tzinfo=Columns(timezone=timezone).zone() or UTC)


_EXAMPLES: Final = {
    "--map": "'Subject=hs_meeting_title'",
    "--associate": "contact=COLUMN",
    "--owner": "ada@example.com=41629779",
}


def _pairs(option: str, given: Sequence[str]) -> dict[str, str]:
    """`LEFT=RIGHT` options as a mapping. Columns of --map may hold `=`, those of --associate too."""
    pairs: dict[str, str] = {}
    for text in given:
        left, equals, right = text.rpartition("=") if option == "--map" else text.partition("=")
        if not equals or not left.strip():
            raise ConfigurationError(f"{option} is written like {option} {_EXAMPLES[option]}, not {text!r}")
        if left in pairs:
            raise ConfigurationError(f"{option} names {left!r} twice")
        pairs[left] = right.strip() if option == "--map" else right
    return pairs


def _dry_run(source: Source, inputs: Inputs, from_line: int) -> int:
    """Print what the first records become; count all, and name the broken ones."""
    records = broken = 0
    for item in source:
        if line_of(item) < from_line:
            continue
        try:
            if isinstance(item, Broken):
                raise InvalidRecord(item.reason)
            encoded = inputs.entry(records, item, f"dry-run-{records}").encoded
        except InvalidRecord as error:
            broken += 1
            if broken <= _BROKEN_SHOWN:
                say(f"line {line_of(item)}: {error}", style="red")
            continue
        if records < _SHOWN_BY_DRY_RUN:
            sys.stdout.buffer.write(encoded + b"\n")
        records += 1
    sys.stdout.flush()
    more = f" (the first {_BROKEN_SHOWN} are above)" if broken > _BROKEN_SHOWN else ""
    say(f"{source.line:,} lines: {records:,} records could be sent, {broken:,} not{more}. Nothing was sent.")
    return SOME_LEFT if broken else DONE
