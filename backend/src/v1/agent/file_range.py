"""Which bytes of a file a request wants: ranges and conditions of HTTP. Pure.

Source: RFC 9110, sections 13 and 14. One range is answered; a request for several gets the whole file, as the RFC
allows.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from core.errors import RangeNotSatisfiable

_RANGE = re.compile(r"bytes\s*=\s*(\d{0,18})\s*-\s*(\d{0,18})\s*", re.ASCII)


def is_unchanged(headers: Mapping[str, str], etag: str) -> bool:
    """Say whether the client has the bytes already (``If-None-Match``)."""
    known = [tag.strip().removeprefix("W/") for tag in headers.get("if-none-match", "").split(",")]
    return etag in known or known == ["*"]


def wanted_range(headers: Mapping[str, str], etag: str, size: int) -> tuple[int, int] | None:
    """Return the first byte that is wanted, and the first one that is not; ``None`` for the whole file.

    Raises:
        RangeNotSatisfiable: The range begins behind the file, or is of no bytes.
    """
    condition = headers.get("if-range")
    if condition is not None and condition.strip() != etag:
        return None
    found = _RANGE.fullmatch(headers.get("range", "").strip())
    if found is None or found.groups() == ("", ""):
        return None
    first, last = found.groups()
    if first and last and int(last) < int(first):
        # Not a range at all, so it is ignored.
        return None
    start = int(first) if first else max(size - int(last), 0)
    end = min(int(last) + 1, size) if first and last else size
    if start >= end:
        raise RangeNotSatisfiable(f"The file has {size} bytes.", bytes=size)
    return start, end
