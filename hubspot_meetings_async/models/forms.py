"""The forms that all of HubSpot's answers and requests share: bases, pages, batch answers.

This module knows shapes. It must not know what a meeting is, URLs, or status codes.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from msgspec import Struct, structs

__all__ = ["BatchError", "BatchResponse", "NextPage", "Page", "Paging", "Received", "Sent"]

T = TypeVar("T")


class Sent(Struct, frozen=True, rename="camel", omit_defaults=True):
    """What goes to HubSpot: camelCase, and nothing that was not given."""


class Received(Struct, frozen=True, rename="camel", kw_only=True):
    """What comes from HubSpot: camelCase, unknown fields ignored."""


class NextPage(Received, frozen=True, kw_only=True):
    """Where the next page begins. `after` is opaque; the `link` that HubSpot adds is never followed."""

    after: str


class Paging(Received, frozen=True, kw_only=True):
    """The `paging` member of a list answer; absent on the last page."""

    next: NextPage | None = None


class Page(Received, Generic[T], frozen=True, kw_only=True):
    """One page of a list."""

    results: tuple[T, ...]
    paging: Paging | None = None

    @property
    def after(self) -> str | None:
        """The cursor of the next page, or None on the last one."""
        return self.paging.next.after if self.paging is not None and self.paging.next is not None else None


class BatchError(Received, frozen=True, kw_only=True):
    """One entry of `errors` in a batch answer. Every field is optional; `context` ties it to the inputs.

    Loosely typed: an odd entry must not make the results beside it unreadable.
    """

    status: Any = None
    category: str | None = None
    sub_category: Any = None
    message: str | None = None
    context: Any = None
    errors: Any = None
    id: Any = None


class BatchResponse(Received, Generic[T], frozen=True, kw_only=True):
    """The answer of a batch call, 200, 201 and 207 alike.

    `results` come in no promised order and may be fewer than the inputs; `errors` name inputs by their ids or trace
    ids. What neither names is unknown. `status` is `COMPLETE` in all answers seen.
    """

    status: str
    results: tuple[T, ...]
    num_errors: int | None = None
    if TYPE_CHECKING:
        errors: tuple[BatchError, ...] = ()
    else:
        # A null here must not make a hundred creates unreadable; it is no errors, and nobody else has to know.
        errors: tuple[BatchError, ...] | None = ()
    started_at: datetime | None = None
    completed_at: datetime | None = None

    def __post_init__(self) -> None:
        if self.errors is None:  # pyright: ignore[reportUnnecessaryComparison]
            structs.force_setattr(self, "errors", ())
