"""`make conformance`: judges of the emulator that are no Python tests. HubSpot's Node client, and its OpenAPI files.

    python -m tests.conformance [--specs DIR] [--examples N]

What they need is installed into a temporary folder, which is removed again. The OpenAPI files (`*.openapi.json`) are
not part of this project: without `--specs` that judge is left out.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

from hubspot_meetings_async.emulator import Behaviour, Emulator
from hubspot_meetings_async.emulator.threaded import ThreadedEmulator
from tests.conformance.specs import Known, judge_of, spec_files

NODE = Path(__file__).parent / "node"
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
TYPES = ["meetings", "contacts", "0-47", "0-1"]


def main() -> int:
    """Ask each judge; the exit code is 0 when all are content, 1 when one is not, 2 when one could not be asked."""
    parser = argparse.ArgumentParser(prog="python -m tests.conformance")
    parser.add_argument("--specs", type=Path, metavar="DIR", help="folder with HubSpot's *.openapi.json")
    parser.add_argument("--examples", type=int, default=100, metavar="N", help="requests per endpoint (%(default)s)")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="conformance-") as folder:
        verdicts = [node_client(Path(folder))]
        if asked.specs is None:
            say("\nHubSpot's OpenAPI files: left out; make conformance SPECS=DIR asks them too")
        else:
            verdicts.append(openapi_files(Path(folder), asked.specs, asked.examples))
    return max(verdicts)


def node_client(folder: Path) -> int:
    """HubSpot's Node client: every journey of its users, its errors and its retries."""
    say("HubSpot's Node client, @hubspot/api-client")
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        say("not asked: Node.js 18 or newer with npm is needed and was not found (nodejs.org, or apt-get install npm)")
        return 2
    home = shutil.copytree(NODE, folder / "node")
    if subprocess.run(
        [npm, "install", "--no-audit", "--no-fund", "--no-package-lock", "--silent"], cwd=home
    ).returncode:
        say("not asked: npm could not install it")
        return 2
    with ThreadedEmulator(Emulator(limit=190)) as hubspot:
        judged = subprocess.run([node, "--test"], cwd=home, env={**os.environ, "HUBSPOT_URL": hubspot.url})
    return 1 if judged.returncode else 0


def openapi_files(folder: Path, specs: Path, examples: int) -> int:
    """Requests drawn from HubSpot's OpenAPI files, good and bad: no 5xx, and answers as the files have them."""
    say("\nHubSpot's OpenAPI files")
    try:
        files = spec_files(specs)
    except ValueError as error:
        say(f"not asked: {error}")
        return 2
    venv.create(folder / "venv", with_pip=True)
    programs = folder / "venv" / ("Scripts" if sys.platform == "win32" else "bin")
    if subprocess.run([programs / "python", "-m", "pip", "install", "--quiet", "schemathesis>=4"]).returncode:
        say("not asked: pip could not install schemathesis")
        return 2
    verdict = 0
    for file in files:
        emulator, known = account()
        judge = folder / file.name
        judge.write_text(json.dumps(judge_of(file, known)), "utf-8")
        with ThreadedEmulator(emulator) as hubspot:
            judged = subprocess.run(
                [
                    *(programs / "schemathesis", "run", judge, "--url", hubspot.url),
                    *("--header", "Authorization: Bearer any", "--checks", CHECKS),
                    *("--phases", "examples,coverage,fuzzing", "--max-examples", str(examples), "--seed", "1"),
                    *("--continue-on-failure", "--generation-database", "none", "--warnings", "off"),
                ],
                cwd=folder,
            )
        say(f"statuses: {dict(sorted(emulator.stats().by_status.items()))}")
        verdict = max(verdict, 1 if judged.returncode else 0)
    return verdict


def account() -> tuple[Emulator, Known]:
    """An account without limits, and what exists in it."""
    emulator = Emulator(limit=None, search_limit=None, behaviour=Behaviour(search_delay_s=0))
    emulator.portal.add_property("booking_ref", unique=True)
    ids = [str(emulator.portal.add_object("meetings", properties={"hs_meeting_title": "x"})) for _ in range(5)]
    slugs = ["maya.lindqvist/intro", "sales/demo"]
    return emulator, {
        **dict.fromkeys(("objectType", "fromObjectType", "toObjectType"), TYPES),
        **dict.fromkeys(("meetingId", "objectId", "fromObjectId"), ids),
        **dict.fromkeys(("slug", "meetingLinkSlug"), slugs),
        "toObjectId": ["101"],
        "idProperty": ["booking_ref"],
        "timezone": ["UTC", "Europe/Berlin"],
        "organizerUserId": ["51204417"],
        "properties": ["hs_meeting_title", "hs_meeting_outcome", "hs_timestamp", "booking_ref"],
    }


def say(text: str) -> None:
    """To whoever runs this."""
    print(text, flush=True)  # noqa: T201


if __name__ == "__main__":
    raise SystemExit(main())
