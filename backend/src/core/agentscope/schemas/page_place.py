"""The text of ``nextBefore``: where a page ends. Opaque for clients, so that what is in it can change."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

_NUMBER = re.compile("[1-9][0-9]{0,17}")
_NOT_A_PLACE = "not the 'nextBefore' of a page"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class NumberPlace:
    """Where a page of numbered rows ends: behind the row with this number."""

    number: int

    @classmethod
    def parse(cls, text: str) -> NumberPlace:
        """Read a place; ``parse(str(place)) == place``.

        Raises:
            ValueError: The text is no place that a page gave.
        """
        return cls(int(read_place(text, _NUMBER)[0]))

    def __str__(self) -> str:
        return write_place(str(self.number))


def write_place(content: str) -> str:
    """Return the text of a place. Its content is ASCII."""
    return base64.urlsafe_b64encode(content.encode("ascii")).decode("ascii")


def read_place(text: str, form: re.Pattern[str]) -> re.Match[str]:
    """Return the content of a place.

    Args:
        text: As a client sends it back.
        form: Of the whole content.

    Raises:
        ValueError: The text is none that :func:`write_place` has returned for such content.
    """
    try:
        content = base64.b64decode(text.encode("ascii"), altchars=b"-_", validate=True).decode("ascii")
    except (UnicodeError, binascii.Error) as exc:
        raise ValueError(_NOT_A_PLACE) from exc
    found = form.fullmatch(content)
    # Base64 has several texts for the same bytes.
    if found is None or write_place(content) != text:
        raise ValueError(_NOT_A_PLACE)
    return found


def micros_of(time: datetime) -> int:
    """Return a time as a place writes it."""
    return (time - _EPOCH) // _MICROSECOND


def time_of(micros: str) -> datetime:
    """Return the time that a place has; ``time_of(str(micros_of(time))) == time``.

    Raises:
        ValueError: It is after the year 9999.
    """
    try:
        return _EPOCH + timedelta(microseconds=int(micros))
    except OverflowError as exc:
        raise ValueError(_NOT_A_PLACE) from exc
