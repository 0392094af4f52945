"""What requests carry: the shapes of HubSpot's input bodies, decoded, or refused in HubSpot's words.

Knows JSON. Must not know records or what happens with the inputs.
"""

from __future__ import annotations

import re
from typing import TypeVar

import msgspec

from .refusals import Refusal
from .values import Raw

__all__ = [
    "ArchiveBatch",
    "Association",
    "CreateBatch",
    "CreateInput",
    "IdInput",
    "PatchInput",
    "ReadBatch",
    "UpdateBatch",
    "UpdateInput",
    "decoder",
    "missing_fields",
    "parse",
]

T = TypeVar("T")


class AssociationTypeInput(msgspec.Struct, rename="camel"):
    """One kind of tie asked for."""

    association_category: str
    association_type_id: int


class Target(msgspec.Struct):
    """The record at the other end; HubSpot takes ids as numbers too."""

    id: str | int


class Association(msgspec.Struct):
    """A tie to make together with the record."""

    to: Target
    types: list[AssociationTypeInput]


class CreateInput(msgspec.Struct, rename="camel"):
    """A record to create; alone, or as an input of a batch."""

    properties: dict[str, Raw]
    associations: list[Association] | None = None
    object_write_trace_id: str | int | None = None


class PatchInput(msgspec.Struct, rename="camel"):
    """Changes to the record that the path names."""

    properties: dict[str, Raw]
    object_write_trace_id: str | int | None = None


class UpdateInput(msgspec.Struct, rename="camel"):
    """Changes to one record of a batch; for an upsert `id` is the value of `id_property`."""

    id: str | int
    properties: dict[str, Raw]
    id_property: str | None = None
    object_write_trace_id: str | int | None = None


class IdInput(msgspec.Struct):
    """A record named by its id."""

    id: str | int


class CreateBatch(msgspec.Struct):
    """Records to create."""

    inputs: list[CreateInput] | None = None


class UpdateBatch(msgspec.Struct):
    """Records to update or upsert."""

    inputs: list[UpdateInput] | None = None


class ArchiveBatch(msgspec.Struct):
    """Records to archive."""

    inputs: list[IdInput] | None = None


class ReadBatch(msgspec.Struct, rename="camel"):
    """Records to read."""

    inputs: list[IdInput] | None = None
    properties: list[str] | None = None
    properties_with_history: list[str] | None = None
    id_property: str | None = None


def decoder(type_: type[T]) -> msgspec.json.Decoder[T]:
    """A decoder to keep."""
    return msgspec.json.Decoder(type_)


_BYTE = re.compile(r"\(byte (\d+)\)")
_MISSING = re.compile(r"missing required field `([^`]+)`")


def parse(decoder_: msgspec.json.Decoder[T], body: bytes) -> T:
    """Decode a body. Raises: Refusal (400) that says what is wrong with it."""
    try:
        return decoder_.decode(body)
    except msgspec.ValidationError as error:
        missing = _MISSING.search(str(error))
        if missing is not None:
            raise missing_fields(missing[1]) from None
        raise invalid_json(1, 1, str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        where = _BYTE.search(str(error))
        line, column = _position(body, int(where[1]) if where else len(body))
        raise invalid_json(line, column, str(error)) from None


def missing_fields(*names: str) -> Refusal:
    """The 400 for a body that lacks members."""
    listed = ", ".join(names)
    return Refusal(400, f"Invalid input JSON on line 1, column 2. Some required fields were not set: [{listed}]")


def invalid_json(line: int, column: int, why: str) -> Refusal:
    """The 400 for a body that is no JSON, or JSON of another shape."""
    return Refusal(400, f"Invalid input JSON on line {line}, column {column}: {why}", category="VALIDATION_ERROR")


def _position(body: bytes, byte: int) -> tuple[int, int]:
    before = body[:byte]
    return before.count(b"\n") + 1, byte - (before.rfind(b"\n") + 1) + 1
