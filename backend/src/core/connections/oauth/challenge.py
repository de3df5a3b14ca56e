"""Reads ``WWW-Authenticate``: what a protected MCP server says about the token that it wants."""

from __future__ import annotations

import re
from dataclasses import dataclass

_MAX_CHARACTERS = 8192
_SCHEME = re.compile(r"(?:^|,)\s*bearer(?=[\s,]|$)", re.IGNORECASE)
_PARAMETER = re.compile(
    r"""[\s,]*([A-Za-z0-9!#$%&'*+.^_`|~-]{1,64})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))"""
)
_ESCAPED = re.compile(r"\\(.)")


@dataclass(frozen=True, slots=True)
class Challenge:
    """The parameters of a ``Bearer`` challenge; empty where the server says nothing."""

    error: str = ""
    scope: str = ""
    """What a token needs for this request, separated by spaces."""
    resource_metadata: str = ""
    """Address of the metadata of RFC 9728."""

    @property
    def wants_more(self) -> bool:
        """Whether the token was good, but does not allow this."""
        return self.error == "insufficient_scope"


def bearer_challenge(header: str) -> Challenge:
    """Return the first ``Bearer`` challenge of a header.

    Source: RFC 6750, section 3; RFC 9728, section 5.1; RFC 9110, section 11.6.1.
    """
    header = header[:_MAX_CHARACTERS]
    if (scheme := _SCHEME.search(header)) is None:
        return Challenge()
    found: dict[str, str] = {}
    place = scheme.end()
    # A new scheme is a word without "=": there the parameters end.
    while (match := _PARAMETER.match(header, place)) is not None:
        value = match[3] if match[2] is None else _ESCAPED.sub(r"\1", match[2])
        found.setdefault(match[1].lower(), value)
        place = match.end()
    return Challenge(found.get("error", ""), found.get("scope", ""), found.get("resource_metadata", ""))
