"""Arguments for the tools that the chat page carries out itself: its theme, and charts.

Pure. The sentences that ask for them are in ``triggers``; which page carries a call out is in docs/adr/0050.
"""

from __future__ import annotations

import re
from typing import Any

_NAMED_THEME = r"\b(?P<theme>dark|light|system)[ -](?:theme|mode|colou?rs)\b"
_CHANGED_PAGE = r"\b(?:theme|mode|page|screen)\b.{0,20}?\b(?:to|in|be|as)\s+(?P<other>dark|light)\b"
_MADE = r"\bmake (?:it|the page|everything) (?P<made>dark|light)\b"
THEME = re.compile(f"{_NAMED_THEME}|{_CHANGED_PAGE}|{_MADE}", re.IGNORECASE)

_DRAW = r"\b(?:draw|show|make|plot|chart)\b(?P<before>[^\d]{0,40}?)\b(?:chart|graph|diagram)\b"
_DATA = r"(?:\s+(?:of|for|with|from))?\s*(?P<data>.*\d.*)"
CHART = re.compile(_DRAW + _DATA, re.IGNORECASE | re.DOTALL)

_PARTS = re.compile(r"[,;\n]|\s+and\s+", re.IGNORECASE)
_VALUE = r"-?\d+(?:\.\d+)?"
_POINT = re.compile(rf"^(?P<label>.*?)[\s:=]*(?<![\w.])(?P<value>{_VALUE})\s*%?\W*$", re.DOTALL)
_ANY_POINT = re.compile(rf"(?P<label>)(?<![\w.])(?P<value>{_VALUE})(?![\w])")


def theme_arguments(match: re.Match[str]) -> dict[str, Any]:
    """Return the arguments of ``set_theme``."""
    return {"theme": (match["theme"] or match["other"] or match["made"]).lower()}


def chart_arguments(match: re.Match[str]) -> dict[str, Any]:
    """Return the arguments of ``show_chart``: numbers, with the words before them as labels, after a title and a colon."""
    data: str = match["data"].strip()
    title, colon, rest = data.partition(":")
    # A colon after a number belongs to the data.
    has_title = bool(colon) and not re.search(r"\d", title)
    points = _points(rest if has_title else data)
    values = [_number(point["value"]) for point in points]
    labels = [point["label"].strip() for point in points]
    arguments: dict[str, Any] = {
        "title": title.strip().capitalize() if has_title and title.strip() else "Your numbers",
        "kind": "line" if re.search(r"\bline\b", match["before"], re.IGNORECASE) else "bar",
        "values": values,
    }
    if any(labels):
        arguments["labels"] = [label or str(place) for place, label in enumerate(labels, start=1)]
    return arguments


def _points(data: str) -> list[re.Match[str]]:
    """Return the numbers of a list, each with the words before it; of other texts, all numbers."""
    parts = [part for part in _PARTS.split(data) if re.search(r"\d", part)]
    points = [_POINT.match(part.strip()) for part in parts]
    if len(parts) > 1 and all(points):
        return [point for point in points if point]
    return list(_ANY_POINT.finditer(data))


def _number(text: str) -> float:
    value = float(text)
    return int(value) if value.is_integer() else value
