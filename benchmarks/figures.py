"""Tables, and the machine they were measured on. Knows nothing of what is measured."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

__all__ = ["Table", "machine", "median", "ratio", "said"]

_NAMED = (
    "hubspot-meetings-async", "aiohttp", "msgspec", "uvloop", "hubspot-api-client", "hubspot-sdk", "httpx-aiohttp"
)  # fmt: skip


@dataclass
class Table:
    """What one benchmark found. `rows` hold numbers where there are any; None is shown as a dash."""

    title: str
    columns: Sequence[str]
    rows: list[list[Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, *cells: object) -> None:
        """One more row."""
        assert len(cells) == len(self.columns)
        self.rows.append(list(cells))

    def note(self, text: str) -> None:
        """A line below the table, once."""
        if text not in self.notes:
            self.notes.append(text)

    def show(self) -> None:
        """Print it, as Markdown."""
        print(f"\n### {self.title}\n\n| {' | '.join(self.columns)} |\n|{'---|' * len(self.columns)}")
        for row in self.rows:
            print(f"| {' | '.join(_shown(cell) for cell in row)} |")
        for text in self.notes:
            print(f"\n{text}")
        print(flush=True)

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def _shown(cell: object) -> str:
    match cell:
        case None:
            return "–"
        case float():
            digits = 0 if abs(cell) >= 1000 else 1 if abs(cell) >= 100 else 2
            return f"{cell:,.{digits}f}"
        case int():
            return f"{cell:,}"
        case _:
            return str(cell)


def median(values: Iterable[float]) -> float:
    """The median."""
    return statistics.median(values)


def ratio(ours: Sequence[float], base: Sequence[float]) -> float:
    """The median of the ratios round by round: a machine whose speed drifts changes both sides of a pair."""
    return statistics.median(a / b for a, b in zip(ours, base, strict=True))


def machine() -> dict[str, Any]:
    """Where and with what."""
    versions: dict[str, str] = {}
    for name in _NAMED:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "not installed"
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "load": [round(value, 1) for value in os.getloadavg()] if hasattr(os, "getloadavg") else None,
        "system": platform.platform(terse=True),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "versions": versions,
    }


def said(about: dict[str, Any]) -> str:
    """`machine()` in two lines."""
    versions = ", ".join(f"{name} {number}" for name, number in about["versions"].items())
    return (
        f"{about['processor']}, {about['cores']} cores, load {about['load']}, {about['system']}\n"
        f"{about['python']}, {versions}"
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()
