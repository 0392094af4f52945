"""What a property value must look like to be taken, and how it reads afterwards.

Knows definitions and single values. Must not know records, requests or uniqueness.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import msgspec

from .behaviour import Behaviour
from .definitions import Definition, Option, PropertyType
from .refusals import Problem, bad_values
from .times import canonical_date, canonical_datetime

__all__ = ["PropertyBook", "Raw", "check_for"]

Raw = str | int | float | bool | None
"""A property value as JSON brings it."""

_Check = Callable[[str], str]


class BadValueError(Exception):
    """A value its property does not take."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def _datetime(always_milliseconds: bool) -> _Check:
    def check(value: str) -> str:
        try:
            return canonical_datetime(value, always_milliseconds)
        except ValueError:
            raise BadValueError("INVALID_LONG", f"{value} was not a valid long.") from None

    return check


def _date(value: str) -> str:
    try:
        return canonical_date(value)
    except ValueError:
        raise BadValueError("INVALID_DATE", f"{value} was not a valid date.") from None


def _number(value: str) -> str:
    try:
        number = float(value)
    except ValueError:
        number = float("nan")
    # float() also reads "nan", "inf" and "1_000"; none of them is a number to HubSpot.
    if number - number != 0 or "_" in value or not value.isascii():
        raise BadValueError("INVALID_LONG", f"{value} was not a valid long.")
    return value.strip()


def _bool(value: str) -> str:
    lowered = value.lower()
    if lowered not in ("true", "false"):
        options = (Option(label="Yes", value="true"), Option(label="No", value="false"))
        raise BadValueError("INVALID_OPTION", _not_an_option(value, options))
    return lowered


def _not_an_option(value: str, options: tuple[Option, ...]) -> str:
    listed = ", ".join(f'label: "{option.label}" value: "{option.value}"' for option in options)
    return f"{value} was not one of the allowed options: [{listed}]"


def _choice(options: tuple[Option, ...], many: bool) -> _Check:
    allowed = {option.value for option in options}

    def check(value: str) -> str:
        if value in allowed:
            return value
        if many:
            for part in value.removeprefix(";").split(";"):
                if part and part not in allowed:
                    raise BadValueError("INVALID_OPTION", _not_an_option(part, options))
            return value
        raise BadValueError("INVALID_OPTION", _not_an_option(value, options))

    return check


def check_for(definition: Definition, behaviour: Behaviour) -> _Check | None:
    """The check of a property's values; None where any text will do.

    An enumeration without options takes anything: owners live outside the property, and meeting types belong to an
    account the emulator does not know. The first `add_option()` makes it strict.
    """
    checks: dict[PropertyType, _Check | None] = {
        "string": None,
        "datetime": _datetime(behaviour.always_milliseconds),
        "date": _date,
        "number": _number,
        "bool": _bool,
        "enumeration": _choice(definition.options, definition.field_type == "checkbox") if definition.options else None,
    }
    return checks[definition.type]


class _Rule:
    """A definition boiled down to what every write has to ask."""

    __slots__ = ("appends", "check", "name", "read_only")

    def __init__(self, definition: Definition, check: _Check | None) -> None:
        self.name = definition.name
        self.read_only = definition.modification_metadata.read_only_value
        self.appends = definition.field_type == "checkbox"
        self.check = check


class PropertyBook:
    """All properties of one object type, and the check every written value passes."""

    def __init__(self, definitions: list[Definition], *, behaviour: Behaviour, portal_id: int) -> None:
        self._behaviour = behaviour
        self._portal_id = portal_id
        self._definitions: dict[str, Definition] = {}
        self._rules: dict[str, _Rule] = {}
        for definition in definitions:
            self.put(definition)

    def __contains__(self, name: object) -> bool:
        return name in self._rules

    def __iter__(self) -> Iterator[Definition]:
        return iter(self._definitions.values())

    def get(self, name: str) -> Definition | None:
        """The definition, or None."""
        return self._definitions.get(name)

    def put(self, definition: Definition) -> None:
        """Add a definition, or replace the one of that name."""
        self._definitions[definition.name] = definition
        self._rules[definition.name] = _Rule(definition, check_for(definition, self._behaviour))

    def add_option(self, name: str, value: str, label: str | None = None) -> None:
        """Give an enumeration one more allowed value."""
        definition = self._definitions.get(name)
        if definition is None or definition.type != "enumeration":
            raise ValueError(f"there is no enumeration {name!r} to add an option to")
        option = Option(label=label or value, value=value, display_order=len(definition.options))
        self.put(msgspec.structs.replace(definition, options=(*definition.options, option)))

    def is_unique(self, name: str) -> bool:
        """Whether the property's values are unique in the account, so that it can stand as `idProperty`."""
        definition = self._definitions.get(name)
        return definition is not None and definition.has_unique_value

    def appends(self, name: str) -> bool:
        """Whether a value with a leading `;` is added to what is there."""
        return self._rules[name].appends

    def screen(self, properties: Mapping[str, Raw]) -> dict[str, str]:
        """The values as they will be stored, `""` for those to clear. Raises: Refusal naming every bad one."""
        rules = self._rules
        longest = self._behaviour.max_text_length
        taken: dict[str, str] = {}
        problems: list[Problem] = []
        for name, raw in properties.items():
            rule = rules.get(name)
            if rule is None or rule.read_only:
                self._unwritable(name, rule, problems)
                continue
            value = raw if type(raw) is str else _as_text(raw)
            if value and rule.check is not None:
                try:
                    value = rule.check(value)
                except BadValueError as bad:
                    problems.append(Problem(name, bad.code, bad.message))
                    continue
            elif longest is not None and len(value) > longest:
                text = f"Property {name} is longer than the {longest} characters it takes."
                problems.append(Problem(name, "PROPERTY_VALUE_TOO_LONG", text))
                continue
            taken[rule.name] = value
        if problems:
            raise bad_values(problems, self._portal_id)
        return taken

    def _unwritable(self, name: str, rule: _Rule | None, problems: list[Problem]) -> None:
        if rule is None:
            if self._behaviour.unknown_property == "refuse":
                problems.append(Problem(name, "PROPERTY_DOESNT_EXIST", f'Property "{name}" does not exist'))
        elif self._behaviour.read_only_property == "refuse":
            text = f'"{name}" is a read only property; its value cannot be set.'
            problems.append(Problem(name, "READ_ONLY_VALUE", text))


def _as_text(raw: Raw) -> str:
    """Numbers and booleans are coerced; null clears, as `""` does."""
    if raw is None:
        return ""
    if raw is True:
        return "true"
    if raw is False:
        return "false"
    if isinstance(raw, float) and raw.is_integer() and abs(raw) < 1e15:
        return str(int(raw))
    return str(raw)
