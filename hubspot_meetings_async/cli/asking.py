"""A question to HubSpot from the command line: options that reach it, one answer, or one line that says what is wrong.

This module knows how a question is put and how its failure is told. It must not know what is asked.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine
from typing import Annotated, Any, Final, NoReturn

import msgspec
import typer

from ..calling.retry import RetryPolicy
from ..client import MeetingsClient
from ..errors import (
    ConfigurationError,
    DailyLimitExceeded,
    Forbidden,
    HubSpotUnavailable,
    InvalidRecord,
    NotFound,
    RateLimited,
    TransportFailed,
    Unauthorized,
    printable,
)
from ..transport import Timeouts
from .exits import BROKEN_OFF, DONE, INTERRUPTED, USAGE, told
from .push import Version
from .terminal import say

__all__ = ["ApiVersion", "BaseUrl", "Connection", "Json", "Question", "TimeZone", "TrustEnv", "advised", "ask", "end"]

BaseUrl = Annotated[
    str, typer.Option(metavar="URL", envvar="HUBSPOT_BASE_URL", help="For the emulator: http://127.0.0.1:PORT.")
]
ApiVersion = Annotated[Version, typer.Option(help="Which paths of HubSpot's API to use.")]
TrustEnv = Annotated[
    bool, typer.Option("--trust-env", help="Go through the proxy of the environment (HTTPS_PROXY, NO_PROXY).")
]
Json = Annotated[
    bool, typer.Option("--json", help="Print JSON on a terminal, too; into a pipe or file it is JSON always.")
]
TimeZone = Annotated[
    str | None,
    typer.Option(metavar="ZONE", help="Zone of times, typed and shown [default: this machine's].", show_default=False),
]

# Somebody is waiting at the terminal.
_RETRY: Final = RetryPolicy(attempts=3, cap_s=2.0)
_TIMEOUTS: Final = Timeouts(call_s=60.0, attempt_s=20.0, connect_s=5.0, read_s=20.0)

Question = Callable[[MeetingsClient], Coroutine[Any, Any, int]]
"""Asks, shows the answer, and returns the exit code."""


class Connection(msgspec.Struct, frozen=True, kw_only=True):
    """How HubSpot is reached."""

    base_url: str
    api_version: Version
    trust_env: bool = False

    def client(self, **options: Any) -> MeetingsClient:
        """A client with the token of the environment. Raises: ConfigurationError."""
        known: dict[str, Any] = {"retry": _RETRY, "timeout": _TIMEOUTS, **options}
        return MeetingsClient.from_env(
            base_url=self.base_url, api_version=self.api_version.value, trust_env=self.trust_env, **known
        )


def ask(name: str, connection: Connection, question: Question) -> NoReturn:
    """Put a question, and end the command `name` with an exit code: its own, or that of what went wrong."""

    async def put() -> int:
        async with connection.client() as client:
            return await question(client)

    end(name, lambda: asyncio.run(put()))


def end(name: str, work: Callable[[], int]) -> NoReturn:
    """Do the work of the command `name`, and end it with an exit code: the work's, or that of what went wrong."""
    raise typer.Exit(_code(name, work))


def _code(name: str, work: Callable[[], int]) -> int:
    try:
        code = work()
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        if sys.stderr.isatty():
            say("")  # the line has ^C in it
        say("Stopped by you.", style="bold yellow")
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever reads has seen enough. The interpreter would complain when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except Exception as error:  # noqa: BLE001 - a person gets a line, never a traceback
        say(f"hubspot-meetings {name}: {advised(error)}", style="red")
        return USAGE if isinstance(error, (ConfigurationError, InvalidRecord)) else BROKEN_OFF


def advised(error: Exception) -> str:
    """What happened and what to do about it, in a line."""
    hint = _advice(error)
    return printable(told(error)) if hint is None else f"{printable(told(error))}. {hint}"


def _advice(error: Exception) -> str | None:
    match error:
        case Unauthorized():
            return "Put the access token of a private app, or a service key, into HUBSPOT_ACCESS_TOKEN."
        case Forbidden(scopes=(_, *_) as scopes):
            return f"Give the app one of these scopes in HubSpot: {', '.join(scopes)}."
        case Forbidden():
            return "Give the app the missing scope in HubSpot."
        case DailyLimitExceeded():
            return "The account's calls of today are spent; `hubspot-meetings quota` tells when they start anew."
        case RateLimited():
            return "Other programs use this app's quota; try again in ten seconds."
        case TransportFailed():
            return "`hubspot-meetings doctor` looks for what is wrong on the way."
        case HubSpotUnavailable():
            return "HubSpot has trouble of its own; try again in a minute."
        case NotFound():
            return "Check what was asked for, --base-url and --api-version."
        case _:
            return None
