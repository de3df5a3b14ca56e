"""The places of events in a thread, the mirror of the Flutter app's ``domain/chat_cursor.dart``."""

from __future__ import annotations

import re


def is_behind(cursor: str, last: str | None) -> bool:
    """Say whether an event at a cursor came before, or is the one at ``last``.

    A cursor is ``<run>-<event>``. The events of an opening count down to one: ``3-17.2``, ``3-17.1``, ``3-17``.
    """
    place = _place_of(cursor)
    reached = None if last is None else _place_of(last)
    if place is None or reached is None:
        return False
    return place <= reached


# No more digits than a number has on the web.
_CURSOR = re.compile(r"(\d{1,15})-(\d{1,15})(?:\.(\d{1,15}))?")


def _place_of(cursor: str) -> list[int] | None:
    found = _CURSOR.fullmatch(cursor)
    if found is None:
        return None
    return [int(found[1]), int(found[2]), -int(found[3] or "0")]
