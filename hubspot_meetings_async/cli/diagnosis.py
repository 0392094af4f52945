"""What may be wrong between here and HubSpot, looked at thing by thing, each with what to do about it.

This module knows what to try, and what an answer proves. It must not know output. It never holds the token.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime
from typing import Final, Literal, TypeVar
from urllib.parse import urlsplit

import msgspec

from ..client import TOKEN_VARIABLE, MeetingsClient
from ..errors import (
    ConfigurationError,
    DailyLimitExceeded,
    Forbidden,
    HubSpotError,
    NotFound,
    RequestRejected,
    TransportFailed,
    Unauthorized,
)
from ..models import AccountDetails
from ..properties.resource import MAX_UNIQUE
from ..version import __version__
from .asking import Connection, advised
from .dates import DatedGate
from .quota import Use, today

__all__ = ["Diagnosis", "Finding", "State", "diagnose"]

T = TypeVar("T")
State = Literal["ok", "note", "fails", "skipped"]

_READ_SCOPES: Final = ("crm.objects.contacts.read", "crm.objects.meetings.read")
_WRITE_SCOPES: Final = ("crm.objects.contacts.write", "crm.objects.meetings.write")
_SKEW_S: Final = 30.0
"""HubSpot's stamps are whole seconds, and answers take their time; what is below says nothing."""
_SCARCE: Final = 0.1
_HOME: Final = "https://api.hubapi.com"
_VERSION_LASTS_MONTHS: Final = 18
_V3_ENDS: Final = date(2027, 9, 1)
"""When HubSpot means to end its support of the API versions without a date."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was looked at. `fails`: what it is needed for will not work. `note`: good to know."""

    name: str
    state: State
    told: str
    do: str | None = None


class Diagnosis(msgspec.Struct, frozen=True, kw_only=True):
    """All findings; `ok` where nothing fails."""

    ok: bool
    findings: list[Finding]
    quota: Use | None = None


async def diagnose(connection: Connection, key_property: str | None) -> Diagnosis:
    """Look at everything. Raises: ConfigurationError for wrong options."""
    examination = _Examination(connection, key_property)
    await examination.run()
    findings = examination.findings
    return Diagnosis(ok=all(finding.state != "fails" for finding in findings), findings=findings, quota=examination.use)


class _Examination:
    """One look at everything, in the order in which one thing needs the other."""

    def __init__(self, connection: Connection, key_property: str | None) -> None:
        self._connection = connection
        self._key_property = key_property
        self.findings: list[Finding] = []
        self.use: Use | None = None

    def _found(self, name: str, state: State, told: str, do: str | None = None) -> None:
        self.findings.append(Finding(name=name, state=state, told=told, do=do))

    async def run(self) -> None:
        """Everything."""
        self._found("library", "ok", f"hubspot-meetings-async {__version__}, HubSpot's API {self._version()}")
        gate = DatedGate()
        try:
            MeetingsClient.from_env(base_url=_HOME)  # says what is wrong with the token, and with nothing else
        except ConfigurationError as error:
            self._found("token", "fails", str(error), "Nothing else can be looked at without a token.")
            return
        async with self._connection.client(limiter=gate) as client:
            if await self._reached(client):
                await self._scopes(client)
                await self._reads(client)
                await self._key(client)
                await self._limits(client)
                self._clock(gate.ahead_s)

    def _version(self) -> str:
        return self._connection.api_version.value

    # ---- the way there -------------------------------------------------------------------------------------------

    async def _reached(self, client: MeetingsClient) -> bool:
        """Whether there is more to look at: the host answers, and takes the token."""
        began_at = time.monotonic()
        host = urlsplit(self._connection.base_url).netloc
        try:
            details: AccountDetails | None = await client.account.details()
        except Unauthorized as error:
            self._reachable(host, began_at)
            self._found(
                "token",
                "fails",
                f"HubSpot refuses it: {error.message}",
                "Copy the access token of a private app, or a service key, into HUBSPOT_ACCESS_TOKEN; was it rotated?",
            )
            return False
        except RequestRejected as error:
            details = None
            if isinstance(error, NotFound):
                self._found("address", "fails", f"{host} does not know HubSpot's paths", "Check --base-url.")
                return False
            if isinstance(error, DailyLimitExceeded):
                self._reachable(host, began_at)
                self._found("today", "fails", str(error), "Go on when the account's day is over.")
                return False
        except TransportFailed as error:
            await self._unreachable(host, error)
            return False
        except HubSpotError as error:
            self._found("address", "fails", advised(error), "Is something else than HubSpot at this address?")
            return False
        self._reachable(host, began_at)
        self._token(details)
        self._api_version()
        return True

    def _reachable(self, host: str, began_at: float) -> None:
        via = " through the environment's proxy" if self._connection.trust_env and _proxies() else ""
        self._found("address", "ok", f"{host} answers{via}, in {(time.monotonic() - began_at) * 1000:,.0f} ms")

    async def _unreachable(self, host: str, error: TransportFailed) -> None:
        proxies = _proxies()
        do = "Check the network, the name and firewall rules for this host."
        if error.fatal:
            do = "The certificate is not trusted: a proxy that opens TLS? Give its CA to MeetingsClient(ca_file=…)."
        elif self._connection.trust_env and proxies:
            do = f"Check the proxy in {proxies[0]}; without --trust-env the host is asked directly."
        elif proxies and await self._answers_through_the_proxy():
            do = (
                f"The proxy in {proxies[0]} gets through: add --trust-env here, and give trust_env=True or proxy=… to "
                "MeetingsClient."
            )
        self._found("address", "fails", error.message, do)

    async def _answers_through_the_proxy(self) -> bool:
        connection = msgspec.structs.replace(self._connection, trust_env=True)
        async with connection.client() as client:
            try:
                await client.account.details()
            except TransportFailed:
                return False
            except HubSpotError:
                return True
            return True

    def _token(self, details: AccountDetails | None) -> None:
        kind = (
            "a private app's or a service key" if _token().startswith("pat-") else "one that does not begin with pat-"
        )
        if details is None:
            self._found("token", "ok", f"HubSpot takes it ({kind}); of which account it does not tell")
            return
        account = f"account {details.portal_id}" if details.portal_id is not None else "an account without a number"
        words = ", ".join(filter(None, (details.account_type, details.time_zone, details.data_hosting_location)))
        self._found("token", "ok", f"HubSpot takes it ({kind}), for {account}" + (f" ({words})" if words else ""))

    def _api_version(self) -> None:
        version = self._version()
        if version == "v3":
            ends = _V3_ENDS
        else:
            year, month = (int(part) for part in version.split("-"))
            months = year * 12 + month - 1 + _VERSION_LASTS_MONTHS
            ends = date(months // 12, months % 12 + 1, 1)
        over = datetime.now(UTC).date() >= ends
        self._found(
            "API version",
            "note" if over else "ok",
            f"{version}, {'not ' if over else ''}supported {'since' if over else 'until'} {ends:%B %Y}",
            "Choose a newer one with --api-version." if over else None,
        )

    # ---- what the token may do -----------------------------------------------------------------------------------

    async def _scopes(self, client: MeetingsClient) -> None:
        try:
            info = await client.private_app_token_info(_token())
        except HubSpotError:
            self._found(
                "scopes", "skipped", "HubSpot tells them of private apps' tokens only; what can be read is tried"
            )
            return
        told = ", ".join(info.scopes) or "none"
        if any(scope in info.scopes for scope in _WRITE_SCOPES):
            self._found("scopes", "ok", told)
        else:
            self._found(
                "scopes",
                "note",
                f"none that writes meetings: {told}",
                f"To create or change meetings, give the app {_WRITE_SCOPES[0]}.",
            )

    async def _reads(self, client: MeetingsClient) -> None:
        async def meetings() -> object:
            return await anext(client.meetings.list(limit=1).pages())

        await self._try("meetings", meetings, "can be read", "fails")
        await self._try("meeting links", client.scheduler.links(limit=1).total, "can be read", "note")

    async def _try(self, name: str, read: Callable[[], Awaitable[T]], fine: str, otherwise: State) -> T | None:
        try:
            value = await read()
        except Forbidden as error:
            needed = error.scopes or _READ_SCOPES
            self._found(name, otherwise, "the token may not read them", f"Give the app the scope {needed[0]}.")
        except HubSpotError as error:
            self._found(name, "fails", advised(error))
        else:
            self._found(name, "ok", fine)
            return value
        return None

    async def _key(self, client: MeetingsClient) -> None:
        try:
            definitions = await client.properties.all()
        except Forbidden as error:
            needed = error.scopes or _READ_SCOPES
            self._found("key property", "fails", "the token may not read definitions", f"Give the app {needed[0]}.")
            return
        except HubSpotError as error:
            self._found("key property", "fails", advised(error))
            return
        unique = [one.name for one in definitions.values() if one.has_unique_value and not one.hubspot_defined]
        name = self._key_property
        make = f"await hubspot.properties.ensure_key_property({name or 'booking_ref'!r})"
        if name is not None:
            try:
                await client.properties.need_key(name)
            except ConfigurationError as error:
                if name in definitions:
                    self._found("key property", "fails", str(error))
                else:
                    self._found("key property", "fails", f"meetings have no property {name!r}", f"In Python: {make}")
            else:
                self._found("key property", "ok", f"{name} is there, unique and writable")
        elif unique:
            self._found("key property", "ok", f"{', '.join(unique)} ({len(unique)} of {MAX_UNIQUE} unique properties)")
        else:
            self._found(
                "key property",
                "note",
                "meetings have no unique property of the account's own; a create whose answer is lost stays in doubt",
                f"In Python: {make}",
            )

    # ---- limits and clocks ---------------------------------------------------------------------------------------

    async def _limits(self, client: MeetingsClient) -> None:
        with contextlib.suppress(HubSpotError):  # not for every kind of token; headers tell most of it
            await client.account.daily_usage()
        use = self.use = Use.of(client.quota)
        scarce = use.left < use.limit * _SCARCE
        self._found(
            "ten seconds",
            "note" if scarce else "ok",
            f"{use.used:,} used, {use.left:,} left of {use.limit:,} in any {use.window_s:g} s",
            "Other programs use this app's quota; give this one an app of its own." if scarce else None,
        )
        left, limit = use.left_today, use.daily_limit
        few = left is not None and limit is not None and left < limit * _SCARCE
        state: State = "skipped" if left is None else "fails" if left == 0 else "note" if few else "ok"
        anew = f", anew at {use.resets_at:%Y-%m-%d %H:%M} UTC" if use.resets_at is not None else ""
        self._found("today", state, today(use) + anew, "Bulk runs leave the last tenth to people." if few else None)

    def _clock(self, ahead_s: float | None) -> None:
        if ahead_s is None:
            self._found("clock", "skipped", "the answers carried no date")
        elif abs(ahead_s) < _SKEW_S:
            self._found("clock", "ok", "agrees with HubSpot's")
        else:
            way = "behind" if ahead_s > 0 else "ahead of"
            self._found(
                "clock",
                "note",
                f"this machine's is {_span(abs(ahead_s))} {way} HubSpot's",
                "Set it (NTP): webhooks more than 5 minutes off are refused, and --since today is another day.",
            )


def _span(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:,.0f} min"


def _token() -> str:
    return os.environ.get(TOKEN_VARIABLE, "").strip()


def _proxies() -> list[str]:
    """Names of the variables that set a proxy; their values may hold passwords."""
    return [name for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy") if os.environ.get(name)]
