"""What the filters of a search mean: how a property's values compare, and whether a record satisfies a condition.

Knows definitions, single records and ties. Must not know requests, pages or indexes.

- Texts compare without regard to case; the values of `IN` and `NOT_IN` are taken as they stand and so must be
  lower-case. Enumerations compare exactly; one that holds several values (`a;b`) equals each of them.
- `BETWEEN` includes both ends. Moments are given as Unix milliseconds or ISO times.
- `CONTAINS_TOKEN` looks for every word of its value among the words of a text, `*` standing for any characters.
- A query holds when each of its words begins a word of the record's texts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from typing import Any

from .associations import AssociationBook, object_type
from .definitions import Definition
from .records import Record
from .refusals import Refusal, validation
from .search_request import FilterInput
from .times import canonical_date, parse_ms
from .values import PropertyBook, Raw

__all__ = [
    "ASSOCIATIONS",
    "Field",
    "Key",
    "Predicate",
    "Values",
    "associated_ids",
    "field_of",
    "predicate",
    "query_starts",
    "query_words",
    "token_patterns",
    "token_words",
]

ASSOCIATIONS = "associations."
"""Starts the names of the pseudo-properties, like `associations.contact`."""
NOT_FILTERABLE = ("hs_body_preview_html",)

Values = Mapping[str, str]
Key = int | float | str
"""What a value compares as."""
Predicate = Callable[[Record, Values], bool]
_AnyKey = Callable[[Record, Values], Any]
"""Keys of one property are all texts or all numbers, which no type can say."""

_SEARCHED = {
    "meetings": ("hs_meeting_title", "hs_meeting_body"),
    "contacts": ("email", "firstname", "lastname", "phone", "company"),
    "companies": ("name", "domain", "phone", "website"),
    "deals": ("dealname", "pipeline", "dealstage", "description", "dealtype"),
    "tickets": ("subject", "content", "hs_pipeline_stage", "hs_ticket_category", "hs_ticket_id"),
}
"""The properties a query looks into, by object type."""
_WORD = re.compile(r"\w+")
_TAG = re.compile(r"<[^>]*>")
_NEGATIONS = {"NEQ": "EQ", "NOT_IN": "IN", "NOT_CONTAINS_TOKEN": "CONTAINS_TOKEN", "NOT_HAS_PROPERTY": "HAS_PROPERTY"}


class Field:
    """One property as searches see it."""

    __slots__ = ("name", "several", "type")

    def __init__(self, definition: Definition) -> None:
        self.name = definition.name
        self.type = definition.type
        self.several = definition.type == "enumeration" and definition.field_type == "checkbox"

    @property
    def ordered(self) -> bool:
        """Whether ranges of its values can be looked up in an index."""
        return not self.several

    def text(self, record: Record, values: Values) -> str | None:
        """The value as it is stored; None when there is none."""
        if self.name == "hs_object_id":
            return str(record.id)
        if self.name == "hs_object_source":
            return "INTEGRATION"
        return values.get(self.name) or None

    def key(self, record: Record, values: Values) -> Key | None:
        """The value as it compares; None when there is none."""
        if self.name == "hs_object_id":
            return record.id
        if self.name == "hs_createdate":
            return record.created_ms
        if self.name == "hs_lastmodifieddate":
            return record.updated_ms
        text = self.text(record, values)
        return None if text is None else self.key_of(text)

    @property
    def stored(self) -> bool:
        """Whether the key can only be had by unpacking the record."""
        return self.name not in ("hs_object_id", "hs_createdate", "hs_lastmodifieddate")

    def key_of(self, text: str) -> Key:
        """What a stored value compares as."""
        if self.type == "datetime":
            return parse_ms(text)
        if self.type == "number":
            return _number(text)
        return text.lower() if self.type in ("string", "bool") else text

    def operand(self, raw: Raw, *, exact: bool = False) -> Key:
        """What a filter's value compares as; `exact` leaves texts in their case. Raises: Refusal."""
        text = _text(raw)
        try:
            if self.type == "date":
                return canonical_date(text)
            if exact and self.type == "string":
                return text
            return self.key_of(text)
        except (ValueError, OverflowError):
            raise validation(f"{text} is not a valid {self.type} for a filter on {self.name}") from None


def field_of(book: PropertyBook, name: str) -> Field:
    """The property as searches see it. Raises: Refusal for one the account does not have."""
    definition = book.get(name)
    if definition is None:
        raise Refusal(
            400,
            f"There was a problem with the request. Property {name} does not exist.",
            category="VALIDATION_ERROR",
            errors=[
                {
                    "message": f'Property "{name}" does not exist',
                    "code": "PROPERTY_DOESNT_EXIST",
                    "context": {"propertyName": [name]},
                }
            ],
        )
    return Field(definition)


def predicate(book: PropertyBook, given: FilterInput, *, negation_matches_empty: bool) -> Predicate:
    """The condition of one filter on a property. Raises: Refusal for values it does not take."""
    if given.property_name in NOT_FILTERABLE:
        raise validation(f"Property {given.property_name} can not be filtered on")
    field = field_of(book, given.property_name)
    positive = _NEGATIONS.get(given.operator, given.operator)
    holds = _condition(field, positive, given)
    if positive == given.operator:
        return lambda record, values: field.key(record, values) is not None and holds(record, values)
    empty = positive == "HAS_PROPERTY" or negation_matches_empty
    return lambda record, values: empty if field.key(record, values) is None else not holds(record, values)


def _condition(field: Field, operator: str, given: FilterInput) -> Predicate:
    """The condition for records that have a value."""
    if operator == "HAS_PROPERTY":
        return lambda record, values: True
    if operator == "IN":
        if not given.values:
            raise validation(f"Operator {given.operator} on {field.name} needs values")
        return _equals(field, {field.operand(raw, exact=True) for raw in given.values})
    if given.value is None:
        raise validation(f"Operator {given.operator} on {field.name} needs a value")
    if operator == "CONTAINS_TOKEN":
        return _contains(field, given.value)
    low = field.operand(given.value)
    if operator == "EQ":
        return _equals(field, {low})
    if operator == "BETWEEN":
        if given.high_value is None:
            raise validation(f"Operator BETWEEN on {field.name} needs a highValue")
        high = field.operand(given.high_value)
        key = _any_key(field)
        return lambda record, values: low <= key(record, values) <= high
    return _compares(field, operator, low)


def _equals(field: Field, wanted: set[Key]) -> Predicate:
    if field.several:

        def any_part(record: Record, values: Values) -> bool:
            text = field.text(record, values) or ""
            return text in wanted or not wanted.isdisjoint(text.split(";"))

        return any_part
    return lambda record, values: field.key(record, values) in wanted


def _any_key(field: Field) -> _AnyKey:
    return field.key


def _compares(field: Field, operator: str, operand: Key) -> Predicate:
    key = _any_key(field)
    if operator == "LT":
        return lambda record, values: key(record, values) < operand
    if operator == "LTE":
        return lambda record, values: key(record, values) <= operand
    if operator == "GT":
        return lambda record, values: key(record, values) > operand
    return lambda record, values: key(record, values) >= operand


def _contains(field: Field, value: Raw) -> Predicate:
    patterns = [_literal_but_stars(pattern) for pattern in token_patterns(field, value)]

    def contains(record: Record, values: Values) -> bool:
        words = token_words(field, record, values)
        return all(any(fnmatchcase(word, pattern) for word in words) for pattern in patterns)

    return contains


def token_patterns(field: Field, value: Raw) -> list[str]:
    """The words `CONTAINS_TOKEN` looks for."""
    text = _text(value)
    return (text if field.type == "enumeration" else text.lower()).split()


def token_words(field: Field, record: Record, values: Values) -> set[str]:
    """The words it looks among, with and without the signs in and around them: `ada@example.com` is found by
    `example`."""
    text = field.text(record, values) or ""
    if field.type != "enumeration":
        text = text.lower()
    return {*text.split(), *_WORD.findall(text)}


def query_words(plural: str, values: Values) -> list[str]:
    """The words that a query on an object type looks among."""
    text = " ".join(values.get(name, "") for name in _SEARCHED.get(plural, ()))
    return _WORD.findall(_TAG.sub(" ", text).lower())


def query_starts(query: str) -> list[str]:
    """The beginnings of words that a query looks for."""
    return _WORD.findall(query.lower())


def associated_ids(book: AssociationBook, plural: str, given: FilterInput) -> set[int]:
    """The records tied to those that `associations.contact` and its like name. Raises: Refusal."""
    other = object_type(given.property_name.removeprefix(ASSOCIATIONS))
    if other is None:
        raise validation(f"{given.property_name} names no object type")
    if given.operator not in ("EQ", "IN"):
        raise validation(f"Operator {given.operator} is not supported on {given.property_name}")
    named = given.values if given.operator == "IN" else None if given.value is None else [given.value]
    if not named:
        raise validation(f"Operator {given.operator} on {given.property_name} needs an id")
    found: set[int] = set()
    for raw in named:
        text = _text(raw)
        if not (text.isascii() and text.isdigit()) or len(text) > 18:
            raise validation(f"{given.property_name} takes ids, not {text}")
        found.update(book.ends(other.plural, int(text), plural))
    return found


def _literal_but_stars(word: str) -> str:
    """A shell pattern in which only `*` is special."""
    return re.sub(r"[\[?]", lambda sign: f"[{sign[0]}]", word)


def _number(text: str) -> int | float:
    try:
        return int(text)
    except ValueError:
        number = float(text)
    if number != number:
        raise ValueError("not a number")
    return number


def _text(raw: Raw) -> str:
    if isinstance(raw, bool):
        return "true" if raw else "false"
    if isinstance(raw, float) and raw.is_integer():
        return str(int(raw))
    return "" if raw is None else str(raw)
