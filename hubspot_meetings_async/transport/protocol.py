"""What the caller needs of a transport, and the time limits it keeps.

This module knows words and shapes. It must not know sockets, or an HTTP library.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Protocol

from msgspec import Struct

from ..errors import ConfigurationError
from ..wire import Request, Response

__all__ = ["Timeouts", "Transport"]


class Timeouts(Struct, frozen=True, kw_only=True):
    """Time limits, all in seconds.

    `call_s` bounds a whole interactive call: waiting for quota, all attempts and the pauses between them (None = no
    bound; bulk runs have none); `hubspot.deadline(…)` bounds the calls of a block. `attempt_s` bounds one attempt from
    the first byte to the last; HubSpot's own edge gives up after 100 s. `connect_s` bounds getting a connection, TLS
    included; `read_s` the silence between two reads.
    """

    call_s: float | None = 120.0
    attempt_s: float = 60.0
    connect_s: float = 10.0
    read_s: float = 60.0

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if value is None and name == "call_s":
                continue
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < float("inf"):
                raise ConfigurationError(f"Timeouts: {name} must be a number of seconds above 0, not {value!r}")


class Transport(Protocol):
    """What the caller room needs of a transport."""

    def send(
        self,
        request: Request[Any],
        headers: Mapping[str, str],
        *,
        on_written: Callable[[], None],
        on_answered: Callable[[Mapping[str, str]], None],
    ) -> Coroutine[Any, Any, Response]:
        """Send once. `on_written` runs when the request's headers have left, `on_answered` when the answer's
        headers are here; both at once, in the loop. Raises TransportFailed or UnexpectedResponse."""
        ...

    async def aclose(self) -> None:
        """Close all connections."""
        ...
