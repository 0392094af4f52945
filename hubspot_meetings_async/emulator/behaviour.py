"""The questions HubSpot's documents leave open, as switches.

Knows the readings, not the code that follows them. A client is worth trusting when it works on both readings of each.
"""

from __future__ import annotations

from typing import Literal

import msgspec

__all__ = ["Behaviour", "Order"]

Order = Literal["sorted", "shuffled"]


class Behaviour(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the emulated account acts where HubSpot's documents are silent or contradict each other.

    Every default is the reading that clients meet most, or the one that is harder on a careless client.
    """

    result_order: Order = "sorted"
    """Results of batch read, update and upsert: `sorted` by id, or `shuffled` with the emulator's seed."""

    create_result_order: Order = "shuffled"
    """Results of batch create. Sorting by id would give the order of the inputs, which HubSpot does not promise, so the
    default shuffles: a client that ties results to inputs by position fails here instead of on HubSpot."""

    echo_trace_id: bool = False
    """Repeat `objectWriteTraceId` in the results that succeeded (it always stands in the errors)."""

    read_all_missing_status: Literal[207, 404] = 207
    """Batch read when not one of the ids exists."""

    accept_missing_inputs: bool = False
    """A batch body without `inputs`: False answers 400, True answers 200 `COMPLETE` and does nothing."""

    unset_properties: Literal["null", "omit"] = "null"
    """Properties that were asked for, exist, and have no value."""

    cleared_properties: Literal["null", "empty"] = "null"
    """What a property reads as after it was cleared with `""`; `null` follows `unset_properties`."""

    timestamp_required: bool = False
    """A create without `hs_timestamp`: False takes the start time, else the time of creation; True answers 400."""

    always_milliseconds: bool = False
    """Timestamps with three digits after the second even when they are zero."""

    unknown_property: Literal["refuse", "ignore"] = "refuse"
    """A write that names a property the account does not have."""

    read_only_property: Literal["refuse", "ignore"] = "refuse"
    """A write to a property that only HubSpot sets."""

    refused_batch: Literal["nothing", "earlier"] = "nothing"
    """What a batch refused as a whole has written: nothing, or the inputs before the bad one (once seen)."""

    check_association_targets: bool = False
    """Refuse a create that names a contact, company, … the account does not have, as HubSpot does. Off by default: the
    usual test pushes meetings whose contact ids belong to another account. Switch it on after `portal.add_object()`."""

    association_ids: Literal["number", "string"] = "number"
    """`toObjectId` and `fromObjectId` of v4: numbers in answers that were seen, strings in the schema."""

    association_batches_exempt: bool = False
    """Leave v4's association batches out of the ten-second window: HubSpot's schema marks them exempt, its guide gives
    them the usual limits."""

    search_delay_s: float = 5.0
    """Seconds until search sees a write. Users see several; 0 shows everything at once. Archiving works at once, and
    records put in from Python are there from the start. `portal.settle_search()` makes a test independent of it."""

    search_jitter_s: float = 0.0
    """A write stays unseen up to so many seconds longer, each for itself: a later one may be seen before an earlier."""

    restore_modifies: bool = True
    """Whether a restored record gets a new `hs_lastmodifieddate`; HubSpot's documents do not say."""

    search_length: Literal["body", "query"] = "body"
    """What may not be longer than 3,000 characters: the whole body as documented, or only `query` as seen once."""

    negation_matches_empty: bool = False
    """Whether `NEQ`, `NOT_IN` and `NOT_CONTAINS_TOKEN` find records where the property has no value."""

    unknown_token: Literal["invalid", "expired"] = "invalid"  # noqa: S105  # a reading, no password
    """How the 401 for a token that is not among `tokens=` reads; HubSpot has been seen to call made-up ones expired."""

    daily_headers: bool = True
    """Send the two daily headers when a daily limit is set; apps installed by OAuth do not get them."""

    rate_window: Literal["rolling", "fixed"] = "rolling"
    """The ten-second window: rolling as its policy name says, or fixed intervals."""

    retry_after_on_429: bool = False
    """Send `Retry-After` (whole seconds, rounded up) with the account's own 429s."""

    count_refused: bool = False
    """Whether requests refused with 429 use up the window too."""

    max_text_length: int | None = 65_536
    """Longest text a property takes, in characters."""

    max_url_length: int = 8_000
    """Longest path with query; beyond it 414. Users name bounds between 8,000 and 16,300."""

    # scheduler and calendar

    default_meeting_links: bool = True
    """A fresh account has two users and two meeting links, `maya.lindqvist/intro` and `sales/demo`."""

    slot_taken_status: Literal[400, 409] = 400
    """The status of a booking for a time that somebody has, or that the page does not offer."""

    booking_start_time: Literal["any", "milliseconds"] = "any"
    """What a booking takes as `startTime`: HubSpot's schema says ISO, its guide sends Unix milliseconds."""

    strict_booking_body: bool = False
    """Refuse bookings without `formFields`, `legalConsentResponses`, `likelyAvailableUserIds`: the schema requires
    them, the guide's own sample leaves the first one out."""

    availability_users: Literal["lean", "full"] = "lean"
    """Users on an availability page: with their ids only, as in HubSpot's sample, or all that its schema has."""

    availability_hours: Literal["array", "object"] = "array"
    """The working hours of a group of days: a list of ranges as in HubSpot's sample, or one range as in its schema."""

    check_organizers: bool = False
    """Refuse calendar events of users the account does not have. Off by default, as `check_association_targets` is."""

    # tokens

    token_lifetime_s: int = 1_800
    """How long OAuth access tokens hold, unless their app says otherwise."""

    refresh_tokens: Literal["kept", "rotated"] = "kept"
    """A refresh answers with the same refresh token, or with a new one that makes the old one invalid."""

    # the wire

    gzip_answers: bool = False
    """Compress answers for clients that accept gzip, as HubSpot's edge does. Off by default: on one machine it only
    costs time."""

    def __post_init__(self) -> None:
        for name in ("search_delay_s", "search_jitter_s"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"{name} must be a number of seconds from 0 on, not {getattr(self, name)!r}")
