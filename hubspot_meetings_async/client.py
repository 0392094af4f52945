"""`MeetingsClient`, the face: puts the rooms together.

This module knows which room needs which. It must not have a rule of its own.
"""

from __future__ import annotations

import os
import random
import ssl as ssl_module
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from types import TracebackType
from typing import Any, NoReturn, Self, cast

from .account import Account
from .associations.resource import Associations
from .auth.endpoints import private_app_token_info
from .auth.oauth import OAuth
from .auth.sources import Auth, Secret, StaticToken, TokenSource
from .bulk.doors import Bulk
from .bulk.events import OnRunEvent
from .calling.breaker import CircuitBreaker
from .calling.caller import Caller
from .calling.deadlines import Deadline
from .calling.retry import RetryBudget, RetryPolicy
from .contacts import Contacts
from .errors import ConfigurationError
from .limiter import Lane, Limiter, Limits, QuotaGate, QuotaStats, search_gate
from .meetings.certainty import OnAmbiguous
from .meetings.resource import Meetings
from .micro_batch.batcher import MAX_BYTES, MicroBatch
from .micro_batch.kinds import Kinds
from .models import PrivateAppTokenInfo
from .properties.resource import Properties
from .scheduler.calendar import Calendar
from .scheduler.resource import Scheduler
from .settings import (
    ClientCertificate,
    base_url_of,
    headers_of,
    need,
    need_count,
    need_methods,
    need_switch,
    proxy_of,
    refuse_hapikey,
    tls_of,
    user_agent_of,
)
from .sync import Sync
from .telemetry import OnAttempt
from .transport import AiohttpTransport, SharedSession, Timeouts
from .wire import Quota

__all__ = ["MeetingsClient"]

TOKEN_VARIABLE = "HUBSPOT_ACCESS_TOKEN"  # noqa: S105 - the name of a variable, not a token
BASE_URL_VARIABLE = "HUBSPOT_BASE_URL"


class MeetingsClient:
    """HubSpot's Meetings APIs, for one app in one account.

        async with MeetingsClient("pat-na1-…") as hubspot:
            meeting = await hubspot.meetings.get(501)

    One client serves a whole process: thousands of tasks may share it, and they share its quota. It belongs to the
    event loop it was first used on. Without `async with`, close it by `await hubspot.aclose()`.

    Args:
        token: the token of a private app, or a service key. Give this or `auth`.
        auth: where tokens come from, instead of `token`: an `OAuth`, any sync or async callable that returns a token
            (see `TokenSource`), or an `Auth` of your own.
        base_url: HubSpot's address, or the emulator's. Plain `http://` is taken for loopback hosts only.
        api_version: `"v3"`, `"2026-03"` or `"2026-09"`.
        limits: what your plan allows (`PROFESSIONAL`, …), to begin with; HubSpot's answers correct it from the first
            one on. Without it, the smallest plan is assumed until then.
        limiter: a limiter of your own, `NoLimit()`, or a `RedisQuota` that several processes share, instead of the
            built-in `QuotaGate`; it has its own `limits`. What it has as `search` is the limiter of searches.
        retry: how often and how long to try again.
        timeout: time limits.
        ssl: a TLS context of your own. Certificates are always checked. (Python's default context writes TLS keys to
            the file in `SSLKEYLOGFILE`, if the environment has it.)
        ca_file: a PEM file of certificates to trust beside the system's, instead of `ssl`.
        client_certificate: a PEM file, or a tuple `(certificate, key)` or `(certificate, key, password)`.
        proxy: `http://` or `https://` address of a proxy, `name:password@` included if it wants one. The TLS settings
            hold for an `https://` proxy too.
        proxy_headers: headers for the proxy alone.
        trust_env: take the proxy from the environment (`HTTPS_PROXY`, `NO_PROXY`, …) when `proxy` is not given.
            Nothing else is read from there.
        circuit_breaker: how soon to leave a HubSpot alone that is down; without it, every call tries.
        compress_responses: ask for gzip.
        compress_requests: send bodies from 1 KiB on as gzip. HubSpot documents nothing about it: try it before you rely
            on it. Byte counts in reports are those before compression.
        validate_responses: refuse answers that do not have the documented form. When False, a field of another form
            holds what came, whatever its type says, and a missing one None. Bulk runs always validate.
        session: an aiohttp session or connector whose connections to use: pool, TLS, name resolution are its own then.
            Its headers, cookies, time limits and proxy are not used, and it is never closed by this client.
        max_connections: connections open at once, 128 by default.
        max_response_bytes: an answer larger than this, counted after decompression, is refused.
        headers: sent with every request. Those the library sets itself, and those of the connection, are refused.
        user_agent: put before the library's own.
        allow_insecure: take plain `http://` for any host; the token then travels in clear.
        on_attempt: called in the loop with an `Attempt` after every try of every request.
        on_run_event: called in the loop with each `RunEvent` of bulk runs and micro-batches.

    Raises: ConfigurationError at once for a wrong value.
    """

    def __init__(
        self,
        token: str | Secret | None = None,
        *,
        auth: Auth | Callable[[], str | Secret | Awaitable[str | Secret]] | None = None,
        base_url: str = "https://api.hubapi.com",
        api_version: str = "v3",
        limits: Limits | None = None,
        limiter: Limiter | None = None,
        retry: RetryPolicy | None = None,
        timeout: Timeouts | None = None,
        ssl: ssl_module.SSLContext | None = None,
        ca_file: str | os.PathLike[str] | None = None,
        client_certificate: ClientCertificate | None = None,
        proxy: str | None = None,
        proxy_headers: Mapping[str, str] | None = None,
        trust_env: bool = False,
        circuit_breaker: CircuitBreaker | None = None,
        compress_responses: bool = True,
        compress_requests: bool = False,
        validate_responses: bool = True,
        session: SharedSession | None = None,
        max_connections: int | None = None,
        max_response_bytes: int = 32 * 1024 * 1024,
        headers: Mapping[str, str] | None = None,
        user_agent: str | None = None,
        allow_insecure: bool = False,
        on_attempt: OnAttempt | None = None,
        on_run_event: OnRunEvent | None = None,
        hapikey: None = None,
    ) -> None:
        if hapikey is not None:
            refuse_hapikey()
        if limits is not None and limiter is not None:
            raise ConfigurationError("give limits= or limiter=, not both: a limiter of your own has its own limits")
        need("limits", limits, Limits, "Limits(…) or a plan such as PROFESSIONAL")
        need("retry", retry, RetryPolicy, "RetryPolicy(attempts=…)")
        need("timeout", timeout, Timeouts, "Timeouts(call_s=…)")
        need("circuit_breaker", circuit_breaker, CircuitBreaker, "CircuitBreaker(failures=…, open_s=…)")
        need_methods("limiter", limiter, "slot", "stats", "saturated", "wait_estimate_s")
        need_count("max_response_bytes", max_response_bytes)
        need_switch(
            allow_insecure=allow_insecure,
            trust_env=trust_env,
            compress_responses=compress_responses,
            compress_requests=compress_requests,
            validate_responses=validate_responses,
        )
        if session is not None and any(
            setting is not None for setting in (ssl, ca_file, client_certificate, max_connections)
        ):
            raise ConfigurationError(
                "ssl=, ca_file=, client_certificate= and max_connections= are settings of a connector, and session= "
                "brings its own"
            )
        if max_connections is not None:
            need_count("max_connections", max_connections)
        source = _auth(token, auth)
        url = base_url_of(base_url, allow_insecure=allow_insecure)
        self._gate: Limiter = limiter if limiter is not None else QuotaGate(limit=(limits or Limits()).per_ten_seconds)
        searches: Limiter = getattr(limiter, "search", None) or search_gate(limits)
        timeouts = timeout or Timeouts()
        self._transport = AiohttpTransport(
            base_url=url,
            headers={**headers_of(headers), "User-Agent": user_agent_of(user_agent)},
            timeouts=timeouts,
            max_connections=max_connections or 128,
            max_response_bytes=max_response_bytes,
            ssl=tls_of(ssl, ca_file, client_certificate),
            proxy=proxy_of(proxy, proxy_headers, trust_env=trust_env, base_url=url),
            shared=session,
            compress_responses=compress_responses,
            compress_requests=compress_requests,
        )
        rng = random.Random()
        policy = retry or RetryPolicy()
        budget = RetryBudget(policy.tokens)
        calls = partial(
            Caller,
            transport=self._transport,
            auth=source,
            limiters={
                Quota.STANDARD: (self._gate,),
                Quota.SEARCH: (searches, self._gate),
                Quota.NONE: (),
            },
            policy=policy,
            budget=budget,
            rng=rng,
            breaker=circuit_breaker,
            on_attempt=on_attempt,
            base_url=url,
        )
        caller = calls(call_s=timeouts.call_s, validate=validate_responses)
        self._call = caller.lane(Lane.INTERACTIVE)
        self.properties = Properties(self._call, api_version=api_version)
        """Definitions of the account's meeting properties, kept for a while."""
        self.meetings = Meetings(
            self._call, api_version=api_version, properties=self.properties, call_s=timeouts.call_s
        )
        """Single calls, lists, searches and batches of the meetings object."""
        self.associations = Associations(self._call, api_version=api_version)
        """Links between meetings and other records; `associations.v3` has the calls of the v3 style."""
        self.scheduler = Scheduler(self._call, api_version=api_version)
        """Meeting links: booking information, free slots, bookings."""
        self.contacts = Contacts(self._call, api_version=api_version)
        """Who the people are that meetings are with."""
        self.calendar = Calendar(self._call, api_version=api_version)
        """Events in a user's calendar that are meetings too."""
        learn_daily = self._gate.learn_daily if isinstance(self._gate, QuotaGate) else None
        self.account = Account(self._call, api_version=api_version, learn_daily=learn_daily)
        """The account that the token belongs to, and its calls of the day."""
        self.bulk = Bulk(
            Meetings(caller.lane(Lane.BULK), api_version=api_version, properties=self.properties),
            properties=self.properties,
            account=self._host_and_portal,
            quota=self._limit_and_window,
            policy=policy,
            budget=budget,
            rng=rng,
            on_event=on_run_event,
        )
        """Any number of records, one outcome each."""
        bulk_call = caller.lane(Lane.BULK)
        self.sync = Sync(
            bulk_call,
            meetings=Meetings(bulk_call, api_version=api_version, properties=self.properties),
            associations=Associations(bulk_call, api_version=api_version),
            portal=self.account.portal,
            api_version=api_version,
        )
        """What changed since last time, and everything at once."""
        self._batched = Meetings(
            # Calls in a micro-batch have deadlines of their own, and each input is accounted for.
            calls(call_s=None, validate=True, heeds_deadlines=False).lane(Lane.INTERACTIVE),
            api_version=api_version,
            properties=self.properties,
        )
        self._micro_batch = partial(
            MicroBatch,
            call_s=timeouts.call_s,
            quota=self._gate.stats,
            wait_estimate_s=partial(self._gate.wait_estimate_s, Lane.INTERACTIVE),
            policy=policy,
            budget=budget,
            rng=rng,
            on_event=on_run_event,
        )
        self._host = url
        self._oauth = source if isinstance(source, OAuth) else None
        if self._oauth is not None:
            self._oauth.attach(self._call, api_version=api_version)

    @classmethod
    def from_env(cls, **options: Any) -> Self:
        """A client with the token from the environment variable `HUBSPOT_ACCESS_TOKEN`; options as for the class.

        `HUBSPOT_BASE_URL`, where it is set and `base_url` is not given, says where HubSpot is: a program is tried
        against the emulator without a change to it.

        Raises: ConfigurationError when there is no token.
        """
        token = os.environ.get(TOKEN_VARIABLE, "").strip()
        if not token:
            raise ConfigurationError(
                f"set the environment variable {TOKEN_VARIABLE} to the token of a private app or a service key "
                "(any word will do for the emulator)"
            )
        if base_url := os.environ.get(BASE_URL_VARIABLE, "").strip():
            options.setdefault("base_url", base_url)
        return cls(token, **options)

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a MeetingsClient holds connections and a token and cannot be pickled or copied; "
            "make one in each process, with the token read there (MeetingsClient.from_env())"
        )

    def __repr__(self) -> str:
        return f"<MeetingsClient {self._transport!r}>"

    def micro_batch(
        self,
        *,
        linger_s: float = 0.005,
        max_inputs: int = 100,
        max_bytes: int = MAX_BYTES,
        key_property: str | None = None,
        on_ambiguous: OnAmbiguous | None = None,
    ) -> MicroBatch:
        """Single calls of many tasks, sent together; open it with `async with` and share it.

            async with hubspot.micro_batch(key_property="booking_ref") as batch:
                meeting = await batch.create({"hs_meeting_title": "Kick-off", "booking_ref": "b-17"})

        `linger_s`: how long a call waits for others. `max_inputs` (1-100) and `max_bytes` of JSON fill a batch.
        `key_property` and `on_ambiguous` say what follows a create whose answer was lost, as for
        `hubspot.meetings.create` (there is no `"probe"`).

        Raises: ConfigurationError for options that make no sense or do not go together.
        """
        kinds = Kinds(self._batched, self.properties, key_property=key_property, on_ambiguous=on_ambiguous)
        return self._micro_batch(kinds, linger_s=linger_s, max_inputs=max_inputs, max_bytes=max_bytes)

    def deadline(self, seconds: float) -> Deadline:
        """So much time for all single calls of a block together, also in tasks that it starts.

            with hubspot.deadline(2.0):
                meeting = await hubspot.meetings.get(501)
                await hubspot.meetings.update(meeting.id, {"hs_meeting_outcome": "COMPLETED"})

        It covers waits for quota, repeats and pauses, transfer; searches, lists and micro-batched calls too. A call
        that can not be in time, since the queue for quota or the pause before the next try is longer than what is
        left, raises DeadlineExceeded at once and says how long that is (calls with more than a minute do not ask how
        long the queue is). A write that had left raises what it raises after a lost answer: AmbiguousWriteError where
        it is not safe to repeat. `Timeouts.call_s` goes on to bound each call. Bulk runs and sync are not bounded;
        their options are.

        Raises: ConfigurationError for what is no number of seconds above 0.
        """
        return Deadline(seconds)

    @property
    def quota(self) -> QuotaStats:
        """One look at the quota: limit, use, who waits, what is left today."""
        return self._gate.stats()

    async def private_app_token_info(self, token: str | Secret) -> PrivateAppTokenInfo:
        """Account, user, app and scopes of a private app's token; for OAuth there is `OAuth.introspect`.

        Raises: NotFound for a token that HubSpot does not know.
        """
        return await private_app_token_info(self._call, await StaticToken(token).token())

    def _limit_and_window(self) -> tuple[int, float]:
        stats = self._gate.stats()
        return stats.limit, stats.window_s

    async def _host_and_portal(self) -> tuple[str, str | None]:
        return self._host, await self.account.portal()

    async def aclose(self) -> None:
        """Close all connections, after a token refresh that is under way. The client can not be used again."""
        try:
            if self._oauth is not None:
                await self._oauth.detach(self._call)
        finally:
            await self._transport.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


def _auth(token: str | Secret | None, auth: object) -> Auth:
    if (token is None) == (auth is None):
        raise ConfigurationError("give MeetingsClient either a token or auth=, one of the two")
    if auth is None:
        return StaticToken(token or "")
    if isinstance(auth, (str, Secret)):
        raise ConfigurationError("auth takes an OAuth or a function that returns tokens; a token itself goes first")
    if callable(auth) and not hasattr(auth, "renew"):
        return TokenSource(cast("Callable[[], str | Secret | Awaitable[str | Secret]]", auth))
    need_methods("auth", auth, "token", "renew")
    return cast("Auth", auth)
