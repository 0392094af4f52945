"""Columns: what they are called, and what they hold."""

from __future__ import annotations

import msgspec
import pytest

from hubspot_meetings_async import StoreError
from hubspot_meetings_async.stores import Column, Kept
from hubspot_meetings_async.stores.columns import FORMAT, RECORD, columns_of, kept_of

from .samples import TYPES, definitions


def names_of(*properties: str, known: tuple[Column, ...] = ()) -> list[str]:
    return [column.name for column in columns_of(properties, {}, known)]


def test_types_follow_the_definitions() -> None:
    columns = columns_of([*TYPES, "unheard_of"], definitions(), ())
    kinds = ["text", "datetime", "number", "bool", "date", "text", "text"]
    assert [(column.of, column.name, column.kind) for column in columns] == [
        (name, name, kind) for name, kind in zip([*TYPES, "unheard_of"], kinds, strict=True)
    ]


@pytest.mark.parametrize("taken", [*RECORD, "ID", "rowid", "ctid", "Oid"])
def test_names_that_are_taken_get_an_ending(taken: str) -> None:
    assert names_of(taken) == [f"{taken}_property"]


def test_no_two_columns_have_the_same_name() -> None:
    """Not in capitals either: SQLite and people do not tell them apart."""
    assert names_of("a", "A", "a_property", "a") == ["a", "A_property", "a_property_property"]
    known = columns_of(["b"], {}, ())
    assert names_of("B", "b", known=known) == ["B_property"]
    assert [column.name for column in columns_of(["b"], {}, known, ids=True)] == ["b_property"]


def test_long_names_stay_within_what_postgresql_keeps() -> None:
    """63 bytes, not characters; and stay different where only their ends differ."""
    made = names_of("n" * 100 + "a", "n" * 100 + "b", "ü" * 63)
    assert len(set(made)) == 3
    assert all(len(name.encode()) <= 63 for name in made)
    assert made == names_of("n" * 100 + "a", "n" * 100 + "b", "ü" * 63)


def test_signs_that_no_identifier_has_are_left_out() -> None:
    (name,) = names_of("a\0b\nc")
    assert name.isprintable()
    assert name != "abc"


def test_an_ended_name_fits_too() -> None:
    long = "n" * 63
    first, second = names_of(long, long.upper())
    assert (first, len(second), second.endswith("_property")) == (long, 63, True)


def test_what_a_copy_is_of_travels_as_json() -> None:
    kept = Kept(portal="1", columns=columns_of(TYPES, definitions(), ()))
    assert kept_of(kept.to_json(), "m.db") == kept


def test_a_copy_of_another_release_is_left_alone() -> None:
    newer = msgspec.structs.replace(Kept(), form=FORMAT + 1)
    with pytest.raises(StoreError, match=r"m\.db was made by a newer release"):
        kept_of(newer.to_json(), "m.db")
    with pytest.raises(StoreError, match=r"m\.db can not be read as a copy of this release"):
        kept_of('{"columns": 3}', "m.db")
