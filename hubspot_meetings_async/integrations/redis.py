"""Redis: one quota for all processes that use the same app in the same account.

    async with RedisQuota("redis://localhost:6379/0", account="1234567") as quota:
        async with MeetingsClient(token, limiter=quota) as hubspot: ...

This module knows Redis, its errors, and the script that keeps the slots. It must not know how calls queue in a process.
It needs the extra `redis`, and a Redis (or Valkey) server from version 5 on.

Redis: https://redis.io/docs/latest/develop/programmability/eval-intro/
"""

from __future__ import annotations

import asyncio
import inspect
import re
import secrets
from collections.abc import Callable
from hashlib import sha1
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Protocol, Self, cast

import msgspec

try:
    from redis.asyncio import Redis
    from redis.exceptions import (
        AuthenticationError,
        AuthorizationError,
        NoPermissionError,
        NoScriptError,
        RedisError,
    )
except ImportError as missing:
    raise ImportError(
        f"this needs redis-py ({missing.name} is missing): pip install 'hubspot-meetings-async[redis]'"
    ) from None

from ..errors import ConfigurationError
from ..limiter import Limits, QuotaGate
from ..limiter.published import SECONDLY, TEN_SECONDLY
from ..limiter.store import Granted, Message, StoreAway

__all__ = ["RedisQuota", "RedisSlots"]

_SCRIPT: Final = Path(__file__).with_name("redis_slots.lua").read_text("utf-8")
_DIGEST: Final = sha1(_SCRIPT.encode(), usedforsecurity=False).hexdigest()
_KEYS: Final = ("state", "processes", "interactive", "bulk", "refused", "interactive-waits", "bulk-waits")
_NAME: Final = re.compile(r"[\w.:@-]{1,100}", re.ASCII)
_TOKEN: Final = re.compile(r"pat-|ey[JA]|C[A-Z]\w{20,}")
_REFUSALS: Final = (AuthenticationError, AuthorizationError, NoPermissionError)


class RedisClient(Protocol):
    """What is asked of a client of Redis; redis-py's asyncio `Redis` and `RedisCluster` have it."""

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """Send one command."""
        ...


class RedisSlots:
    """A `SlotStore` in Redis: one script that does everything, seven keys with one hash tag that expire by themselves.

    Args:
        redis: redis-py's asyncio client.
        name: what the keys begin with: `{name}:…`.
        timeout_s: a server that takes longer for an answer is away.
    """

    def __init__(self, redis: RedisClient, name: str, *, timeout_s: float) -> None:
        self._redis = redis
        self._keys = [f"{{{name}}}:{key}" for key in _KEYS]
        self._timeout_s = timeout_s
        self._encode = msgspec.json.Encoder().encode
        self._known = False

    async def exchange(self, message: Message) -> Granted:
        """Run the script.

        Raises: StoreAway for whatever may pass; ConfigurationError where the server refuses us from the start.
        """
        try:
            async with asyncio.timeout(self._timeout_s):
                reply = await self._run(self._encode(message), secrets.token_hex(8))
        except TimeoutError:
            raise StoreAway(f"no answer in {self._timeout_s:g} s") from None
        except _REFUSALS as refused:
            if self._known:
                raise StoreAway(str(refused)) from refused
            raise ConfigurationError(
                f"Redis refuses this client: {refused}. It needs a user that may run EVAL and EVALSHA on "
                f"{self._keys[0]} and the keys beside it"
            ) from refused
        except (RedisError, OSError) as away:
            raise StoreAway(str(away) or type(away).__name__) from away
        self._known = True
        return _granted(reply)

    async def _run(self, payload: bytes, epoch: str) -> list[Any]:
        arguments = (len(self._keys), *self._keys, payload, epoch)
        try:
            reply = await self._redis.execute_command("EVALSHA", _DIGEST, *arguments)
        except NoScriptError:
            reply = await self._redis.execute_command("EVAL", _SCRIPT, *arguments)
        return cast("list[Any]", reply)


def _granted(reply: list[Any]) -> Granted:
    code, epoch, at, wait_us, in_use, processes, waiting, limit, hold, paused_us, young_us = reply
    return Granted(
        granted=code == 1,
        unknown=code == -1,
        epoch=epoch.decode() if isinstance(epoch, bytes) else epoch,
        at=at,
        wait_us=wait_us,
        in_use=in_use,
        processes=processes,
        waiting=waiting,
        limit=limit or None,
        hold=hold,
        paused_us=paused_us,
        young_us=young_us,
    )


class RedisQuota(QuotaGate):
    """A limiter for `MeetingsClient(limiter=…)` that shares the quota with every process that names the same account.

    Slots, lanes, the pace of bulk, what others use, and pauses after a 429 are common to all; the order of calls in a
    lane is each process' own. Redis' clock alone counts. While Redis is away, or lost its data, calls go on: each
    process keeps to the part of the limit it used lately. A process that dies frees its slots within 15 seconds and a
    window. The day's calls are learned from HubSpot's answers by each process.

    It belongs to one event loop, as the client does. Calls in flight cost a round trip to Redis each, and one more
    where nobody waits.

    Args:
        redis: address (`redis://`, `rediss://`, `unix://`), or a client of redis-py's asyncio (`Redis`,
            `RedisCluster`), which stays yours to close.
        account: names the account in Redis' keys: its portal id, or any name of your own. Never a token.
        app: names the app, where several private apps call the same account: each has a quota of its own, and they
            share the one of searches.
        limits: what your plan allows, to begin with; HubSpot's answers correct it.
        bulk_share: share of the slots that bulk keeps, when it wants them, under a flood of interactive calls.
        reserve: slots that bulk leaves free for interactive calls; each costs throughput.
        timeout_s: a Redis that takes longer for an answer is away.
        processes: how many share the quota, for a process that starts while Redis is away.

    Raises: ConfigurationError for a wrong value; on the first call, when Redis refuses the client.
    """

    __slots__ = ("_account", "_own", "search")

    def __init__(
        self,
        redis: str | RedisClient,
        *,
        account: str,
        app: str = "app",
        limits: Limits | None = None,
        bulk_share: float = 0.2,
        reserve: int = 0,
        timeout_s: float = 1.0,
        processes: int = 4,
    ) -> None:
        for word, value in (("account", account), ("app", app)):
            _check_name(word, value)
        if not 0 < timeout_s < 60:
            raise ConfigurationError("timeout_s must be a number of seconds above 0 and below 60")
        self._own = _connected(redis, timeout_s) if isinstance(redis, str) else None
        client = self._own if self._own is not None else _asynchronous(redis)
        self._account = account
        plan = limits or Limits()
        super().__init__(
            limit=plan.per_ten_seconds,
            bulk_share=bulk_share,
            reserve=reserve,
            store=RedisSlots(client, f"hubspot:{account}:{app}:{TEN_SECONDLY}", timeout_s=timeout_s),
            processes=processes,
        )
        self.search = QuotaGate(
            limit=plan.search_per_second,
            window_s=1.0,
            assumed=False,
            name=SECONDLY,
            bulk_share=bulk_share,
            store=RedisSlots(client, f"hubspot:{account}:{SECONDLY}", timeout_s=timeout_s),
            processes=processes,
        )
        """The gate of HubSpot's search endpoints, which all apps of the account share."""

    async def aclose(self) -> None:
        """Close the connections to Redis, unless they are yours. Slots in use come free by themselves."""
        if self._own is not None:
            await self._own.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"<RedisQuota {self._account} {super().__repr__()[1:-1]}>"


def _check_name(word: str, value: object) -> None:
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        # It may be a token, and is not repeated.
        raise ConfigurationError(f"{word} must be 1 to 100 letters, digits or signs of . : @ _ - (a portal id will do)")
    if _TOKEN.match(value):
        raise ConfigurationError(f"{word} looks like a token, and Redis' keys are no place for one; give a portal id")


def _connected(url: str, timeout_s: float) -> Redis:
    from_url = cast("Callable[..., Redis]", Redis.from_url)  # pyright: ignore[reportUnknownMemberType] - its **kwargs
    try:
        # Each exchange has a time limit of its own and is not worth a second try: a late slot is worse than none.
        return from_url(url, socket_connect_timeout=timeout_s, retry=None)
    except ValueError:
        # The address may hold a password, and is not repeated.
        raise ConfigurationError("the address of Redis must look like redis://localhost:6379/0") from None


def _asynchronous(redis: object) -> RedisClient:
    command = getattr(redis, "execute_command", None)
    if command is None or not inspect.iscoroutinefunction(command):
        raise ConfigurationError(
            f"RedisQuota takes an address such as redis://localhost:6379/0 or a client of redis.asyncio, "
            f"not {type(redis).__module__}.{type(redis).__name__}"
        )
    return cast("RedisClient", redis)
