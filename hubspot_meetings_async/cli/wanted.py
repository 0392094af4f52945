"""What a push was asked for: kept in its journal, so that another process can finish it.

This module knows how options become a source, a client and a call of `client.bulk`. It must not know arguments of the
command line, files other than the source, or what becomes of a record. It never holds the token.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Literal, cast
from urllib.parse import urlsplit

import msgspec

from ..bulk.columns import Columns
from ..bulk.doors import WriteOptions
from ..bulk.engine import Run
from ..bulk.operation import Verify
from ..bulk.sources import EventSettings, Format, Source
from ..calendars import Attendees
from ..client import MeetingsClient
from ..errors import ConfigurationError
from ..inputs import Inputs, Record
from ..limiter import Limits
from ..meetings.certainty import OnAmbiguous
from .pushing import Items, line_count
from .terminal import command, warn

__all__ = ["Operation", "Wanted"]

Operation = Literal["create", "update", "upsert", "archive"]

_IN_META = "push"


class _Source(msgspec.Struct, frozen=True, kw_only=True):
    """The source's file as it was when the push began; None where it is none."""

    size_bytes: int | None = None
    changed_at_ns: int | None = None
    lines: int | None = None


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """One push: which source, how it is read, which call, and how it goes. `file` is absolute, or `-`.

    `passing`: its journal was made without being asked for, and goes when there is nothing left for it to tell.
    """

    file: str
    operation: Operation = "create"
    key_property: str | None = None
    on_ambiguous: OnAmbiguous | None = None
    id_property: str | None = None
    verify: Verify | None = None
    format: Format | None = None
    mapped: dict[str, str] = {}
    timezone: str | None = None
    date_format: str | None = None
    associated: dict[str, str] = {}
    since: datetime | None = None
    until: datetime | None = None
    owners: dict[str, str] = {}
    link_attendees: bool = True
    create_property: bool = False
    encoding: str = "utf-8"
    from_line: int = 1
    rejects: str | None = None
    base_url: str
    api_version: Literal["v3", "2026-03", "2026-09"] = "v3"
    limit: int | None = None
    workers: int | None = None
    durability: Literal["power", "process", "none"] = "power"
    wait_for_reset: bool = False
    delivery_timeout_s: float | None = None
    passing: bool = False
    as_it_was: _Source = _Source()

    def __post_init__(self) -> None:
        if self.is_calendar and self.operation != "upsert":
            raise ConfigurationError(
                f"a calendar is pushed by --upsert, so that pushing it again updates what is there, not by "
                f"--{self.operation}"
            )
        if self.operation == "upsert" and not self.id_property:
            raise ConfigurationError("--upsert needs --id-property P, a property that is unique in the account")
        if self.operation in ("create", "archive") and self.id_property:
            also = " (a create takes --key-property)" if self.operation == "create" else ""
            raise ConfigurationError(
                f"--id-property goes with --upsert and --update, not with --{self.operation}{also}"
            )
        if self.operation != "create" and (self.key_property or self.on_ambiguous):
            raise ConfigurationError(
                f"--key-property and --on-ambiguous go with --create: what --{self.operation} does can be done twice"
            )
        if self.on_ambiguous in ("reconcile", "probe") and not self.key_property:
            raise ConfigurationError(
                f"--on-ambiguous {self.on_ambiguous} looks for records by a property of theirs: name it with "
                "--key-property P"
            )
        if self.verify == "final" and self.operation == "create":
            raise ConfigurationError("--verify final is for --update and --upsert; a create takes --verify values")
        if self.verify and self.operation == "archive":
            raise ConfigurationError("--verify compares values, and --archive writes none")
        if self.associated and self.operation != "create":
            raise ConfigurationError(f"--associate goes with --create: HubSpot's batch {self.operation} sets no links")

        if not self.is_calendar and (self.since or self.until or self.owners or not self.link_attendees):
            raise ConfigurationError("--from, --until, --owner and --no-attendees are for calendar files (.ics)")
        if self.create_property and not (self.id_property or self.key_property):
            raise ConfigurationError("--create-property goes with --id-property or --key-property, which names it")

    def __str__(self) -> str:
        by = self.key_property or self.id_property
        return f"{self.operation} by {by}" if by else self.operation

    @property
    def piped(self) -> bool:
        """Whether the records come from standard input."""
        return self.file == "-"

    @property
    def is_calendar(self) -> bool:
        """Whether the source is a calendar's events."""
        return self.format == "ics"

    @property
    def holds(self) -> bool:
        """Whether a record whose answer was lost is left ambiguous: it could be created twice."""
        mode = self.on_ambiguous or ("reconcile" if self.key_property else "hold")
        return self.operation == "create" and mode == "hold"

    @property
    def at_home(self) -> bool:
        """Whether the token goes to HubSpot itself, or does not leave this machine."""
        host = urlsplit(self.base_url).hostname or ""
        return f".{host}".endswith(".hubapi.com") or host in ("127.0.0.1", "::1", "localhost")

    def finished_by(self, journal: str) -> str:
        """The command that finishes it."""
        return command("resume", journal, *([] if self.at_home else ["--base-url", self.base_url]))

    def with_source_as_it_is(self) -> Wanted:
        """The same, with a note of the source's size and age."""
        path = Path(self.file)
        if self.piped or not path.is_file():
            return self
        status = path.stat()
        seen = _Source(size_bytes=status.st_size, changed_at_ns=status.st_mtime_ns, lines=line_count(path))
        return msgspec.structs.replace(self, as_it_was=seen)

    def meta(self) -> dict[str, str]:
        """As a journal keeps it."""
        return {_IN_META: msgspec.json.encode(self).decode()}

    @classmethod
    def of(cls, meta: Mapping[str, str]) -> Wanted | None:
        """What a journal's `meta` tells of a push; None for a job that was no push.

        Raises: ConfigurationError when another version of this library wrote what this one can not read.
        """
        kept = meta.get(_IN_META)
        if kept is None:
            return None
        try:
            return msgspec.json.decode(kept, type=cls)
        except msgspec.MsgspecError as error:
            raise ConfigurationError(
                f"the journal's push can not be read ({error}); give the same push command again, with --journal"
            ) from error

    def alike(self, other: Wanted) -> bool:
        """Whether finishing one finishes the other."""
        known = msgspec.structs.replace(other, rejects=self.rejects, passing=self.passing, as_it_was=self.as_it_was)
        return self == known

    def changed(self) -> str | None:
        """What is different about the source's file since the push began, in words; None: nothing that shows."""
        was = self.as_it_was
        now = os.stat(self.file)
        if was.size_bytes is None or (was.size_bytes, was.changed_at_ns) == (now.st_size, now.st_mtime_ns):
            return None
        if was.size_bytes == now.st_size:
            return "it was written to, and has the same size"
        return f"it had {was.size_bytes:,} bytes, and has {now.st_size:,}"

    def source(self, *, quiet: bool = False) -> Source:
        """Open the source. Raises: ConfigurationError, OSError."""
        columns = Columns(
            mapped=self.mapped,
            timezone=None if self.is_calendar else self.timezone,
            date_format=self.date_format,
            associated=self.associated,
        )
        return Source(
            self.file,
            format=self.format,
            columns=columns,
            events=self._events() if self.is_calendar else None,
            encoding=self.encoding,
            ambiguous_too=not self.holds,
            on_warning=(lambda _: None) if quiet else warn,
        )

    def _events(self) -> EventSettings:
        return EventSettings(
            since=self.since,
            until=self.until,
            timezone=self.timezone,
            id_property=self.id_property or "",
            owners=self.owners,
        )

    def with_window(self, before: Wanted | None = None) -> Wanted:
        """The same, with the window of events that was begun with: what is gone on with must be the same source."""
        if not self.is_calendar:
            return self
        if before is not None and before.is_calendar:
            return msgspec.structs.replace(self, since=self.since or before.since, until=self.until or before.until)
        since, until = self._events().window()
        return msgspec.structs.replace(self, since=since, until=until)

    async def prepare(self, client: MeetingsClient) -> None:
        """See to it that the property is there by which records are known. Raises: HubSpotError."""
        name = self.id_property or self.key_property
        if name is None:
            return
        if self.create_property:
            await client.properties.ensure_key_property(name)
        elif self.is_calendar:
            if name not in await client.properties.all():
                raise ConfigurationError(
                    f"meetings have no property {name!r}, in which a calendar's UIDs are kept: add --create-property "
                    "to have it made, or name another unique one with --id-property"
                )
            await client.properties.need_key(name)

    def attendees(self, client: MeetingsClient) -> Attendees | None:
        """Who links a calendar's people, where they are to be linked."""
        if not self.is_calendar or not self.link_attendees:
            return None
        return Attendees(client, id_property=self.id_property or "")

    def inputs(self) -> Inputs:
        """How records become inputs of the call."""
        match self.operation:
            case "create":
                return Inputs.create(key_property=self.key_property)
            case "update":
                return Inputs.update(id_property=self.id_property)
            case "upsert":
                return Inputs.upsert(id_property=self.id_property or "")
            case "archive":
                return Inputs.archive()

    def client(self) -> MeetingsClient:
        """A client with the token of the environment. Raises: ConfigurationError when there is none."""
        return MeetingsClient.from_env(
            base_url=self.base_url,
            api_version=self.api_version,
            limits=Limits(per_ten_seconds=self.limit) if self.limit is not None else None,
        )

    def start(self, client: MeetingsClient, items: Items, journal: Path | None) -> Run[Record]:
        """Begin the run."""
        options: WriteOptions = {
            "workers": self.workers,
            "wait_for_reset": self.wait_for_reset,
            "delivery_timeout_s": self.delivery_timeout_s,
        }
        if journal is not None:
            options |= {"journal": journal, "durability": self.durability, "about": self.meta()}
        match self.operation:
            case "create":
                return client.bulk.create(
                    items,
                    key_property=self.key_property,
                    on_ambiguous=self.on_ambiguous,
                    verify=cast("Literal['values'] | None", self.verify),
                    **options,
                )
            case "update":
                return client.bulk.update(items, id_property=self.id_property, verify=self.verify, **options)
            case "upsert":
                return client.bulk.upsert(items, id_property=self.id_property or "", verify=self.verify, **options)
            case "archive":
                return client.bulk.archive(items, **options)
