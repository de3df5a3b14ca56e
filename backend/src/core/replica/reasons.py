"""Why a read that may come from the replica came from the primary."""

from __future__ import annotations

from typing import Final, Literal, get_args

from core.store_failure import chain, is_crowd, is_store_failure

Reason = Literal[
    "behind",
    "conflict",
    "gone",
    "live",
    "other-history",
    "other-schema",
    "promoted",
    "refused",
    "resting",
    "slow",
    "unavailable",
    "untold",
]
"""
``behind``: it has not replayed what the primary had written when the read began.
``conflict``: replaying went before the read (``max_standby_streaming_delay``).
``gone``: the thread, or this part of its log, was deleted.
``live``: the thread has a live run, whose answer is put together from the primary.
``other-history``: it is on another epoch than the primary. ``other-schema``: it has another revision.
``promoted``: it is a primary itself.
``refused``: it does not answer this question, as without the right to read a table.
``resting``: it failed a moment ago, or nobody has looked at it yet.
``slow``: it did not answer in time. ``unavailable``: it does not answer at all.
``untold``: the primary does not tell its place.
"""

REASONS: Final = frozenset(get_args(Reason))
PASSING: Final[frozenset[Reason]] = frozenset({"behind", "conflict", "gone", "live", "resting", "slow"})
"""What says something about one read, and little about the next."""


class NotFromReplica(Exception):
    """The read has to be made at the primary."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason: Reason = reason


def reason_of(error: BaseException) -> Reason:
    """Say why a read of the replica failed."""
    if is_crowd(error):
        return "slow"
    for link in chain(error):
        state = getattr(link, "sqlstate", None)
        if state == "40001" or (state == "57014" and "conflict" in str(link)):
            return "conflict"
        if state == "57014":
            return "slow"
    return "unavailable" if is_store_failure(error) else "refused"
