"""How far a sync got: small, in JSON, and good to go on from after any item.

This module knows what has to be remembered and how it is written down. It must not know requests or clocks.
"""

from __future__ import annotations

from typing import Literal, Self

import msgspec
from msgspec import Struct

from ..errors import ConfigurationError

__all__ = ["SyncCursor"]


class SyncCursor(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How far a sync of changes, or an export, got. Keep `to_json()`; its members are the library's own.

    changes = hubspot.sync.changes(SyncCursor.from_json(text))
    """

    form: Literal[1] = 1
    account: str | None = None

    def to_json(self) -> str:
        """One line of JSON, some hundred characters; more only after thousands of changes within `overlap_s`."""
        return msgspec.json.encode(self).decode()

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """The cursor that `to_json` wrote. Raises: ConfigurationError for anything else."""
        try:
            return msgspec.json.decode(text, type=cls)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ConfigurationError(
                f"this is no cursor of a sync, or one of another release ({error}); begin again without a cursor"
            ) from None
