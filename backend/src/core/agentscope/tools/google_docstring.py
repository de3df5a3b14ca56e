"""Reads a Google-style docstring: what a function does, and what each argument means."""

from __future__ import annotations

import inspect
import itertools
import re
from dataclasses import dataclass, field

_SECTION = re.compile(r"(Args|Arguments|Parameters|Returns|Return|Yields|Raises|Examples?|Notes?|Source):")
_ARGUMENT = re.compile(r"\*{0,2}(?P<name>\w+)(?:\s*\(.*?\))?:\s*(?P<text>.*)")


@dataclass(frozen=True, slots=True)
class Docstring:
    """``description`` is everything before the first section."""

    description: str = ""
    arguments: dict[str, str] = field(default_factory=dict)


def parse_docstring(text: str | None) -> Docstring:
    """Split a docstring; what does not look like Google style is description.

    Source: Google Python Style Guide, section 3.8.3.
    """
    if not text:
        return Docstring()
    lines = inspect.cleandoc(text).splitlines()
    starts = [index for index, line in enumerate(lines) if _SECTION.fullmatch(line)]
    description = "\n".join(lines[: starts[0]] if starts else lines).strip()
    arguments: dict[str, str] = {}
    for start, end in itertools.pairwise([*starts, len(lines)]):
        if lines[start] in ("Args:", "Arguments:", "Parameters:"):
            arguments.update(_arguments(lines[start + 1 : end]))
    return Docstring(description, arguments)


def _arguments(lines: list[str]) -> dict[str, str]:
    """An argument starts at the section's own indentation; deeper lines continue it."""
    found: dict[str, list[str]] = {}
    current: list[str] = []
    indents = [len(line) - len(line.lstrip()) for line in lines if line.strip()]
    base = min(indents, default=0)
    for line in lines:
        match = _ARGUMENT.fullmatch(line.strip()) if len(line) - len(line.lstrip()) == base else None
        if match:
            current = found.setdefault(match["name"], [])
            current.append(match["text"])
        else:
            current.append(line.strip())
    return {name: " ".join(part for part in parts if part) for name, parts in found.items()}
