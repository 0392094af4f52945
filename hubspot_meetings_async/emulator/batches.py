"""The five batch endpoints, and what one bad input does to the others.

Without a unique `objectWriteTraceId` on every input a bad one refuses the whole batch; with them the answer is a
multi-status one. Must not know HTTP beyond a `Call` and its `Answer`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from .behaviour import Order
from .bodies import (
    ArchiveBatch,
    CreateBatch,
    CreateInput,
    ReadBatch,
    UpdateBatch,
    UpdateInput,
    decoder,
    missing_fields,
    parse,
)
from .calls import Answer, Call, crm_of
from .crm import Crm, Tie
from .portal import Portal
from .records import Record
from .refusals import Refusal, validation
from .times import iso

__all__ = ["archive", "create", "read", "update", "upsert"]

MAX_INPUTS = 100
MAX_INPUTS_WITH_HISTORY = 50

Json = dict[str, Any]
Input = TypeVar("Input", CreateInput, UpdateInput)
Listed = TypeVar("Listed")
Plan = TypeVar("Plan")

_create = decoder(CreateBatch)
_update = decoder(UpdateBatch)
_archive = decoder(ArchiveBatch)
_read = decoder(ReadBatch)


class _MissingError(Refusal):
    """A record that a batch names and the account does not have: never a reason to refuse the whole batch."""

    def __init__(self, crm: Crm, ids: Sequence[str]) -> None:
        text = (
            f"Could not get some {crm.type.internal} objects, they may be deleted or not exist."
            " Check that ids are valid."
        )
        super().__init__(404, text, category="OBJECT_NOT_FOUND", context={"ids": list(ids)})
        self.ids = ids


def create(portal: Portal, call: Call) -> Answer:
    """`POST …/batch/create`: 201, or 207 when some inputs failed."""
    crm = crm_of(portal, call)
    inputs = _inputs(portal, call, parse(_create, call.body).inputs)
    if inputs is None:
        return _answer(portal, call, 200, [], [])
    traced = _traced(inputs)
    claimed: set[tuple[str, str]] | None = None if traced else set()

    def plan(given: CreateInput) -> tuple[dict[str, str], list[Tie]]:
        values = crm.screen_new(given.properties, call.now_ms)
        ties = crm.ties(given.associations)
        crm.need_free(values, claimed=claimed)
        return values, ties

    def carry_out(given: CreateInput, planned: tuple[dict[str, str], list[Tie]]) -> Json:
        values, ties = planned
        record = crm.add(values, ties, now_ms=call.now_ms, request=call.number)
        return _echo(portal, given, crm.show_written(record, values, new=True))

    results, errors = _settle(portal, crm, inputs, plan, carry_out)
    _arrange(portal, results, portal.behaviour.create_result_order)
    # The published schema of 2025-09 knows only 200 for this call; all others answer 201.
    return _answer(portal, call, 200 if call.captures.get("version") == "2025-09" else 201, results, errors)


def update(portal: Portal, call: Call) -> Answer:
    """`POST …/batch/update`: a missing record is an error entry, never a refusal of the batch."""
    crm = crm_of(portal, call)
    inputs = _inputs(portal, call, parse(_update, call.body).inputs)
    if inputs is None:
        return _answer(portal, call, 200, [], [])
    _need_distinct([str(given.id) for given in inputs])
    # Merged-away ids are neither updated nor reported: HubSpot leaves them out without a word.
    if crm.merged:
        inputs = [given for given in inputs if given.id_property is not None or crm.heir(str(given.id)) is None]
    for name in {given.id_property for given in inputs if given.id_property is not None}:
        crm.need_unique(name, reading=False)
    claimed: set[tuple[str, str]] | None = None if _traced(inputs) else set()

    def plan(given: UpdateInput) -> tuple[Record, dict[str, str]]:
        record = crm.find(str(given.id), given.id_property)
        if record is None:
            raise _MissingError(crm, [str(given.id)])
        changes = crm.screen_changes(record, given.properties)
        crm.need_free(changes, own_id=record.id, claimed=claimed)
        return record, changes

    def carry_out(given: UpdateInput, planned: tuple[Record, dict[str, str]]) -> Json:
        record, changes = planned
        crm.change(record, changes, now_ms=call.now_ms, request=call.number)
        return _echo(portal, given, crm.show_written(record, changes, new=False))

    results, errors = _settle(portal, crm, inputs, plan, carry_out)
    _arrange(portal, results, portal.behaviour.result_order)
    return _answer(portal, call, 200, results, errors)


def upsert(portal: Portal, call: Call) -> Answer:
    """`POST …/batch/upsert`: `id` is the value of a unique property; each result says whether it is `new`."""
    crm = crm_of(portal, call)
    inputs = _inputs(portal, call, parse(_update, call.body).inputs)
    if inputs is None:
        return _answer(portal, call, 200, [], [])
    for name in dict.fromkeys(given.id_property for given in inputs):
        crm.need_unique(name, reading=False)
    ids = [str(given.id) for given in inputs]
    if "" in ids:
        raise validation("An input of an upsert has an empty id")
    _need_distinct(ids)
    claimed: set[tuple[str, str]] | None = None if _traced(inputs) else set()

    def plan(given: UpdateInput) -> tuple[Record | None, dict[str, str]]:
        name = given.id_property or ""
        record = crm.find(str(given.id), name)
        if record is not None:
            values = crm.screen_changes(record, given.properties)
            crm.need_free(values, own_id=record.id, claimed=claimed)
            return record, values
        values = crm.screen_new({name: given.id, **given.properties}, call.now_ms)
        crm.need_free(values, claimed=claimed)
        return None, values

    def carry_out(given: UpdateInput, planned: tuple[Record | None, dict[str, str]]) -> Json:
        record, values = planned
        new = record is None
        if record is None:
            record = crm.add(values, (), now_ms=call.now_ms, request=call.number)
        else:
            crm.change(record, values, now_ms=call.now_ms, request=call.number)
            # The value the input was found by is part of the answer: it ties results to inputs.
            values = {given.id_property or "": str(given.id), **values}
        shown = _echo(portal, given, crm.show_written(record, values, new=new))
        shown["new"] = new
        return shown

    results, errors = _settle(portal, crm, inputs, plan, carry_out)
    _arrange(portal, results, portal.behaviour.result_order)
    return _answer(portal, call, 200, results, errors)


def read(portal: Portal, call: Call) -> Answer:
    """`POST …/batch/read`: missing ids share one error entry."""
    crm = crm_of(portal, call)
    asked = parse(_read, call.body)
    history = asked.properties_with_history or []
    inputs = _inputs(portal, call, asked.inputs, history=bool(history))
    if inputs is None:
        return _answer(portal, call, 200, [], [])
    crm.need_unique(asked.id_property, reading=True)
    ids = [str(given.id) for given in inputs]
    _need_distinct(ids)
    archived = call.flag("archived")
    names = [*(asked.properties or ()), *history]
    if asked.id_property is not None:
        names.append(asked.id_property)
    results: list[Json] = []
    missing: list[str] = []
    for id_ in ids:
        record = crm.find(id_, asked.id_property, archived=archived)
        if record is None:
            missing.append(id_)
            continue
        shown = crm.show(record, names)
        if history:
            shown["propertiesWithHistory"] = crm.show_history(record, history)
        results.append(shown)
    if missing and not results and portal.behaviour.read_all_missing_status == 404:
        raise _MissingError(crm, missing)
    _arrange(portal, results, portal.behaviour.result_order)
    return _answer(portal, call, 200, results, [_MissingError(crm, missing).entry()] if missing else [])


def archive(portal: Portal, call: Call) -> Answer:
    """`POST …/batch/archive`: 204, also for ids that do not exist."""
    crm = crm_of(portal, call)
    inputs = _inputs(portal, call, parse(_archive, call.body).inputs)
    if inputs is None:
        return _answer(portal, call, 200, [], [])
    ids = [str(given.id) for given in inputs]
    _need_distinct(ids)
    for id_ in ids:
        record = crm.find(id_)
        if record is not None:
            crm.store.archive(record, now_ms=call.now_ms, request=call.number)
    return Answer(204)


def _inputs(portal: Portal, call: Call, inputs: list[Listed] | None, *, history: bool = False) -> list[Listed] | None:
    """The inputs of a batch within its ceiling; None when there are none and the account does not mind."""
    if inputs is None:
        if portal.behaviour.accept_missing_inputs:
            return None
        raise missing_fields("inputs")
    ceiling, what = MAX_INPUTS, "batch"
    if history:
        ceiling, what = MAX_INPUTS_WITH_HISTORY, "batch request for property histories"
    if len(inputs) > ceiling:
        raise validation(
            f"The maximum number of inputs supported in a {what} is {ceiling}."
            " Please reduce the number of items and try again"
        )
    return inputs if call.only_inputs is None else inputs[: call.only_inputs]


def _need_distinct(ids: Sequence[str]) -> None:
    """Raises: Refusal when an id stands in a batch twice; trace ids do not help against that."""
    if len(set(ids)) == len(ids):
        return
    twice = [id_ for id_, number in Counter(ids).items() if number > 1]
    raise validation(
        f"Duplicate IDs found in batch input: [{', '.join(twice)}]. IDs must be unique", context={"ids": twice}
    )


def _traced(inputs: Sequence[CreateInput | UpdateInput]) -> bool:
    """Whether every input has a trace id of its own, which switches multi-status answers on."""
    trace_ids = {given.object_write_trace_id for given in inputs}
    return None not in trace_ids and "" not in trace_ids and len(trace_ids) == len(inputs)


def _settle(
    portal: Portal,
    crm: Crm,
    inputs: Sequence[Input],
    plan: Callable[[Input], Plan],
    carry_out: Callable[[Input, Plan], Json],
) -> tuple[list[Json], list[Json]]:
    """Results and error entries of a batch. Raises: Refusal when the batch is refused as a whole."""
    results: list[Json] = []
    errors: list[Json] = []
    if _traced(inputs):
        for given in inputs:
            try:
                results.append(carry_out(given, plan(given)))
            except Refusal as refusal:
                errors.append(refusal.entry(given.object_write_trace_id))
        return results, errors
    planned: list[tuple[Input, Plan]] = []
    missing: list[str] = []
    for given in inputs:
        try:
            planned.append((given, plan(given)))
        except _MissingError as absent:
            missing.extend(absent.ids)
        except Refusal:
            if portal.behaviour.refused_batch == "earlier":
                for earlier, what in planned:
                    carry_out(earlier, what)
            raise
    results = [carry_out(given, what) for given, what in planned]
    return results, [_MissingError(crm, missing).entry()] if missing else []


def _echo(portal: Portal, given: CreateInput | UpdateInput, shown: Json) -> Json:
    if portal.behaviour.echo_trace_id and given.object_write_trace_id is not None:
        shown["objectWriteTraceId"] = given.object_write_trace_id
    return shown


def _arrange(portal: Portal, results: list[Json], order: Order) -> None:
    """Put results into the account's order; shuffled ones never stay as they were."""
    if order == "sorted":
        results.sort(key=lambda shown: int(shown["id"]))
        return
    before = results.copy()
    portal.rng.shuffle(results)
    if len(results) > 1 and results == before:
        results.append(results.pop(0))


def _answer(portal: Portal, call: Call, status: int, results: list[Json], errors: list[Json]) -> Answer:
    three_digits = portal.behaviour.always_milliseconds
    payload: Json = {"status": "COMPLETE", "results": results}
    if errors:
        payload["numErrors"] = len(errors)
        payload["errors"] = errors
    payload["startedAt"] = iso(call.now_ms, three_digits)
    payload["completedAt"] = iso(portal.clock.wall_ms(), three_digits)
    return Answer(207 if errors else status, payload)
