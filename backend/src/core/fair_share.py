"""How many of a worker's places one user may take. Pure.

A user may take one more place if the user then holds at most ``weight`` times the places that stay free: the dynamic
threshold of switch buffers (Choudhury and Hahne, 1998). See docs/adr/0018.
"""

from __future__ import annotations


def weight_of(user_share: float) -> float:
    """Return the weight that leaves a user who is alone this part of all places, more than 0; 1 is no limit."""
    return float("inf") if user_share >= 1 else user_share / (1 - user_share)


def has_room(held: int, free: int, weight: float) -> bool:
    """Tell whether a user may take one more place.

    Args:
        held: Places that the user has.
        free: Places that nobody has.
        weight: As :func:`weight_of` returned it.
    """
    after = held + 1
    if after == 1 or weight == float("inf"):
        return free > 0
    return after <= weight * (free - 1)
