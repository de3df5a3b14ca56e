"""The protocol between the decoder process and its parent process."""

from __future__ import annotations

from enum import IntEnum

SAMPLE_RATE = 16_000
"""Of decoded samples: what speech models take."""


class Verdict(IntEnum):
    """Exit codes. Far from those of Python (1, 2) and of signals."""

    AUDIO = 0
    UNREADABLE = 40
    EMPTY = 41
    TOO_LONG = 42
