"""The cursor: one line of JSON, small, and nothing else is taken for one."""

import random

import pytest

from hubspot_meetings_async import ConfigurationError, SyncCursor
from hubspot_meetings_async.sync.cursor import BinMark, ExportMark, LiveMark, Stretch, packed, unpacked

FULL = SyncCursor(
    account="1234567",
    live=LiveMark(ms=1_795_249_800_123, id=65_059_680_001, told=packed({7: 1_795_249_800_500, 9: 1_795_249_800_124})),
    bin=BinMark(
        since_ms=1_795_249_000_000, told=packed({3: 5}), began_ms=1_795_249_800_000, after="501", page=(499, 500)
    ),
    export=ExportMark(began_ms=1, left=(Stretch(1, 500), Stretch(501)), after="17", page=(16,)),
)


class TestJson:
    @pytest.mark.parametrize("cursor", [SyncCursor(), FULL])
    def test_brings_back_what_was_written(self, cursor: SyncCursor) -> None:
        assert SyncCursor.from_json(cursor.to_json()) == cursor
        assert SyncCursor.from_json(cursor.to_json().encode()) == cursor
        assert "\n" not in cursor.to_json()

    def test_names_its_form(self) -> None:
        """So that a later release knows what it reads."""
        assert SyncCursor().to_json() == '{"form":1}'

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "null",
            "{}",
            '{"form":2}',
            '{"form":1,"live":{"ms":"yesterday"}}',
            '{"form":1,"live":{"told":"no base64"}}',
            '{"form":1,"live":{"told":"/w=="}}',
            '{"form":1,"bin":{"told":"AQE="}}',
            b"\xff",
        ],
    )
    def test_takes_nothing_else(self, text: str | bytes) -> None:
        with pytest.raises(ConfigurationError, match="no cursor of a sync"):
            SyncCursor.from_json(text)

    def test_says_where_it_belongs(self) -> None:
        assert FULL.exporting
        assert not SyncCursor().exporting


class TestPacked:
    @pytest.mark.parametrize("seed", range(20))
    def test_brings_back_ids_and_moments(self, seed: int) -> None:
        rng = random.Random(seed)
        told = {rng.randrange(10 ** rng.randrange(1, 20)): rng.randrange(2**41) for _ in range(rng.randrange(200))}
        assert unpacked(packed(told)) == told

    def test_is_small(self) -> None:
        """A minute of changes, ten a second in an account of a million: eight characters each."""
        rng = random.Random(0)
        ids = rng.sample(range(65_059_680_001, 65_060_680_001), 600)
        told = {id_: 1_795_249_800_000 + rng.randrange(60_000) for id_ in ids}
        assert len(packed(told)) < 8 * len(told)
