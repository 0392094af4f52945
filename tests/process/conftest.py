"""What the tests of whole processes share."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shim(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The library that stands between SQLite and the disk (see `store_shim.c`)."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("the shim needs a C compiler and LD_PRELOAD of Linux")
    library = tmp_path_factory.mktemp("shim") / "shim.so"
    source = Path(__file__).parents[1] / "bulk" / "journal" / "store_shim.c"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True, timeout=60)
    return str(library)
