"""All benchmarks, one after the other: `python -m benchmarks [NAME …]`. Each is a module that also runs alone."""

from __future__ import annotations

import subprocess
import sys

BENCHMARKS = {
    "limiter": ("benchmarks.limiter_sim",),
    "bulk": ("benchmarks.bulk_create",),
    "journal": ("benchmarks.journal",),
    "memory": ("benchmarks.memory",),
    "emulator": ("benchmarks.emulator",),
}


def main(names: list[str]) -> int:
    """Run those named, or all. Returns the exit code."""
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        print(f"no benchmark called {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}", file=sys.stderr)
        return 2
    codes = []
    for name in names or BENCHMARKS:
        print(f"== {name}", flush=True)
        codes.append(subprocess.run([sys.executable, "-m", *BENCHMARKS[name]], check=False).returncode)
    return max(codes)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
