"""Which batch call each operation uses, and what is done about its lost answers.

This module knows the kinds of calls that can travel together. It must not know tasks, queues, or how a batch goes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from ..bulk.operation import Doubt, Operation
from ..errors import ConfigurationError
from ..inputs import Inputs
from ..meetings.certainty import OnAmbiguous, mode_of
from ..meetings.resource import Meetings
from ..properties.resource import Properties
from ..wire import Replay
from .queues import Kind

__all__ = ["Kinds"]


class Kinds:
    """The kinds of calls of one client. Raises: ConfigurationError for options that do not go together."""

    def __init__(
        self,
        meetings: Meetings,
        properties: Properties,
        *,
        key_property: str | None,
        on_ambiguous: OnAmbiguous | None,
    ) -> None:
        if on_ambiguous == "probe":
            raise ConfigurationError(
                "on_ambiguous='probe' waits a minute for the search index; use hubspot.meetings.create or hubspot.bulk"
            )
        self._mode = mode_of(key_property, on_ambiguous)
        self._meetings = meetings
        self._properties = properties
        self._key_property = key_property
        self._create_inputs = Inputs.create(key_property=key_property)

    def of(self, operation: str, *options: Any) -> Kind:
        """By the name of the operation, with what tells its calls apart. Raises: ConfigurationError."""
        make: Callable[..., Kind] = getattr(self, operation)
        return make(*options)

    def create(self) -> Kind:
        """Creates, by the batcher's key property if it has one."""
        mode, key = self._mode, self._key_property
        reconciles = mode == "reconcile" and key is not None
        operation = Operation(
            name="create",
            inputs=self._create_inputs,
            send=partial(self._meetings.send_create, replay=Replay.IF_NOT_DONE if mode == "hold" else Replay.NOT_HERE),
            id_property=key,
            doubt=Doubt.HOLD if mode == "hold" else Doubt.REPEAT if mode == "resend" else Doubt.FIND,
            find=partial(self._meetings.lookup.by_unique, key) if reconciles and key is not None else None,
            key_is_unique=reconciles,
            accept_existing=False,
        )
        return Kind(operation, key_property=key, begin=self._need_key if reconciles else None)

    def update(self, id_property: str | None) -> Kind:
        """Updates by id, or by a unique property."""
        operation = Operation(
            name="update",
            inputs=Inputs.update(id_property=id_property),
            send=partial(self._meetings.send_update, replay=Replay.NOT_HERE),
            id_property=id_property,
        )
        return Kind(operation, key_property=id_property or "")

    def upsert(self, id_property: str) -> Kind:
        """Upserts by a unique property."""
        operation = Operation(
            name="upsert",
            inputs=Inputs.upsert(id_property=id_property),
            send=partial(self._meetings.send_upsert, replay=Replay.NOT_HERE),
            id_property=id_property,
            find=partial(self._meetings.lookup.by_unique, id_property),
        )
        return Kind(operation, key_property=id_property)

    def archive(self) -> Kind:
        """Archives by id."""
        operation = Operation(
            name="archive",
            inputs=Inputs.archive(),
            send=partial(self._meetings.send_archive, replay=Replay.NOT_HERE),
        )
        return Kind(operation, key_property="")

    def read(
        self,
        properties: Sequence[str],
        properties_with_history: Sequence[str],
        id_property: str | None,
        archived: bool,
    ) -> Kind:
        """Reads of the same properties."""
        if id_property is not None and id_property not in properties:
            # Asked for, it comes back with every result, and results can be told apart by it.
            properties = (*properties, id_property)
        operation = Operation(
            name="read",
            inputs=Inputs.read(
                properties=properties, properties_with_history=properties_with_history, id_property=id_property
            ),
            send=partial(self._meetings.send_read, archived=archived, replay=Replay.NOT_HERE),
            id_property=id_property,
        )
        return Kind(operation, key_property=None)

    async def _need_key(self) -> None:
        await self._properties.need_key(self._key_property or "")
