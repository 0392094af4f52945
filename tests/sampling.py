"""Real exchanges as files: `tests/samples/<endpoint>/<case>.json`, with status, headers, body and where it is from."""

import json
from pathlib import Path
from typing import Any

from multidict import CIMultiDict

from hubspot_meetings_async.wire import Response

SAMPLES = Path(__file__).parent / "samples"


def names(endpoint: str = "*") -> list[str]:
    """All samples of an endpoint as `endpoint/case`."""
    return sorted(path.relative_to(SAMPLES).with_suffix("").as_posix() for path in SAMPLES.glob(f"{endpoint}/*.json"))


def payload(name: str) -> Any:
    """The body of a sample as a JSON value, or as text."""
    return json.loads((SAMPLES / f"{name}.json").read_text())["body"]


def response(name: str) -> Response:
    """A sample as the transport would hand it on."""
    sample = json.loads((SAMPLES / f"{name}.json").read_text())
    body = sample["body"]
    raw = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    return Response(sample["status"], CIMultiDict(sample["headers"]), raw)


def answer(status: int, body: Any = None, **headers: str) -> Response:
    """An answer made up on the spot; `body` as bytes, or as a JSON value. Underscores in header names are dashes."""
    raw = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    return Response(status, CIMultiDict({name.replace("_", "-"): value for name, value in headers.items()}), raw)
