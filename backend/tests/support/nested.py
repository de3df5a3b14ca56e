"""Values that are nested deeply."""

from __future__ import annotations

from typing import Any


def nested(levels: int) -> Any:
    """Return a number in so many lists."""
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value
