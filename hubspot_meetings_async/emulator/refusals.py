"""HubSpot's way of saying no: the error body, its categories, and the texts clients have learnt to read.

Knows statuses and JSON shapes. Must not know records, routes or sockets: whoever finds something wrong raises a
`Refusal`, the front door turns it into an answer.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["Problem", "Refusal", "bad_values", "not_found", "validation"]

Json = dict[str, Any]


class Refusal(Exception):
    """A request, or one input of a batch, that HubSpot would not carry out."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        category: str | None = None,
        context: Mapping[str, Sequence[str]] | None = None,
        errors: Sequence[Json] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.category = category
        self.context = context
        self.errors = errors
        self.extra = extra

    def body(self, correlation_id: str) -> Json:
        """The whole answer's body."""
        body: Json = {"status": "error", "message": self.message, "correlationId": correlation_id}
        if self.context:
            body["context"] = self.context
        if self.errors:
            body["errors"] = self.errors
        if self.category:
            body["category"] = self.category
        if self.extra:
            body.update(self.extra)
        return body

    def entry(self, trace_id: str | int | None = None) -> Json:
        """The same refusal as one entry of a multi-status answer; recorded entries carry little else."""
        context: dict[str, Sequence[str]] = dict(self.context or {})
        if trace_id is not None:
            context["objectWriteTraceId"] = [str(trace_id)]
        return {
            "status": "error",
            "category": self.category or "VALIDATION_ERROR",
            "message": self.message,
            "context": context,
        }


class Problem:
    """One property value that does not hold."""

    __slots__ = ("code", "message", "name")

    def __init__(self, name: str, code: str, message: str) -> None:
        self.name = name
        self.code = code
        self.message = message


def validation(message: str, *, context: Mapping[str, Sequence[str]] | None = None) -> Refusal:
    """A 400 of the common kind."""
    return Refusal(400, message, category="VALIDATION_ERROR", context=context)


def not_found(id_: str) -> Refusal:
    """The 404 for one record. HubSpot words it differently for ids that are no numbers."""
    if id_.isascii() and id_.isdigit():
        return Refusal(404, "resource not found")
    return Refusal(
        404,
        "Object not found.  objectId are usually numeric.",
        category="OBJECT_NOT_FOUND",
        context={"id": [id_]},
    )


def bad_values(problems: Sequence[Problem], portal_id: int) -> Refusal:
    """The 400 for property values, with HubSpot's list-as-JSON inside the message."""
    listed = [
        {
            "isValid": False,
            "message": problem.message,
            "error": problem.code,
            "name": problem.name,
            "localizedErrorMessage": problem.message,
            "portalId": portal_id,
        }
        for problem in problems
    ]
    text = json.dumps(listed, separators=(",", ":"), ensure_ascii=False)
    return Refusal(
        400,
        f"Property values were not valid: {text}",
        category="VALIDATION_ERROR",
        errors=[
            {"message": problem.message, "code": problem.code, "context": {"propertyName": [problem.name]}}
            for problem in problems
        ],
    )
