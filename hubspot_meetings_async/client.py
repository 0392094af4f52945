"""`MeetingsClient`, the face: puts the rooms together.

This module knows which room needs which. It must not have a rule of its own.
"""

from __future__ import annotations

import ipaddress
import os
import random
import re
import ssl as ssl_module
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from .auth import Auth, Secret, StaticToken
from .bulk.doors import Bulk
from .caller import Caller
from .errors import ConfigurationError
from .limiter import Lane, Limiter, Limits, QuotaGate, QuotaStats, search_gate
from .meetings import Meetings
from .retry import RetryPolicy
from .transport import AiohttpTransport, Timeouts
from .version import __version__
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
        auth: where tokens come from, instead of `token`.
        base_url: HubSpot's address, or the emulator's. Plain `http://` is taken for loopback hosts only.
        api_version: `"v3"`, `"2026-03"` or `"2026-09"`.
        limits: what your plan allows (`PROFESSIONAL`, …), to begin with; HubSpot's answers correct it from the first
            one on. Without it, the smallest plan is assumed until then.
        limiter: a limiter of your own, or `NoLimit()`, instead of the built-in `QuotaGate`.
        retry: how often and how long to try again.
        timeout: time limits.
        ssl: a TLS context of your own, for example with your company's CA. Certificates are always checked.
        max_connections: connections open at once.
        max_response_bytes: an answer larger than this, counted after decompression, is refused.
        user_agent: put before the library's own.
        allow_insecure: take plain `http://` for any host; the token then travels in clear.

    Raises: ConfigurationError at once for a wrong value.
    """

    def __init__(
        self,
        token: str | Secret | None = None,
        *,
        auth: Auth | None = None,
        base_url: str = "https://api.hubapi.com",
        api_version: str = "v3",
        limits: Limits | None = None,
        limiter: Limiter | None = None,
        retry: RetryPolicy | None = None,
        timeout: Timeouts | None = None,
        ssl: ssl_module.SSLContext | None = None,
        max_connections: int = 128,
        max_response_bytes: int = 32 * 1024 * 1024,
        user_agent: str | None = None,
        allow_insecure: bool = False,
    ) -> None:
        if (token is None) == (auth is None):
            raise ConfigurationError("give MeetingsClient either a token or auth=, one of the two")
        if limits is not None and limiter is not None:
            raise ConfigurationError("give limits= or limiter=, not both: a limiter of your own has its own limits")
        _need("limits", limits, Limits, "Limits(…) or a plan such as PROFESSIONAL")
        _need("retry", retry, RetryPolicy, "RetryPolicy(attempts=…)")
        _need("timeout", timeout, Timeouts, "Timeouts(call_s=…)")
        _need_methods("auth", auth, "token", "renew")
        _need_methods("limiter", limiter, "slot", "stats", "saturated", "wait_estimate_s")
        _need_count("max_connections", max_connections)
        _need_count("max_response_bytes", max_response_bytes)
        _need_checking(ssl)
        self._gate: Limiter = limiter if limiter is not None else QuotaGate(limit=(limits or Limits()).per_ten_seconds)
        timeouts = timeout or Timeouts()
        self._transport = AiohttpTransport(
            base_url=_checked_url(base_url, allow_insecure=allow_insecure),
            headers={"User-Agent": _user_agent(user_agent)},
            timeouts=timeouts,
            max_connections=max_connections,
            max_response_bytes=max_response_bytes,
            ssl=ssl,
        )
        rng = random.Random()
        caller = Caller(
            transport=self._transport,
            auth=auth if auth is not None else StaticToken(token or ""),
            limiters={Quota.STANDARD: (self._gate,), Quota.SEARCH: (search_gate(limits), self._gate)},
            policy=retry or RetryPolicy(),
            call_s=timeouts.call_s,
            rng=rng,
        )
        self.meetings = Meetings(caller.lane(Lane.INTERACTIVE), api_version=api_version)
        """Single calls, lists and batches of the meetings object."""
        self.bulk = Bulk(
            Meetings(caller.lane(Lane.BULK), api_version=api_version), quota=self._limit_and_window, rng=rng
        )
        """Any number of records, one outcome each."""

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

    def __repr__(self) -> str:
        return f"<MeetingsClient {self._transport!r}>"

    @property
    def quota(self) -> QuotaStats:
        """One look at the quota: limit, use, who waits, what is left today."""
        return self._gate.stats()

    def _limit_and_window(self) -> tuple[int, float]:
        stats = self._gate.stats()
        return stats.limit, stats.window_s

    async def aclose(self) -> None:
        """Close all connections. The client can not be used again."""
        await self._transport.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


def _need(name: str, value: object, kind: type, example: str) -> None:
    if value is not None and not isinstance(value, kind):
        raise ConfigurationError(f"{name} takes {example}, not {value!r}")


def _need_methods(name: str, value: object, *methods: str) -> None:
    missing = [method for method in methods if not callable(getattr(value, method, None))]
    if value is not None and missing:
        raise ConfigurationError(f"{name} must have the methods {', '.join(methods)}; {missing[0]}() is missing")


def _need_count(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigurationError(f"{name} must be a whole number, at least 1, not {value!r}")


def _need_checking(context: object) -> None:
    if context is None:
        return
    if not isinstance(context, ssl_module.SSLContext):
        raise ConfigurationError(f"ssl takes an ssl.SSLContext, not {context!r}; certificates are always checked")
    if context.verify_mode is not ssl_module.CERT_REQUIRED or not context.check_hostname:
        raise ConfigurationError(
            "ssl: this context does not check certificates; begin with ssl.create_default_context(cafile=…) for a CA "
            "of your own"
        )


_URL = re.compile(r"https?://[\x21-\x7e]+", re.IGNORECASE)


def _checked_url(base_url: object, *, allow_insecure: bool) -> str:
    # What may hold a password is not repeated.
    shown = "one with a name or password in it" if "@" in str(base_url) else repr(base_url)
    wrong = ConfigurationError(f"base_url must look like https://api.hubapi.com, not {shown}")
    if not isinstance(base_url, str) or not _URL.fullmatch(base_url) or any(sign in base_url for sign in "@?#\\"):
        raise wrong
    try:
        parts = urlsplit(base_url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise wrong from None
    if not host:
        raise wrong
    if parts.scheme == "http" and not _is_loopback(host) and not allow_insecure:
        raise ConfigurationError(
            f"base_url {base_url!r} would send the token in clear; use https://, or allow_insecure=True if you mean it"
        )
    return base_url


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _user_agent(prefix: object) -> str:
    if prefix is not None and not (isinstance(prefix, str) and prefix.isascii() and prefix.isprintable()):
        raise ConfigurationError("user_agent must be printable ASCII on one line")
    own = f"hubspot-meetings-async/{__version__}"
    return f"{prefix} {own}" if prefix else own
