"""A copy in PostgreSQL, on a real server: its types, its schema, and what happens when the server goes."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from hubspot_meetings_async import ConfigurationError, StoreError
from hubspot_meetings_async.stores import PostgresStore

from .samples import VALUES, kept_for, query, rows_of, version
from .server import Postgres


async def test_values_have_the_types_of_their_properties(schema: str) -> None:
    async with PostgresStore(schema) as store:
        await store.keep(kept_for(), cursor=None)
        await store.write([version(1, values=VALUES)], "c1")
        (row,) = (await rows_of(store)).values()
    assert {name: row[name] for name in ("hs_timestamp", "seats", "paid", "due", "stage")} == {
        "hs_timestamp": datetime(2026, 5, 14, 12, 30, tzinfo=UTC),
        "seats": Decimal("12.5"),
        "paid": True,
        "due": date(2026, 5, 14),
        "stage": "OPEN",
    }


async def test_texts_that_postgresql_can_not_hold_are_kept_beside(schema: str) -> None:
    """It has no NUL; it has numbers of any length, within reason."""
    async with PostgresStore(schema) as store:
        await store.keep(kept_for(), cursor=None)
        odd = {"hs_meeting_title": "a\0b", "seats": "9" * 2000}
        written = await store.write([version(1, values=odd), version(2, values={"seats": "9" * 900})], "c1")
        first, second = (await rows_of(store)).values()
    assert written.unfit == {"hs_meeting_title": 1, "seats": 1}
    assert (json.loads(first["unfit"]), first["hs_meeting_title"]) == (odd, None)
    assert second["seats"] == Decimal("9" * 900)


async def test_tables_of_others_are_left_alone(schema: str) -> None:
    async with PostgresStore(schema) as store:
        await query(store, "CREATE TABLE meetings (a integer)")
    with pytest.raises(ConfigurationError, match="has a table 'meetings' that no pull made; name another schema"):
        async with PostgresStore(schema):
            pass


async def test_a_schema_may_have_any_name(postgres: Postgres) -> None:
    url = postgres.url("x%22%3B%20DROP%20SCHEMA%20public%3B%20--")
    async with PostgresStore(url) as store:
        await store.keep(kept_for(), cursor=None)
        await store.write([version(1)], "c1")
        (found,) = await query(store, "SELECT current_schema() AS name")
        assert found["name"] == 'x"; DROP SCHEMA public; --'
        assert await query(store, "SELECT 1 FROM pg_namespace WHERE nspname = 'public'")


async def test_without_a_schema_the_users_own_is_used(postgres: Postgres) -> None:
    async with PostgresStore(postgres.url()) as store:
        (found,) = await query(store, "SELECT current_schema() AS name")
        assert (found["name"], store.kept) == ("public", None)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("canary-pg", "canary-wrong"), "password authentication failed"),
        (("/postgres", "/none"), 'database "none" does not exist'),
        (("127.0.0.1", "127.0.0.1:1,127.0.0.1:1"), r"can not be used|can not be read"),
        (("?schema=", "?sslmode=canary&schema="), "its address can not be read"),
    ],
)
async def test_a_server_that_does_not_let_us_in_is_told_without_the_password(
    schema: str, change: tuple[str, str], said: str
) -> None:
    with pytest.raises((StoreError, ConfigurationError), match=said) as caught:
        async with PostgresStore(schema.replace(*change)):
            pass
    assert "canary" not in str(caught.value)
    assert "canary" not in str(PostgresStore(schema))


class TestLostConnections:
    async def test_a_server_that_comes_back_is_written_to_as_if_nothing_happened(self, schema: str) -> None:
        async with PostgresStore(schema) as store:
            await store.keep(kept_for(), cursor=None)
            await store.write([version(1)], "c1")
            await _ended(store)
            await store.write([version(2)], "c2")
            assert (list(await rows_of(store)), store.cursor) == ([1, 2], "c2")
            await _ended(store)
            await store.keep(kept_for({"colour": "string"}, before=kept_for()), cursor="c2")
            await store.write([version(3, values={"colour": "red"})], "c3")
            assert [row["colour"] for row in (await rows_of(store)).values()] == [None, None, "red"]

    @pytest.mark.parametrize("call", ["keep", "write"])
    async def test_an_end_whose_answer_is_lost_is_not_done_twice(
        self, schema: str, call: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The transaction was carried out, and the connection broke before anybody could tell."""
        async with PostgresStore(schema) as store:
            if call == "write":
                await store.keep(kept_for(), cursor=None)
            surely = store._server.surely
            lost: list[object] = []

            async def losing(work: Any) -> Any:
                async def once(connection: Any, again: bool) -> Any:
                    done = await work(connection, again)
                    if not lost:
                        lost.append(done)
                        raise ConnectionResetError("the answer was lost")
                    return done

                return await surely(once)

            with monkeypatch.context() as breaking:
                breaking.setattr(store._server, "surely", losing)
                if call == "keep":
                    await store.keep(kept_for(), cursor=None)
                else:
                    written = await store.write([version(1, title="a")], "c1")
                    assert written.meetings == 1
            assert len(lost) == 1
            await store.write([version(2)], "c2")
        async with PostgresStore(schema) as store:
            assert (store.kept, store.cursor) == (kept_for(), "c2")

    async def test_a_server_that_stays_away_is_told_and_nothing_is_lost(self, postgres: Postgres, schema: str) -> None:
        async with PostgresStore(schema, patience_s=0.3) as store:
            await store.keep(kept_for(), cursor=None)
            await store.write([version(1)], "c1")
            postgres.stop()
            try:
                with pytest.raises(StoreError, match=r"was lost .*nothing is lost: pull again") as caught:
                    await store.write([version(2)], "c2")
                assert postgres.PASSWORD not in str(caught.value)
            finally:
                postgres.start()
            assert store.cursor == "c1"
            await store.write([version(2)], "c2")
            assert list(await rows_of(store)) == [1, 2]

    async def test_what_the_server_refuses_is_not_tried_again(self, schema: str) -> None:
        async with PostgresStore(schema) as store:
            await store.keep(kept_for(), cursor=None)
            await query(store, "ALTER TABLE meetings ADD CONSTRAINT never CHECK (id <> 13)")
            with pytest.raises(StoreError, match=r'refused: .*"never"; mend the cause and pull again'):
                await store.write([version(12), version(13)], "c1")
            await store.write([version(12)], "c1")
            assert list(await rows_of(store)) == [12]


async def _ended(store: PostgresStore) -> None:
    """Have the server end the store's connection, as it does when it is restarted."""
    number = store._server._connection.get_server_pid()
    async with PostgresStore(store._server._dsn) as other:
        await query(other, f"SELECT pg_terminate_backend({number})")
