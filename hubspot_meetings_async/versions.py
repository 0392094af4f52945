"""Which versions of HubSpot's API this library speaks.

This module knows names of versions. It must not know paths or endpoints.

HubSpot: https://developers.hubspot.com/docs/developer-tooling/platform/versioning
"""

from __future__ import annotations

from typing import Final

from .errors import ConfigurationError

__all__ = ["API_VERSIONS", "known_version"]

API_VERSIONS: Final = ("v3", "2026-03", "2026-09")
"""The API versions this library speaks. Shapes are the same; paths differ."""


def known_version(api_version: str) -> str:
    """`api_version`, if it is one of them. Raises: ConfigurationError."""
    if api_version not in API_VERSIONS:
        raise ConfigurationError(f"api_version must be one of {', '.join(API_VERSIONS)}, not {api_version!r}")
    return api_version
