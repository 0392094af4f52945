"""`hubspot-meetings book`: a time of a meeting link for somebody. HubSpot writes to all who take part."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

import msgspec
import typer

from ..client import MeetingsClient
from ..errors import AmbiguousWriteError, ConfigurationError, FormFieldMissing, NotFound, SlotTaken
from ..models import BookedMeeting, LinkSettings, Slot
from ..moments import Zone
from .asking import ApiVersion, BaseUrl, Connection, Json, TimeZone, TrustEnv, end
from .clocks import day_of, length, minutes, moment, person_zone
from .exits import BROKEN_OFF, DONE, SOME_LEFT, told
from .push import Version
from .showing import facts, for_programs, given, write
from .slots import as_json, unknown_link
from .terminal import command, say

__all__ = ["book"]

_NEAR: Final = 5
_LOOKED_AT: Final = timedelta(days=14)
_ASKED_ANYWAY: Final = ("firstname", "lastname", "email")


class _Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A booking as it was typed."""

    slug: str
    start: datetime
    first_name: str
    last_name: str
    email: str
    fields: dict[str, str]
    consents: tuple[str, ...]
    guests: tuple[str, ...]
    person: Zone


def book(
    slug: Annotated[str, typer.Argument(metavar="SLUG", help="The end of a meeting link: ada/intro.")],
    start: Annotated[str, typer.Option(metavar="WHEN", help="Begin: '2026-11-24 16:00', as `slots` shows it.")],
    email: Annotated[str, typer.Option(metavar="EMAIL", help="Of whom it is booked for.")],
    first_name: Annotated[str, typer.Option(metavar="NAME", help="Theirs.")],
    last_name: Annotated[str, typer.Option(metavar="NAME", help="Theirs.")],
    duration: Annotated[
        str | None, typer.Option(metavar="LENGTH", help="30 (minutes), 1h, 1h30m [default: the link's, if it has one].")
    ] = None,
    field: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="An answer to the link's form. May be repeated.")
    ] = None,
    consent: Annotated[
        list[str] | None, typer.Option(metavar="ID", help="A consent of the form that they gave. May be repeated.")
    ] = None,
    guest: Annotated[list[str] | None, typer.Option(metavar="EMAIL", help="Invite also. May be repeated.")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Book without asking.")] = False,
    timezone: TimeZone = None,
    json: Json = False,
    base_url: BaseUrl = "https://api.hubapi.com",
    api_version: ApiVersion = Version.v3,
    trust_env: TrustEnv = False,
) -> None:
    """Book a time of a meeting link: an event, e-mails to all, a contact and a meeting in HubSpot.

    It asks before it books; where nobody can be asked it wants --yes. A time that is taken is told with the free ones
    near it. It is never sent twice: when the answer is lost, it says where to look. Into a pipe, or with --json, it is
    one object: booked (HubSpot's answer, or null) and free (slots near a time that was taken). The token is read from
    HUBSPOT_ACCESS_TOKEN; it needs a write scope such as crm.objects.contacts.write.
    """
    connection = Connection(base_url=base_url, api_version=api_version, trust_env=trust_env)

    def work() -> int:
        if not yes and not sys.stdin.isatty():
            raise ConfigurationError(
                "nothing was booked: nobody is there to be asked, and HubSpot e-mails people; --yes"
            )
        person = person_zone(timezone)
        asked = _Asked(
            slug=slug,
            start=moment("--start", start, person),
            first_name=first_name,
            last_name=last_name,
            email=email,
            fields=_fields(field or ()),
            consents=tuple(consent or ()),
            guests=tuple(guest or ()),
            person=person,
        )
        long = None if duration is None else length("--duration", duration)
        # Not one `asyncio.run`: it keeps Ctrl-C from a question to the person.
        with asyncio.Runner() as runner:
            hubspot = connection.client()
            try:
                settled = runner.run(_settled(hubspot, asked, long))
                if not yes and not _agreed(asked, settled):
                    say("Nothing was booked.")
                    return SOME_LEFT
                return runner.run(_book(hubspot, asked, settled, json=json))
            finally:
                runner.run(hubspot.aclose())

    end("book", work)


def _fields(pairs: Sequence[str]) -> dict[str, str]:
    fields: dict[str, str] = {}
    for text in pairs:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise ConfigurationError(f"--field is written like --field company=Acme, not {text!r}")
        fields[name.strip()] = value
    return fields


async def _settled(hubspot: MeetingsClient, asked: _Asked, long: timedelta | None) -> timedelta:
    """The meeting's length; what the link's form would refuse is refused here, before anybody is asked."""
    try:
        found = await hubspot.scheduler.booking_information(asked.slug, timezone=asked.person.name)
    except NotFound as error:
        raise unknown_link(asked.slug) from error
    settings = found.custom_params
    _check_form(settings, asked)
    offered = settings.durations_s
    if long is None and len(offered) == 1:
        return timedelta(seconds=offered[0])
    if long is None or (offered and long.total_seconds() not in offered):
        listed = ", ".join(minutes(length_s) for length_s in offered)
        raise ConfigurationError(
            f"choose the length of the meeting with --duration: {asked.slug} has {listed or 'none'}"
        )
    return long


def _check_form(settings: LinkSettings, asked: _Asked) -> None:
    missing = [name for name in settings.required_fields if not (name in _ASKED_ANYWAY or asked.fields.get(name))]
    if missing:
        raise ConfigurationError(f"the form of {asked.slug} asks for {missing[0]}: add --field {missing[0]}=…")
    options = settings.legal_consent_options
    for box in (options.communication_consent_checkboxes or ()) if options is not None else ():
        if box.required and box.communication_type_id not in asked.consents:
            raise ConfigurationError(
                f"{asked.slug} wants a consent: if they gave it, add --consent {box.communication_type_id}"
                + (f" ({box.label})" if box.label else "")
            )


def _agreed(asked: _Asked, long: timedelta) -> bool:
    guests = f", with {', '.join(asked.guests)}" if asked.guests else ""
    say(
        f"{asked.slug}: {_when(asked.start, long, asked.person)}, for {asked.first_name} {asked.last_name} "
        f"<{asked.email}>{guests}."
    )
    # Not typer's prompt: it writes to stdout, too.
    sys.stderr.write("HubSpot will e-mail everybody. Book it? [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _when(start: datetime, long: timedelta, person: Zone) -> str:
    ends = (start.astimezone(UTC) + long).astimezone(person.tz)
    return f"{day_of(start)} {start:%H:%M}-{ends:%H:%M} {person.name}"


async def _book(hubspot: MeetingsClient, asked: _Asked, long: timedelta, *, json: bool) -> int:
    look = command("slots", asked.slug, "--from", f"{asked.start.astimezone(UTC):%Y-%m-%dT%H:%MZ}", "--limit", "1")
    try:
        booked = await hubspot.scheduler.book(
            asked.slug,
            first_name=asked.first_name,
            last_name=asked.last_name,
            email=asked.email,
            start=asked.start,
            duration=long,
            form_fields=asked.fields,
            legal_consents=dict.fromkeys(asked.consents, True),
            guest_emails=asked.guests,
            timezone=asked.person.name,
        )
    except SlotTaken:
        return await _taken(hubspot, asked, long, json=json)
    except FormFieldMissing as error:
        named = error.field or "a field"
        raise ConfigurationError(f"the form of {asked.slug} asks for {named}: add --field {named}=…") from error
    except AmbiguousWriteError as error:
        seen = error.__cause__ if isinstance(error.__cause__, Exception) else error
        say(f"hubspot-meetings book: {told(seen)}", style="red")
        say("It may have been booked, and was not sent again. It was not booked if this still shows the time:")
        say(f"    {look}", style="bold")
        return BROKEN_OFF
    except asyncio.CancelledError:
        say("It was on its way, and may be booked. It was not booked if this still shows the time:")
        say(f"    {look}", style="bold")
        raise
    _show(booked, asked, long, json=json)
    return DONE


def _show(booked: BookedMeeting, asked: _Asked, long: timedelta, *, json: bool) -> None:
    if for_programs(json):
        write({"booked": given(booked), "free": []})
        return
    start = asked.start if booked.start_at is None else booked.start_at.astimezone(asked.person.tz)
    shown: Mapping[str, str | None] = {
        "booked": booked.subject or asked.slug,
        "when": _when(start, long, asked.person),
        "for": f"{asked.first_name} {asked.last_name} <{asked.email}>",
        "where": booked.location or booked.web_conference_url,
        "contact": booked.contact_id,
        "event": booked.calendar_event_id,
    }
    facts([(name, words) for name, words in shown.items() if words])


async def _taken(hubspot: MeetingsClient, asked: _Asked, long: timedelta, *, json: bool) -> int:
    """Say so, with what is free near it."""
    free: list[Slot] = []
    begin = max(asked.start - _LOOKED_AT, datetime.now(UTC))
    async for slot in hubspot.scheduler.availability(
        asked.slug, timezone=asked.person.name, duration=long, start=begin, end=max(asked.start, begin) + _LOOKED_AT
    ):
        free.append(slot)
    near = sorted(
        sorted(free, key=lambda slot: abs(slot.start_at - asked.start))[:_NEAR], key=lambda slot: slot.start_at
    )
    say(f"{asked.slug} is not free at {day_of(asked.start)} {asked.start:%H:%M} {asked.person.name}.", style="red")
    if for_programs(json):
        write({"booked": None, "free": [as_json(slot) for slot in near]})
    elif near:
        say("Free near it:")
        for slot in near:
            say(f"    {day_of(slot.start_at)} {slot.start_at:%H:%M}", style="bold")
    else:
        say(f"Nothing is free within {_LOOKED_AT.days} days of it; {command('slots', asked.slug)} shows what is.")
    return SOME_LEFT
