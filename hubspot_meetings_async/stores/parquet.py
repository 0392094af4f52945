"""A copy in a Parquet file: typed columns, written group by group.

This module knows Parquet's types and pyarrow, which the extra `parquet` brings. It must not know how a copy is filled.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, BinaryIO, Final

import msgspec

from ..errors import ConfigurationError
from .columns import RECORD, Kept, Kind
from .lines import Line, read_line
from .plain import PlainFile
from .sheets import linked_ids
from .store import number_of
from .values import Reader, Shape, boolean, day, exact_float, milliseconds, milliseconds_of

__all__ = ["ParquetStore"]

_READERS: Final[Mapping[Kind, Reader]] = {
    "datetime": milliseconds,
    "date": day,
    "number": exact_float,
    "bool": boolean,
}

_ROWS_IN_GROUP: Final = 10_000


class ParquetStore(PlainFile):
    """A copy in a Parquet file, ordered by id, with columns of the properties' types.

    Moments are timestamps in UTC with milliseconds, numbers doubles. A value that is no such thing, or a number with
    more digits than a double has, stands as text in the column `unfit`, a JSON object. The ids of associated records
    are a list in one column for each object type. The file's metadata tell what it is of, under
    `hubspot_meetings_async`.

    Raises: ConfigurationError without the extra `parquet`.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        _pyarrow()
        super().__init__(path, _Groups)


def _pyarrow() -> Any:
    try:
        # They have no types.
        import pyarrow  # pyright: ignore[reportMissingTypeStubs]
        from pyarrow import parquet  # pyright: ignore[reportMissingTypeStubs]
    except ImportError as error:
        raise ConfigurationError(
            f"Parquet files need a package ({error.name} is missing): pip install 'hubspot-meetings-async[parquet]'"
        ) from None
    del parquet  # it is an attribute now
    return pyarrow


class _Groups:
    def __init__(self, file: BinaryIO, kept: Kept) -> None:
        self._arrow = arrow = _pyarrow()
        moment = arrow.timestamp("ms", tz="UTC")
        types: dict[Kind, Any] = {
            "text": arrow.string(),
            "datetime": moment,
            "date": arrow.date32(),
            "number": arrow.float64(),
            "bool": arrow.bool_(),
            "ids": arrow.list_(arrow.int64()),
        }
        own = zip(RECORD, (arrow.int64(), moment, moment, arrow.bool_(), moment, arrow.string()), strict=True)
        columns = (*kept.columns, *kept.associations)
        self._schema = arrow.schema(
            [*own, *((column.name, types[column.kind]) for column in columns)],
            metadata={"hubspot_meetings_async": kept.to_json()},
        )
        self._shape = Shape(kept.columns, _READERS)
        self._associations = [column.of for column in kept.associations]
        self._unfit: Counter[str] = Counter()
        self._rows: list[list[object]] = []
        self._writer = arrow.parquet.ParquetWriter(file, self._schema, compression="zstd")

    def add(self, lines: Sequence[bytes]) -> None:
        self._rows += map(self._row, map(read_line, lines))
        if len(self._rows) >= _ROWS_IN_GROUP:
            self._write()

    def _row(self, line: Line) -> list[object]:
        values, unfit = self._shape.row(line.properties)
        self._unfit.update(unfit.keys())
        return [
            number_of(line.id),
            _moment(line.created_at),
            _moment(line.updated_at),
            line.archived,
            _moment(line.archived_at),
            msgspec.json.encode(unfit).decode() if unfit else None,
            *values,
            *([number_of(other) for other in linked_ids(line, name)] for name in self._associations),
        ]

    def _write(self) -> None:
        columns = zip(*self._rows, strict=True)
        arrays = [
            self._arrow.array(values, type=field.type) for values, field in zip(columns, self._schema, strict=True)
        ]
        self._writer.write_table(self._arrow.Table.from_arrays(arrays, schema=self._schema))
        self._rows.clear()

    def end(self) -> Counter[str]:
        if self._rows:
            self._write()
        self._writer.close()
        return self._unfit


def _moment(at: datetime | None) -> int | None:
    return milliseconds_of(at) if at is not None else None
