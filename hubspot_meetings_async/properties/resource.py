"""`/crm/…/properties`: the definitions of an account's meeting properties, kept for a while, and new ones.

This module knows paths, bodies and how long a definition is trusted. It must not know the transport, the limiter, or
how to sleep; it is given a `Call` and a clock.

HubSpot: https://developers.hubspot.com/docs/api-reference/latest/crm/properties/guide
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from types import MappingProxyType
from typing import Final, cast

import anyio
import msgspec

from ..errors import AmbiguousWriteError, ConfigurationError, Conflict, DeadlineExceeded, HubSpotError, shown
from ..models import NewOption, NewProperty, Page, PropertyDefinition
from ..versions import known_version
from ..wire import Call, Replay, Request, encode, segment
from .checks import check

__all__ = ["MAX_UNIQUE", "Properties", "check"]

Definitions = Mapping[str, PropertyDefinition]

MAX_UNIQUE: Final = 10
"""Unique properties an account may define for one object (HubSpot: properties guide)."""

_NAME = re.compile(r"(?!hs_)[a-z][a-z0-9_]{0,99}")
_FIELD_TYPES: Final = {
    "string": "text",
    "number": "number",
    "bool": "booleancheckbox",
    "date": "date",
    "datetime": "date",
    "enumeration": "select",
}
_USUAL_GROUP = "engagement"

_all = msgspec.json.Decoder(Page[PropertyDefinition])
_one = msgspec.json.Decoder(PropertyDefinition)


class Properties:
    """The properties that meetings have in this account (`hubspot.properties`).

    Definitions are read once and kept for `keep_s` seconds; any number of tasks that want them meanwhile share one
    request, and its failure. A property made elsewhere is seen after that time, or after `refresh()`.
    """

    def __init__(
        self,
        call: Call,
        *,
        api_version: str,
        keep_s: float = 300.0,
        clock: Callable[[], float] = anyio.current_time,
    ) -> None:
        v3 = known_version(api_version) == "v3"
        self._path = "/crm/v3/properties/meetings" if v3 else f"/crm/properties/{api_version}/0-47"
        self._call = call
        self._keep_s = keep_s
        self._clock = clock
        self._known: Definitions = MappingProxyType({})
        self._known_at: float | None = None
        # Readings of all definitions are numbered, so that who waited for one can tell what became of it.
        self._begun = self._ended = self._succeeded = 0
        self._failure: tuple[int, HubSpotError] | None = None
        # Readings up to this one may lack what `create` made.
        self._outdated = 0

    @cached_property
    def _lock(self) -> anyio.Lock:
        # Made when it is needed: it alone would make the import of a client import anyio's synchronization.
        return anyio.Lock()

    async def all(self) -> Definitions:
        """All definitions by name (`GET …/properties/…`), in HubSpot's order; archived ones are left out."""
        if self._known_at is not None and self._clock() - self._known_at < self._keep_s:
            return self._known
        # A reading that is on its way will do; one that ended is too old.
        return await self._read_after(max(self._ended, self._outdated))

    async def refresh(self) -> Definitions:
        """All definitions as they are now, whatever was known."""
        return await self._read_after(self._begun)

    async def get(self, name: str) -> PropertyDefinition:
        """One definition: the kept one, or if it is not known, HubSpot's (`GET …/properties/…/{propertyName}`).

        Raises: NotFound.
        """
        path = f"{self._path}/{segment(name, what='property name', digits=False)}"
        known = (await self.all()).get(name)
        return known if known is not None else await self._call(Request(method="GET", path=path, decoder=_one))

    async def create(
        self,
        name: str,
        *,
        label: str | None = None,
        type: str = "string",
        field_type: str | None = None,
        group_name: str | None = None,
        description: str = "",
        options: Iterable[str] | Mapping[str, str] = (),
        has_unique_value: bool = False,
    ) -> PropertyDefinition:
        """Give meetings a property of your own (`POST …/properties/…`).

        `has_unique_value` can be set here and never later; an account may have 10 such properties for meetings.
        `options` are the values of an enumeration, or a mapping of values to labels. `field_type` is the usual one of
        the type, `group_name` that of the meeting's title. Not repeated when the answer is lost: `refresh()` and look.

        Raises: AmbiguousWriteError; Conflict when there is one of this name; ConfigurationError for a name that can
        not be (HubSpot: lower-case letters, digits and `_`, a letter first, not `hs_…`).
        """
        _need_name(name)
        if type not in _FIELD_TYPES:
            raise ConfigurationError(f"type must be one of {', '.join(_FIELD_TYPES)}, not {type!r}")
        body = NewProperty(
            name=name,
            label=label or name,
            type=type,
            field_type=field_type or _FIELD_TYPES[type],
            group_name=group_name or await self._group(),
            description=description,
            options=_options(options),
            has_unique_value=has_unique_value,
        )
        made = await self._call(
            Request(method="POST", path=self._path, body=encode(body), decoder=_one, replay=Replay.IF_NOT_DONE)
        )
        self._known_at, self._outdated = None, self._begun
        return made

    async def ensure_key_property(self, name: str, *, label: str | None = None) -> PropertyDefinition:
        """See to it that meetings have a unique, writable string property of this name, for creates by key and upserts.

        Makes it if there is none; leaves one that is there untouched. May be called at every start, by many processes
        at once.

        Raises: ConfigurationError when it is there and not fit (a property can not be made unique later), or when the
        account has 10 unique properties already.
        """
        _need_name(name)
        known = (await self.all()).get(name) or (await self.refresh()).get(name)
        if known is not None:
            return _fit(known)
        taken = [each.name for each in self._known.values() if each.has_unique_value and not each.hubspot_defined]
        if len(taken) >= MAX_UNIQUE:
            raise ConfigurationError(
                f"meetings have {len(taken)} unique properties, and HubSpot allows {MAX_UNIQUE}; use one of them or "
                f"delete one: {', '.join(taken)}"
            )
        try:
            made = await self.create(name, label=label, has_unique_value=True)
        except (AmbiguousWriteError, Conflict):
            # It may be there: made by this call, or by another process meanwhile.
            found = (await self.refresh()).get(name)
            if found is None:
                raise
            return _fit(found)
        return _fit(made)

    async def need_key(self, name: str) -> PropertyDefinition:
        """The definition of a property that creates by key may rely on: there, unique and writable.

        Raises: ConfigurationError when it is not; nobody but HubSpot's own uniqueness keeps a second copy out.
        """
        known = (await self.all()).get(name) or (await self.refresh()).get(name)
        if known is None:
            raise ConfigurationError(
                f"meetings have no property {name!r}; `await hubspot.properties.ensure_key_property({name!r})` makes it"
            )
        return _fit(known, any_type=True)

    async def _group(self) -> str:
        """The group that the account's meeting properties are in."""
        known = await self.all()
        title = known.get("hs_meeting_title")
        return (title.group_name if title is not None else None) or _USUAL_GROUP

    async def _read_after(self, number: int) -> Definitions:
        """Definitions of a reading that began after reading `number`: one that others began, or a new one."""
        async with self._lock:
            if self._succeeded > number:
                return self._known
            if self._failure is not None and self._failure[0] > number:
                raise _again(self._failure[1])
            self._begun += 1
            try:
                page = await self._call(Request(method="GET", path=self._path, decoder=_all))
            except HubSpotError as error:
                if not isinstance(error, DeadlineExceeded):  # that of this call, and no reason why others should fail
                    self._failure = (self._begun, error)
                raise
            finally:
                self._ended = self._begun
            self._known = MappingProxyType({definition.name: definition for definition in page.results})
            self._succeeded = self._begun
            self._known_at = self._clock() if self._begun > self._outdated else None
            return self._known


def _again(error: HubSpotError) -> HubSpotError:
    """A copy of an error, so that tasks that share a failure do not share a traceback."""
    rebuild, arguments = error.__reduce__()
    copy: HubSpotError = rebuild(*arguments)
    copy.__cause__ = error
    return copy


def _options(given: Iterable[str] | Mapping[str, str]) -> tuple[NewOption, ...]:
    if isinstance(given, str):
        raise ConfigurationError(f"options are a list of values, not the string {given!r}")
    labels = cast("Mapping[str, str]", given) if isinstance(given, Mapping) else {value: value for value in given}
    return tuple(
        NewOption(label=label, value=value, display_order=order) for order, (value, label) in enumerate(labels.items())
    )


def _need_name(name: object) -> None:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ConfigurationError(
            f"a property's name is lower-case letters, digits and _, a letter first, 1-100 of them, and does not begin "
            f"with hs_; not {shown(name)}"
        )


def _fit(definition: PropertyDefinition, *, any_type: bool = False) -> PropertyDefinition:
    """The definition, if records can be told apart by it. Raises: ConfigurationError."""
    name, instead = definition.name, "choose another name for the key property"
    if not definition.has_unique_value:
        raise ConfigurationError(
            f"property {name!r} is there and not unique, and HubSpot makes a property unique at its creation only; "
            f"{instead}"
        )
    if definition.type != "string" and not any_type:
        raise ConfigurationError(f"property {name!r} is there as a {definition.type}, not as a string; {instead}")
    if not definition.writable:
        raise ConfigurationError(f"property {name!r} is there and can not be written; {instead}")
    return definition
