"""What one schedule will be: drawn from a seed and a mode, and nothing else.

This module knows what can be varied. It must not know how any of it is carried out.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any, Final, Literal, get_args

from hubspot_meetings_async import Record

from .network import BODY_FAULTS, FAULTS, READ_FAULTS, Weather
from .world import KEY, Rules

__all__ = ["MODES", "PROMISED", "End", "Item", "Mode", "Plan"]

Mode = Literal["keyed", "upsert", "hold", "update", "archive", "resend", "probe"]
MODES: Final[tuple[Mode, ...]] = get_args(Mode)
PROMISED: Final[tuple[Mode, ...]] = ("keyed", "upsert", "hold", "update")

_ENDS: Final = ("crash", "crash", "crash", "power", "power", "cancel", "scope", "stop", "break", "raise", "full")


@dataclass(slots=True)
class Item:
    """A record of the source. `kind`: `good`; `bad` (HubSpot refuses it), `clash` (so it does, for a unique value that
    is not the key), `poison` (HubSpot fails on it), `invalid` (it can not be sent), `double` (its key came before)."""

    index: int
    mark: str
    record: Any
    key: str | None
    kind: str = "good"


@dataclass(slots=True)
class End:
    """How a session is ended. `trigger`: at a `moment` (s), or at the nth `row` of the journal, request (`sent`),
    `answer`, or `step` of any task."""

    kind: str
    trigger: str
    at: float


@dataclass(slots=True, kw_only=True)
class Plan:
    """One schedule."""

    mode: Mode
    seed: int
    rules: Rules
    weather: Weather
    live: bool
    full_stack: bool
    durability: str
    resume: Literal["ordinal", "key"]
    source: str
    batch_bytes: int
    most_inputs: int
    workers: int | None
    verify: Literal["final"] | None
    accept_existing: bool
    delivery_timeout_s: float | None
    slow_consumer: bool
    items: list[Item] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    ends: list[End] = field(default_factory=list)
    twins: bool = False

    @classmethod
    def draw(cls, mode: Mode, seed: int) -> Plan:
        """The plan of a seed."""
        rng = random.Random(f"{mode} {seed}")
        live = rng.random() < 0.6
        plan = cls(
            mode=mode,
            seed=seed,
            rules=Rules(
                unique=mode != "probe",
                echo=rng.random() < 0.5,
                multi_status=rng.random() < 0.75,
                index_lag_s=rng.choice((1.0, 20.0)),
            ),
            weather=_weather(rng, mode, live=live),
            live=live,
            full_stack=mode not in ("probe", "archive") and rng.random() < 0.12,
            durability=rng.choice(("power", "power", "power", "process")),
            resume="key" if mode in ("keyed", "upsert", "update") and rng.random() < 0.25 else "ordinal",
            source=rng.choice(("list", "list", "async", "slow async")),
            batch_bytes=rng.choice((1_000, 1_000, 1_000, 1_500, 3_000, 1_000_000)),
            # Small ones, so that records are formed a batch at a time. Drawn apart: all else of a seed stays.
            most_inputs=random.Random(f"inputs {mode} {seed}").choice((100, 3, 4, 7)),
            workers=rng.choice((None, None, 1, 2, 3, 6)),
            verify="final" if mode in ("update", "upsert") and rng.random() < 0.35 else None,
            accept_existing=rng.random() < 0.8,
            delivery_timeout_s=rng.choice((None, None, None, rng.uniform(0.2, 60))),
            slow_consumer=rng.random() < 0.15,
        )
        plan._draw_items(rng)
        plan._draw_ends(rng)
        return plan

    def _draw_items(self, rng: random.Random) -> None:
        mode, count = self.mode, rng.choice((3, 20, 30, 40, 60, 90))
        several = mode in ("upsert", "update") and self.resume == "ordinal" and rng.random() < 0.7
        distinct = max(1, count // 4) if several else count
        bad, poison = rng.choice((0.0, 0.02, 0.1)), rng.choice((0.0, 0.0, 0.03))
        invalid, double = rng.choice((0.0, 0.0, 0.05)), rng.choice((0.0, 0.05)) if mode == "keyed" else 0.0
        self.twins = mode in ("hold", "resend") and rng.random() < 0.3
        if mode in ("update", "archive"):
            self.ids = [str(1_000 + number) for number in range(distinct)]
        for index in range(count):
            self.items.append(self._item(rng, index, distinct))
            item = self.items[-1]
            luck = rng.random()
            if mode == "archive":
                continue
            if luck < bad:
                self._spoil(item, rng.choice(("bad", "clash")) if mode in ("keyed", "hold") else "bad")
            elif luck < bad + poison:
                self._spoil(item, "poison")
            elif luck < bad + poison + invalid and self.resume == "ordinal":
                item.kind, item.key = "invalid", None
                item.record = rng.choice((None, 7, {"mark": float("nan")}))
            elif luck < bad + poison + invalid + double and index and self.resume == "ordinal":
                earlier = rng.choice(self.items[:-1])
                if earlier.key is not None:
                    item.kind, item.key = "double", earlier.key
                    item.record = {**item.record, KEY: earlier.key}
        if mode == "keyed" and rng.random() < 0.3:
            taken = [i.key for i in self.items if i.key is not None and rng.random() < 0.05]
            self.others = list(dict.fromkeys(taken))  # two records may have one key, and somebody makes it once

    def _item(self, rng: random.Random, index: int, distinct: int) -> Item:
        mark, title = f"r{index}", rng.choice(("Review", "Kick-off of the project"))
        match self.mode:
            case "keyed" | "probe":
                key = f"k{index}"
                return Item(index, mark, {KEY: key, "mark": mark, "title": title}, key)
            case "upsert":
                key = (
                    f"k{rng.randrange(distinct) if distinct < 90 else index}"
                    if self.resume == "ordinal"
                    else f"k{index}"
                )
                return Item(index, mark, {KEY: key, "mark": mark, "title": title}, key)
            case "update":
                key = rng.choice(self.ids) if self.resume == "ordinal" else self.ids[index]
                return Item(index, mark, {"id": key, "mark": mark}, key)
            case "archive":
                key = rng.choice(self.ids)
                return Item(index, key, {"id": key}, key)
            case _ if self.twins:
                properties = {"title": title, "number": str(rng.randrange(4))}
                return Item(index, mark, Record(properties=properties, object_write_trace_id=mark), None)
            case _:
                return Item(index, mark, {"mark": mark, "title": title}, None)

    def _spoil(self, item: Item, how: str) -> None:
        item.kind = how
        if isinstance(item.record, Record):
            properties: Any = {**dict(item.record.properties), how: "1"}  # type: ignore[arg-type]  # it is a mapping here
            item.record = Record(properties=properties, object_write_trace_id=item.mark)
        else:
            item.record = {**item.record, how: "1"}

    def _draw_ends(self, rng: random.Random) -> None:
        for _ in range(rng.choice((0, 1, 1, 2, 3))):
            kind = rng.choice(_ENDS)
            trigger = "row" if kind == "full" else rng.choice(("moment", "row", "sent", "answer"))
            at = rng.uniform(0, 1) ** 3 * 60 if trigger == "moment" else float(rng.randint(1, 14))
            self.ends.append(End(kind, trigger, at))


def _weather(rng: random.Random, mode: Mode, *, live: bool) -> Weather:
    writes = [fault for fault in (*FAULTS, *BODY_FAULTS) if not (mode == "hold" and fault == "leaky 400")]
    reads = list(READ_FAULTS)
    if rng.random() < 0.6:
        writes = rng.sample(writes, rng.randint(1, 8))
        reads = rng.sample(reads, rng.randint(1, 4))
    return Weather(
        rate=rng.choice((0.1, 0.25, 0.25, 0.25, 0.5)),
        writes=tuple(writes),
        reads=tuple(reads),
        calm_at=rng.uniform(5, 200) if live else float("inf"),
        meddling=rng.choice((0.0, 0.0, 0.1)) if mode == "keyed" else 0.0,
        poison_after_others=rng.random() < 0.5,
        fatal=rng.choice((0.0, 0.0, 0.0, 0.02)),
    )
