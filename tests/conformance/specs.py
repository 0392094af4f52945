"""HubSpot's OpenAPI files as a judge: relaxed where real answers are known to depart from them, sharpened elsewhere.

Knows the files' shapes, not the emulator. The files themselves stay where the user has them.
"""

import json
from pathlib import Path
from typing import Any

__all__ = ["Known", "judge_of", "spec_files"]

REFUSALS = ("400", "401", "404", "405", "409", "413", "414", "415")
"""What an account without faults and limits answers to bad requests; `default` would allow anything."""

# Where the published schema insists on members that real traffic leaves out.
REQUIRED = {
    "StandardError": ["status", "category", "message"],
    "Error": ["message"],
    "SimplePublicObjectInputForCreate": ["properties"],
    "SimplePublicObjectBatchInputForCreate": ["properties"],
    "BatchReadInputSimplePublicObjectId": ["inputs"],
    "PublicObjectSearchRequest": [],
}

Known = dict[str, list[str]]
"""Path parameters, and under `properties` the property names, that exist in the account. Good requests use them, or
nearly all would be refused at the door; bad ones are drawn too."""


def spec_files(folder: Path) -> list[Path]:
    """The OpenAPI files of a folder. Raises: ValueError when there are none."""
    found = sorted(folder.glob("*.openapi.json")) if folder.is_dir() else []
    if not found:
        raise ValueError(f"{folder} holds no *.openapi.json; SPECS names the folder with HubSpot's OpenAPI files")
    return found


def judge_of(file: Path, known: Known) -> dict[str, Any]:
    """The schema of a file as it is to be held against the emulator."""
    spec: dict[str, Any] = json.loads(file.read_text("utf-8"))
    schemas = spec["components"]["schemas"]
    for name, members in REQUIRED.items():
        if name in schemas:
            schemas[name]["required"] = members
            if not members:
                del schemas[name]["required"]
    if "StandardError" in schemas:
        schemas["StandardError"]["properties"]["subCategory"] = {}
    category = schemas.get("AssociationSpec", {}).get("properties", {}).get("associationCategory", {})
    if "WORK" not in category.get("enum", ["WORK"]):
        category["enum"].append("WORK")
    error = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    for operations in spec["paths"].values():
        for operation in operations.values():
            _answers(operation["responses"], error)
            for parameter in operation.get("parameters", ()):
                if parameter["name"] in known:
                    parameter["schema"] = {"type": "string", "enum": known[parameter["name"]]}
    for name in ("SimplePublicObjectInput", "SimplePublicObjectInputForCreate", "SimplePublicObjectBatchInput"):
        if name in schemas:
            values = schemas[name]["properties"]["properties"]
            named = {**values, "maxProperties": 2, "propertyNames": {"enum": known["properties"]}}
            schemas[name]["properties"]["properties"] = {"anyOf": [named, values]}
    spec.pop("security", None)
    return spec


def _answers(responses: dict[str, Any], error: dict[str, Any]) -> None:
    del responses["default"]
    for status in REFUSALS:
        responses[status] = {"description": "refused", "content": error}
    for answer in responses.values():
        if not answer.get("content", True):
            del answer["content"]
