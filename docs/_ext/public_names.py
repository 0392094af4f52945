"""The reference, from docstrings as they are written here: plain sentences, `names` in backticks, indented code.

`.. public::` in a page documents names of a module; without names, all of its `__all__`, narrowed by `:from:` (what
that module has too), `:beside:` (what it has not) and `:without:` (names). `:given:` leaves out how objects are made
which one is given and does not make (the fields of Structs stay).
"""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from enum import Enum
from types import ModuleType
from typing import Any, ClassVar, cast

from docutils import nodes
from docutils.parsers.rst import directives
from docutils.statemachine import StringList
from msgspec import Struct
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.pycode import ModuleAnalyzer
from sphinx.util.docutils import SphinxDirective
from sphinx.util.nodes import make_refnode

_SECTIONS = re.compile(r"(Args|Attributes|Raises|Returns|Yields|Example|Examples|Note|Warning):$")
_CODE = re.compile(r"(`[^`]+`)")
_EMPHASIS = re.compile(r"((?<!\w)\*\*?\w[^*]*\*\*?(?!\w))|[*|\\]|(?<=\w)_(?!\w)")
"""Emphasis as it is meant, or a sign that would be taken for markup and is none."""


class Public(SphinxDirective):
    """Documents public names of the module that is its argument."""

    required_arguments = 1
    has_content = True
    option_spec: ClassVar[dict[str, Any]] = {"from": str, "beside": str, "without": str, "given": directives.flag}

    def run(self) -> list[nodes.Node]:
        module = importlib.import_module(self.arguments[0])
        names = [line.strip() for line in self.content if line.strip()]
        lines: list[str] = []
        for name in names or self._all(module):
            if "given" in self.options:
                _given.add(f"{module.__name__}.{name}")
            lines += _directive(self.arguments[0], name, getattr(module, name))
        found = nodes.section()
        found.document = self.state.document
        self.state.nested_parse(StringList(lines, self.arguments[0]), self.content_offset, found)
        return found.children

    def _all(self, module: ModuleType) -> list[str]:
        names: list[str] = list(module.__all__)
        if "from" in self.options:
            names = [name for name in names if name in importlib.import_module(self.options["from"]).__all__]
        if "beside" in self.options:
            names = [name for name in names if name not in importlib.import_module(self.options["beside"]).__all__]
        return [name for name in names if name not in self.options.get("without", "").split()]


class Commands(SphinxDirective):
    """The `--help` of every command, as a terminal of a hundred columns shows it."""

    def run(self) -> list[nodes.Node]:
        from typer.main import get_command

        from hubspot_meetings_async.cli.app import app

        group = get_command(app)
        found: list[nodes.Node] = []
        for name, command in group.commands.items():
            if command.add_help_option:
                with command.make_context(f"hubspot-meetings {name}", [], resilient_parsing=True) as context:
                    context.max_content_width = context.terminal_width = 100
                    text = command.get_help(context)
                section = nodes.section(ids=[f"hubspot-meetings-{name}"])
                section += nodes.title(text=name)
                section += nodes.literal_block(text, text, language="text")
                found.append(section)
        return found


def _directive(module: str, name: str, thing: object) -> list[str]:
    if inspect.isclass(thing):
        extra = ["   :show-inheritance:"] if issubclass(thing, BaseException) else []
        extra += ["   :undoc-members:"] if issubclass(thing, Enum) else []
        return [f".. autoclass:: {module}.{name}", "   :members:", *extra, ""]
    if inspect.isroutine(thing):
        return [f".. autofunction:: {module}.{name}", ""]
    lines = [f".. py:data:: {name}", f"   :module: {module}"]
    if isinstance(thing, (str, int, float)):
        lines.append(f"   :value: {thing!r}")
    return [*lines, "", *(f"   {line}" for line in as_rst(_written_of(module, name))), ""]


def _written_of(module: str, name: str) -> list[str]:
    """The text below an assignment, wherever in the package it is."""
    package = module.partition(".")[0]
    for other in [module, *sorted(sys.modules)]:
        if other.partition(".")[0] == package:
            written = ModuleAnalyzer.for_module(other).find_attr_docs().get(("", name))
            if written:
                return list(written)
    return []


def as_rst(lines: list[str]) -> list[str]:
    """A docstring as reStructuredText: code and tables are marked, and signs in prose stand for themselves."""
    made: list[str] = []
    in_code = in_section = False
    before = ""
    rows = 0
    for line in lines:
        if line.startswith("|"):
            made += _table_row(line, rows)
            rows += 1
            continue
        rows = 0
        if not line.strip():
            made.append(line)
            continue
        if not line.startswith(" "):
            in_code = False
            in_section = bool(_SECTIONS.match(line))
        elif not in_code and not in_section and made and not made[-1].strip() and before:
            in_code = True
            made += [".. code-block:: python", ""]
        before = line
        made.append(line if in_code or _SECTIONS.match(line) else _prose(line))
    return made


def _table_row(line: str, number: int) -> list[str]:
    """A row of a table written as in Markdown; the second one is a line below the header."""
    if number == 1:
        return []
    first, *others = (_prose(cell.strip()) for cell in line.strip("| ").split("|"))
    begin = [".. list-table::", "   :header-rows: 1", ""] if number == 0 else []
    return [*begin, f"   * - {first}", *(f"     - {cell}" for cell in others)]


def _prose(line: str) -> str:
    pieces = _CODE.split(line)
    made: list[str] = []
    for place, piece in enumerate(pieces):
        if place % 2:
            # Other than in reStructuredText, a letter may follow at once.
            glue = "\\ " if pieces[place + 1][:1].isalnum() else ""
            made.append(f"`{piece}`{glue}")
        else:
            made.append(_EMPHASIS.sub(_escaped, piece))
    return "".join(made)


def _escaped(found: re.Match[str]) -> str:
    return found[0] if found[1] else f"\\{found[0]}"


_given: set[str] = set()


def _sign(
    _app: Sphinx, what: str, name: str, thing: object, _options: object, signature: str | None, answer: str | None
) -> tuple[str | None, str | None]:
    made_by_us = what == "class" and name in _given and not issubclass(cast("type", thing), Struct)
    # As it stands, `<factory>` would keep the whole signature from being understood.
    return ("", None) if made_by_us else (signature and signature.replace("<factory>", "..."), answer)


_raw: dict[str, list[str]] = {}


def _prepare(_app: Sphinx, what: str, name: str, _thing: object, _options: object, lines: list[str]) -> None:
    lines[:] = as_rst(lines)
    if what in ("attribute", "property", "data"):
        _raw[name] = list(lines)


def _restore(_app: Sphinx, what: str, name: str, _thing: object, _options: object, lines: list[str]) -> None:
    """Napoleon takes what stands before a colon for a type; here it is a sentence."""
    if what in ("attribute", "property", "data"):
        lines[:] = _raw.pop(name)


def _resolve(app: Sphinx, env: BuildEnvironment, node: nodes.Element, text: nodes.TextElement) -> nodes.Node | None:
    """Names of our own that a signature mentions: the public one where there is one, else its name alone.

    A name that does not exist at all is left to be complained of.
    """
    target = str(node.get("reftarget", ""))
    module, _, name = target.rpartition(".")
    if node.get("refdomain") != "py" or module.partition(".")[0] != "hubspot_meetings_async":
        return None
    for public in ("hubspot_meetings_async", "hubspot_meetings_async.models"):
        found = env.domains.python_domain.objects.get(f"{public}.{name}")
        if found is not None:
            return make_refnode(app.builder, node["refdoc"], found.docname, found.node_id, text)
    try:
        there = hasattr(importlib.import_module(module), name)
    except ImportError:
        there = False
    return text if there else None


def setup(app: Sphinx) -> dict[str, Any]:
    """Add what the pages use."""
    app.add_directive("public", Public)
    app.add_directive("commands", Commands)
    app.connect("autodoc-process-signature", _sign)
    app.connect("autodoc-process-docstring", _prepare, priority=100)
    app.connect("autodoc-process-docstring", _restore, priority=900)
    app.connect("missing-reference", _resolve)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
