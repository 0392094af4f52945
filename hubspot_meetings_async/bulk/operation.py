"""What a run does with its batches.

This module knows the parts that make an operation. It must not know tasks, HTTP, or how a run goes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from enum import Enum
from typing import Any, Literal, Protocol

import msgspec
from msgspec import Struct

from ..inputs import Inputs
from ..meetings.certainty import SETTLE_S
from ..meetings.lookup import Found
from ..models import BatchResponse
from ..wire import Trail

__all__ = ["Doubt", "Find", "Operation", "ReadBack", "Verify"]

Verify = Literal["final", "values"]
"""`"values"`: each batch is read back once it is written, and outcomes say what is stored otherwise. `"final"`: at the
end of the run, records that were sent again after a lost answer are read, and those that hold other values than the
last ones sent are sent once more."""


class Doubt(Enum):
    """What is done about records that left in a request whose answer was lost."""

    REPEAT = "repeat"
    """They are sent again: twice has the effect of once (or, for creates, the caller wants it so)."""
    HOLD = "hold"
    """Nothing; they are named as ambiguous."""
    FIND = "find"
    """They are looked for by key, and the missing ones sent again."""


class Find(Protocol):
    """Looks for meetings by keys (up to 100)."""

    async def __call__(self, keys: Sequence[str], *, properties: Sequence[str], trail: Trail) -> Found: ...


class ReadBack(Protocol):
    """Reads meetings by their ids (up to 100) with these properties."""

    async def __call__(self, ids: Sequence[str], properties: Sequence[str]) -> BatchResponse[Any]: ...


class Operation(Struct, frozen=True, kw_only=True):
    """A batch call, and what a run needs to know about it.

    `send` carries one encoded batch out and answers it (None: 204). Where `whole` is given, the decoder of all of an
    answer, `send` takes a `decoder=` that reads less of it. `begin` is awaited before the first record is
    taken. `into`: the Struct for properties that are read. `doubt` says what follows a lost answer, after `settle_s`
    seconds; `find` looks for keys then. `patience_s` is left to a late request before a record is given up as poison.
    `unique_keys`: a key may come once in a run. `key_is_unique`: HubSpot refuses a second record of a key.
    `accept_existing`: a record whose key was taken before the run counts as done. `split_refused`: a batch refused as a
    whole is halved until the culprits stand alone. `read_back` serves `verify`. `quota` tells the limit in force and
    its window in seconds (0: none).
    """

    name: str
    inputs: Inputs
    send: Callable[..., Awaitable[BatchResponse[Any] | Any | None]]
    whole: msgspec.json.Decoder[BatchResponse[Any]] | None = None
    begin: Callable[[], Awaitable[None]] | None = None
    id_property: str | None = None
    into: type[Struct] | None = None
    doubt: Doubt = Doubt.REPEAT
    find: Find | None = None
    settle_s: float = 0.0
    patience_s: float = SETTLE_S
    unique_keys: bool = False
    key_is_unique: bool = False
    accept_existing: bool = True
    split_refused: bool = True
    verify: Verify | None = None
    read_back: ReadBack | None = None
    quota: Callable[[], tuple[int, float]] = lambda: (0, 0.0)
