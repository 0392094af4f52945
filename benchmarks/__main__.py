"""All benchmarks: `python -m benchmarks [NAME …] [--quick | --full] [--json FILE]`; `make bench` is the usual ones."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from . import instructions, memory, quota, race, shared_quota, startup
from .figures import Table, machine, said

Measure = Callable[..., Iterator[Table]]

TABLES: dict[str, Measure] = {
    "race": race.measure,
    "instructions": instructions.measure,
    "startup": startup.measure,
    "memory": memory.measure,
    "quota": quota.measure,
    "shared": shared_quota.measure,
}
TEXTS = {
    "limiter": "benchmarks.limiter_sim",
    "journal": "benchmarks.journal",
    "emulator": "benchmarks.emulator",
    "scale": "benchmarks.scale",
    "sync": "benchmarks.sync",
}
"""Programs of their own, whose output is kept as it is."""
USUAL = (*TABLES, "limiter")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run those named, or the usual ones. Returns the exit code."""
    asked = _parser().parse_args(arguments)
    names = asked.names or [name for name in USUAL if not (asked.quick and name in TEXTS)]
    if unknown := [name for name in names if name not in {**TABLES, **TEXTS}]:
        print(f"no benchmark called {', '.join(unknown)}; there are {', '.join((*TABLES, *TEXTS))}", file=sys.stderr)
        return 2
    about = {"at": datetime.now(UTC).isoformat(timespec="seconds"), **machine()}
    print(said(about), flush=True)
    found: dict[str, Any] = {}
    failed = 0
    for name in names:
        began_at = time.perf_counter()
        print(f"\n## {name}", flush=True)
        if name in TABLES:
            found[name] = []
            for table in TABLES[name](quick=asked.quick, full=asked.full):
                table.show()
                found[name].append(table.plain())
        else:
            found[name], code = _run(TEXTS[name])
            failed = max(failed, code)
        print(f"({name}: {time.perf_counter() - began_at:.0f} s)", flush=True)
    if left := [name for name in (*TABLES, *TEXTS) if name not in names]:
        print(f"\nNot run: {', '.join(left)}; by name: python -m benchmarks {' '.join(left)}")
    if asked.json is not None:
        asked.json.write_text(json.dumps({"machine": about, "benchmarks": found}, indent=1) + "\n")
    return failed


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join((*TABLES, *TEXTS))}")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="a look in a minute and a half: few records, three rounds")
    size.add_argument("--full", action="store_true", help="100,000 records in every combination, some half an hour")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures, and the machine's, to a file")
    return parser


def _run(module: str) -> tuple[str, int]:
    lines: list[str] = []
    with subprocess.Popen([sys.executable, "-m", module], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            lines.append(line)
    return "".join(lines), process.returncode


if __name__ == "__main__":
    raise SystemExit(main())
