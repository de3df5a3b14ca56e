"""The names of tools that OpenAI-compatible providers accept."""

from __future__ import annotations

MAX_CHARACTERS = 64
TOOL_NAME = rf"[A-Za-z0-9_-]{{1,{MAX_CHARACTERS}}}"
"""A regular expression for the whole name. ASCII only."""
