"""What the items of a source become on the wire: the inputs of HubSpot's batch calls.

This module knows which forms a record may have, and what each batch call takes. It must not know await, HTTP, files, or
where a batch ends. Every input is encoded once: what is sent later, also on a retry, is what the record held then.

HubSpot: https://developers.hubspot.com/docs/api-reference/crm-meetings-v3/guide (batch calls)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, cast

from msgspec import Struct

from .entries import Entry, Lot
from .errors import ConfigurationError, InvalidRecord, shown
from .lots import (
    MAX_DIGITS,
    MAX_KEY,
    ById,
    ByValue,
    Id,
    Lots,
    Plain,
    changes,
    is_id,
    is_plain,
    lots_by_id,
    lots_of_changes,
    lots_of_creates,
    lots_of_upserts,
)
from .models import Association, PropertyValue, property_values
from .wire import encode, encode_plain

__all__ = ["MAX_INPUTS", "MAX_INPUTS_WITH_HISTORY", "Inputs", "Record", "key_of"]

MAX_INPUTS = 100
"""Inputs of one batch call (HubSpot: "The maximum number of inputs supported in a batch is 100")."""

MAX_INPUTS_WITH_HISTORY = 50
"""Inputs of a batch read that asks for property histories."""


class Record(Struct, kw_only=True):
    """One record of a source, where a plain mapping of properties does not say enough.

    `id`: the meeting's id (update, archive, read), or the value of the unique property (upsert, or any call with
    `id_property`); when left out, the unique property's value is taken from `properties`. `associations`: links that a
    create sets. `object_write_trace_id`: unique in the run; made up when left out. `ref`: the caller's own mark, such
    as a line number; it is never sent, and comes back as `outcome.record.ref`.
    """

    properties: Mapping[str, PropertyValue] | Struct = {}
    id: str | int | None = None
    associations: Sequence[Association] = ()
    object_write_trace_id: str | None = None
    ref: Any = None


class _Input(Struct, rename="camel", omit_defaults=True):
    """An input of any batch call; each call uses the members it has."""

    id: str | None = None
    id_property: str | None = None
    properties: Mapping[str, Any] | None = None
    associations: Sequence[Any] | None = None
    object_write_trace_id: str | None = None


class _Parts(NamedTuple):
    """What a source's item says, whatever its form."""

    id: Any
    properties: Any
    associations: Any
    trace_id: str | None


_HUBSPOT_MEMBERS = frozenset(("id", "idProperty", "properties", "associations", "objectWriteTraceId"))


def _parts(item: object) -> _Parts:
    if isinstance(item, Record):
        return _Parts(item.id, item.properties, item.associations or None, item.object_write_trace_id)
    # `dict` stands beside Mapping for speed here: asking an abstract class costs more than encoding a property.
    if isinstance(item, (dict, Mapping)):
        mapping = cast("Mapping[str, Any]", item)
        properties = mapping.get("properties")
        if properties is None or not isinstance(properties, (dict, Mapping, Struct)):
            return _Parts(None, mapping, None, None)
        if not mapping.keys() <= _HUBSPOT_MEMBERS:
            unknown = ", ".join(sorted(str(name) for name in mapping.keys() - _HUBSPOT_MEMBERS))
            raise InvalidRecord(f"beside 'properties' there is {unknown}, which no batch input has")
        return _Parts(
            mapping.get("id"), cast("Any", properties), mapping.get("associations"), mapping.get("objectWriteTraceId")
        )
    if isinstance(item, Struct):
        return _Parts(None, item, None, None)
    raise InvalidRecord(
        f"a record is a mapping of properties, a Struct or a Record, not {_a(item)}; wrap what you have in one of them"
    )


def _a(item: object) -> str:
    return "None" if item is None else f"a {type(item).__name__}"


class Inputs(Struct, frozen=True, kw_only=True):
    """How the items of a source become inputs of one batch call.

    `prefix` is the body up to the inputs; `lots` takes usual items together, where that can be; `max_inputs` is
    HubSpot's ceiling for the call.
    """

    prefix: bytes
    entry: Callable[[int, object, str], Entry]
    lots: Lots | None = None
    max_inputs: int = MAX_INPUTS

    def body(self, entries: Iterable[Entry]) -> bytes:
        """The request body that holds these entries."""
        if isinstance(entries, Lot):
            return entries.body
        inputs = [entry.encoded for entry in entries]
        if not inputs:
            return self.prefix + b"]}"
        # The ends are tied to the first and the last one: joined once, and not copied twice more.
        inputs[0] = self.prefix + inputs[0]
        inputs[-1] += b"]}"
        return b",".join(inputs)

    @classmethod
    def create(cls, *, key_property: str | None = None) -> Inputs:
        """Inputs of `batch/create`: properties, associations, and always a trace id.

        With `key_property`, each record must have a value of that property, and is known by it.
        """
        if key_property is None:
            return cls(prefix=_PREFIX, entry=_create_entry, lots=lots_of_creates(None))
        if not key_property.strip():
            raise ConfigurationError("key_property is the name of a unique property, not an empty string")
        _check_id_property(key_property, "key_property")
        entry = partial(_create_by_key_entry, key_property)
        return cls(prefix=_PREFIX, entry=entry, lots=lots_of_creates(key_property))

    @classmethod
    def update(cls, *, id_property: str | None) -> Inputs:
        """Inputs of `batch/update`: by record id, or by the value of the unique property `id_property`."""
        _check_id_property(id_property)
        lots = lots_of_changes() if id_property is None else None
        return cls(prefix=_PREFIX, entry=partial(_update_entry, id_property), lots=lots)

    @classmethod
    def upsert(cls, *, id_property: str) -> Inputs:
        """Inputs of `batch/upsert`: by the value of the unique property `id_property`."""
        if not id_property:
            raise ConfigurationError("upsert needs id_property=, the name of a property with hasUniqueValue")
        _check_id_property(id_property)
        return cls(prefix=_PREFIX, entry=partial(_upsert_entry, id_property), lots=lots_of_upserts(id_property))

    @classmethod
    def archive(cls) -> Inputs:
        """Inputs of `batch/archive`: record ids."""
        return cls(prefix=_PREFIX, entry=partial(_id_entry, None), lots=lots_by_id(_PREFIX))

    @classmethod
    def read(
        cls, *, properties: Sequence[str], properties_with_history: Sequence[str], id_property: str | None
    ) -> Inputs:
        """Inputs of `batch/read`: record ids, or values of `id_property`, and which properties to return."""
        _check_id_property(id_property)
        for names in (properties, properties_with_history):
            if isinstance(names, str):
                raise ConfigurationError(f"properties are a list of names, not the string {names!r}")
        head: dict[str, object] = {
            "properties": list(properties),
            "propertiesWithHistory": list(properties_with_history),
        }
        if id_property is not None:
            head["idProperty"] = id_property
        prefix = encode(head)[:-1] + b',"inputs":['
        return cls(
            prefix=prefix,
            entry=partial(_id_entry, id_property),
            lots=lots_by_id(prefix) if id_property is None else None,
            max_inputs=MAX_INPUTS_WITH_HISTORY if properties_with_history else MAX_INPUTS,
        )


_PREFIX = b'{"inputs":['


def _check_id_property(id_property: object, option: str = "id_property") -> None:
    if id_property == "hs_object_id":
        raise ConfigurationError(
            f"hs_object_id is no {option} for HubSpot, which gives it itself; leave {option} out to do without"
        )
    if id_property is not None and not (isinstance(id_property, str) and id_property.isprintable()):
        raise ConfigurationError(f"{option} must be a property name, not {shown(id_property)}")


def _create_entry(ordinal: int, item: Any, trace: str) -> Entry:
    if is_plain(item):
        try:
            return Entry(ordinal, item, encode_plain(Plain(item, trace)), None, trace, item)
        except ValueError:
            pass  # said in words below
    parts = _parts(item)
    if parts.id is not None:
        raise InvalidRecord("a create takes no id; HubSpot gives one (did you mean update or upsert?)")
    sent = _writable(parts.properties)
    trace_id = parts.trace_id or trace
    encoded = encode(_Input(properties=sent, associations=parts.associations, object_write_trace_id=trace_id))
    return Entry(ordinal, item, encoded, None, trace_id, sent)


def _create_by_key_entry(key_property: str, ordinal: int, item: object, trace: str) -> Entry:
    entry = _create_entry(ordinal, item, trace)
    entry.key = key_of(cast("Mapping[str, Any]", entry.sent), key_property)
    return entry


def key_of(sent: Mapping[str, Any], key_property: str) -> str:
    """The value by which a meeting that is to be created will be known. Raises: InvalidRecord."""
    given = sent.get(key_property)
    if isinstance(given, str) and given != given.strip():
        # HubSpot cuts spaces at the ends of text: the value to look for later would be another one.
        raise InvalidRecord(f"the value of {key_property!r} begins or ends with a space: {given!r}")
    return _key(given, key_property)


def _upsert_entry(id_property: str, ordinal: int, item: Any, trace: str) -> Entry:
    if is_plain(item) and id_property in item:
        key = _key(item[id_property], id_property)
        try:
            return Entry(ordinal, item, encode_plain(ByValue(key, id_property, item, trace)), key, trace, item)
        except ValueError:
            pass  # said in words below
    return _keyed_entry("upsert", id_property, ordinal, item, trace)


def _update_entry(id_property: str | None, ordinal: int, item: Any, trace: str) -> Entry:
    given: object = item
    if id_property is None and type(given) is dict and is_id(key := item.get("id")) and (sent := changes(item)):
        try:
            return Entry(ordinal, item, encode_plain(ById(key, sent, trace)), key, trace, sent)
        except ValueError:
            pass  # said in words below
    return _keyed_entry("update", id_property, ordinal, item, trace)


def _keyed_entry(operation: str, id_property: str | None, ordinal: int, item: object, trace: str) -> Entry:
    parts = _parts(item)
    if parts.associations:
        raise InvalidRecord(f"a batch {operation} can not set associations; create them in a call of their own")
    sent = _writable(parts.properties)
    given = parts.id
    if id_property is not None:
        given = sent.get(id_property) if given is None else given
        if operation == "upsert" and id_property not in sent:
            # Written along, the answer names it, and results can be told apart by it.
            sent = {**sent, id_property: given}
    elif given is None and "id" in sent:
        given = sent["id"]
        sent = {name: value for name, value in sent.items() if name != "id"}
    key = _key(given, id_property)
    trace_id = parts.trace_id or trace
    encoded = encode(_Input(id=key, id_property=id_property, properties=sent, object_write_trace_id=trace_id))
    return Entry(ordinal, item, encoded, key, trace_id, sent)


def _id_entry(id_property: str | None, ordinal: int, item: object, _: str) -> Entry:
    if id_property is None and is_id(item):
        return Entry(ordinal, item, encode_plain(Id(item)), item, None, None)
    if isinstance(item, (str, int)):
        given: object = item
    else:
        parts = _parts(item)
        given = parts.id
        properties: object = parts.properties
        if given is None and isinstance(properties, Mapping):
            given = cast("Mapping[str, Any]", properties).get(id_property or "id")
    key = _key(given, id_property)
    return Entry(ordinal, item, encode(Id(key)), key, None, None)


def _key(given: object, id_property: str | None) -> str:
    """The id of an input, as HubSpot takes it."""
    if id_property is None and is_id(given):
        return given
    if given is None or given == "" or isinstance(given, bool) or not isinstance(given, (str, int)):
        wanted = f"a value of {id_property!r}" if id_property else "an id (the key 'id', or Record(id=…))"
        raise InvalidRecord(f"the record needs {wanted}, and has {shown(given)}")
    if isinstance(given, int) and abs(given) >= 10**20:
        raise InvalidRecord("a number of more than 20 digits is no id")
    key = str(given)
    if id_property is not None and len(key) > MAX_KEY:
        raise InvalidRecord(f"the value of {id_property!r} has {len(key):,} characters; a key has {MAX_KEY} at most")
    if id_property is None and not (key.isascii() and key.isdigit() and len(key) <= MAX_DIGITS):
        raise InvalidRecord(f"the id of a meeting is 1-20 digits, not {key[:40]!r}")
    return key


def _writable(properties: object) -> Mapping[str, Any]:
    if not isinstance(properties, (dict, Mapping, Struct)):
        raise InvalidRecord(f"properties are a mapping or a Struct, not {_a(properties)}")
    sent = property_values(cast("Mapping[str, Any]", properties))
    return sent if isinstance(sent, dict) else dict(sent)
