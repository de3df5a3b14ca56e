"""Horizontal bars as a small SVG, drawn without a library so that the file in the repository stays readable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

_WIDTH, _LABEL_WIDTH, _VALUE_WIDTH = 760, 210, 80
_BAR_HEIGHT, _GAP, _TITLE_HEIGHT = 20, 8, 44
_INK, _OURS, _OTHER = "#57606a", "#2f6feb", "#9aa4b2"
"""Readable on a light and on a dark page."""


@dataclass(frozen=True, slots=True)
class Panel:
    """One figure of every service."""

    title: str
    unit: str
    values: Sequence[tuple[str, float]]
    """Name and value, in the order shown; the first one is ours."""


def svg_of(panels: Sequence[Panel]) -> str:
    """Return the panels below each other; the longest bar of each fills the width."""
    parts: list[str] = []
    top = 0
    for panel in panels:
        parts.append(f'<text x="0" y="{top + 28}" font-weight="600">{escape(panel.title)}</text>')
        top += _TITLE_HEIGHT
        longest = max(value for _, value in panel.values) or 1.0
        for index, (name, value) in enumerate(panel.values):
            width = max(1.0, (_WIDTH - _LABEL_WIDTH - _VALUE_WIDTH) * value / longest)
            middle = top + _BAR_HEIGHT - 6
            parts += [
                f'<text x="{_LABEL_WIDTH - 10}" y="{middle}" text-anchor="end">{escape(name)}</text>',
                f'<rect x="{_LABEL_WIDTH}" y="{top}" width="{width:.1f}" height="{_BAR_HEIGHT}" rx="3" '
                f'fill="{_OTHER if index else _OURS}"/>',
                f'<text x="{_LABEL_WIDTH + width + 8:.1f}" y="{middle}">{value:.0f} {escape(panel.unit)}</text>',
            ]
            top += _BAR_HEIGHT + _GAP
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {top}" '
        f'font-family="system-ui, sans-serif" font-size="13" fill="{_INK}">'
    )
    return "\n".join([head, *parts, "</svg>", ""])
