"""What every store promises, and each of them keeps."""

from __future__ import annotations

import json

import pytest

from hubspot_meetings_async import ConfigurationError, StoreError, UnexpectedResponse
from hubspot_meetings_async.stores import CSVStore, JSONLStore, Store

from .conftest import Place
from .samples import TYPES, VALUES, kept_for, links_of, rows_of, text_of, version

HOSTILE = 'x"); DROP TABLE meetings; --'


async def titles(store: Store) -> dict[int, str | None]:
    return {number: text_of(store, row, "hs_meeting_title") for number, row in (await rows_of(store)).items()}


async def test_every_value_comes_back_in_a_column_of_its_type(place: Place) -> None:
    async with place() as store:
        await store.keep(kept_for(), cursor=None)
        await store.write([version(501, values=VALUES), version(502, values=dict.fromkeys(VALUES))], "c1")
        await store.publish()
        full, empty = (await rows_of(store)).values()
        assert {name: text_of(store, full, name) for name in TYPES} == VALUES
        assert {text_of(store, empty, name) for name in TYPES} == {None}


async def test_one_row_for_each_meeting_in_its_latest_version(place: Place) -> None:
    """A version that is as old replaces (archiving need not touch `updated_at`), an older one does not."""
    async with place() as store:
        await store.keep(kept_for(), cursor=None)
        lot = [version(1, 1, title="old"), version(2, 5, title="two")]
        first = await store.write([*lot, version(1, 2, title="new")], "c1")
        assert (first.meetings, first.older) == (2, 1)
        again = await store.write([version(1, 1, title="old"), version(2, 5, title="same")], "c2")
        assert (again.meetings, again.older) == (1, 1)
        in_one = await store.write([version(3, 9, title="b"), version(3, 8, title="a")], "c3")
        assert (in_one.meetings, in_one.older) == (1, 1)
        await store.publish()
        assert await titles(store) == {1: "new", 2: "same", 3: "b"}


async def test_rows_are_in_the_order_of_ids(place: Place) -> None:
    async with place() as store:
        await store.keep(kept_for(), cursor=None)
        await store.write([version(number) for number in (100, 9, 20)], "c1")
        await store.publish()
        assert list(await rows_of(store)) == [9, 20, 100]


async def test_archived_meetings_stay_and_are_marked(place: Place) -> None:
    """HubSpot tells no links of an archived one: those it had stay too. Restored, it is no longer marked."""
    async with place() as store:
        await store.keep(kept_for(links=["contacts"]), cursor=None)
        await store.write([version(1, links={"contacts": [7, 8]}, values=VALUES)], "c1")
        written = await store.write([version(1, 1, archived=True, values=VALUES)], "c2")
        await store.publish()
        assert (written.meetings, written.archived) == (1, 1)
        (row,) = (await rows_of(store)).values()
        assert row["archived"] in (True, "true")
        assert str(row["archivedAt" if isinstance(store, JSONLStore) else "archived_at"]).startswith("2026-05-14")
        assert await links_of(store, 1) == [7, 8]
        await store.write([version(1, 1, links={}, values=VALUES)], "c3")
        await store.publish()
        (row,) = (await rows_of(store)).values()
        assert row["archived"] in (False, 0, "false")
        assert await links_of(store, 1) == []


async def test_links_are_those_of_the_latest_version(place: Place) -> None:
    async with place() as store:
        await store.keep(kept_for(links=["contacts", "companies"]), cursor=None)
        await store.write([version(1, links={"contacts": [7, 8], "companies": [3]}), version(2, links={})], "c1")
        await store.write([version(1, 1, links={"contacts": [8, 9]})], "c2")
        await store.publish()
        assert await links_of(store, 1) == [8, 9]
        assert await links_of(store, 1, "companies") == []
        assert await links_of(store, 2) == []


async def test_meetings_that_were_merged_into_others_go(place: Place) -> None:
    async with place() as store:
        await store.keep(kept_for(links=["contacts"]), cursor=None)
        await store.write([version(number, links={"contacts": [7]}) for number in (1, 2)], "c1")
        written = await store.write([version(3, 1, links={"contacts": [7]}, merged=[1, 2, 99])], "c2")
        await store.publish()
        assert written.dropped == 2
        assert list(await rows_of(store)) == [3]


async def test_the_cursor_is_that_of_the_meetings(place: Place) -> None:
    """Reopened, a copy tells what it is of and where it got to; a lot without changes is progress too."""
    async with place() as store:
        assert (store.kept, store.cursor) == (None, None)
        await store.keep(kept_for(), cursor=None)
        await store.write([version(1)], "c1")
        await store.write([], "c2")
    async with place() as store:
        assert (store.kept, store.cursor) == (kept_for(), "c2")
        await store.publish()
        assert list(await rows_of(store)) == [1]


async def test_a_lot_that_can_not_be_written_leaves_nothing(place: Place) -> None:
    async with place() as store:
        await store.keep(kept_for(links=["contacts"]), cursor=None)
        await store.write([version(1, links={})], "c1")
        with pytest.raises(UnexpectedResponse, match="no number"):
            await store.write([version(2, links={}), version(3, links={"contacts": [-5]})], "c2")
        assert store.cursor == "c1"
        await store.write([version(4, links={})], "c2")
        await store.publish()
        assert list(await rows_of(store)) == [1, 4]


async def test_a_new_property_becomes_a_column(place: Place) -> None:
    """Also one whose name is another's in capitals, or says something in SQL; rows from before have no value."""
    async with place() as store:
        await store.keep(kept_for(), cursor=None)
        await store.write([version(1, values=VALUES)], "c1")
        grown = kept_for({"colour": "string", "Colour": "string", HOSTILE: "number", "id": "string"}, before=kept_for())
        await store.keep(grown, cursor="c1")
    async with place() as store:
        assert (store.kept, store.cursor) == (grown, "c1")
        values = {"colour": "red", "Colour": "blue", HOSTILE: "3", "id": "mine"}
        await store.write([version(2, values={**VALUES, **values})], "c2")
        await store.publish()
        names = {column.of: column.name for column in grown.columns}
        assert (names["colour"], names["Colour"], names["id"]) == ("colour", "Colour_property", "id_property")
        if isinstance(store, JSONLStore):
            names = {name: name for name in names}
        rows = await rows_of(store)
        assert {name: text_of(store, rows[2], names[name]) for name in values} == {**values, HOSTILE: "3"} | (
            {HOSTILE: "3.0"} if "parquet" in str(store) else {}
        )
        if not isinstance(store, JSONLStore):
            assert text_of(store, rows[1], names["colour"]) is None


async def test_values_that_do_not_fit_are_kept_as_text(place: Place) -> None:
    odd = {"hs_timestamp": "soon", "seats": "a dozen", "paid": "maybe", "due": "2026-02-30"}
    async with place() as store:
        await store.keep(kept_for(), cursor=None)
        written = await store.write([version(1, values={**VALUES, **odd})], "c1")
        unfit = written.unfit + await store.publish()
        (row,) = (await rows_of(store)).values()
        if isinstance(store, (JSONLStore, CSVStore)):
            assert {name: text_of(store, row, name) for name in odd} == odd
            assert not unfit
        else:
            assert unfit == dict.fromkeys(odd, 1)
            assert json.loads(row["unfit"]) == odd
            assert {text_of(store, row, name) for name in odd} == {None}
            assert text_of(store, row, "hs_meeting_title") == VALUES["hs_meeting_title"]


async def test_of_two_pulls_into_one_copy_the_second_is_told(place: Place) -> None:
    async with place() as one:
        await one.keep(kept_for(), cursor=None)
        async with place() as other:
            await other.write([version(1)], "c1")
            with pytest.raises(StoreError, match="another pull writes to"):
                await one.write([version(2)], "c2")
    async with place() as store:
        assert store.cursor == "c1"


async def test_a_copy_that_is_not_open_says_so(place: Place) -> None:
    store = place()
    with pytest.raises((StoreError, ConfigurationError), match=r"not open|not been begun"):
        await store.write([version(1)], "c1")
