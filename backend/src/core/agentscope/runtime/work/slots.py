"""A worker's slots, shared fairly: no user takes the last ones, so another user's run always finds room.

Rules:

1. A user may take one more slot if the user then holds at most ``weight`` times the slots that stay free. Alone, a user
   gets the share ``weight / (weight + 1)`` of all slots; others get their share of the rest. So the last slot goes only
   to a user who has none. Runs cannot be interrupted in favour of others: the slots kept free are the price of fairness.
2. A run that finds its user's share used up is remembered. When a slot comes free, the runs of the user with the fewest
   running runs come first, oldest first. Users with equally many take turns, so a thousand runs of one user delay the
   first run of another by one run at most.
3. A worker remembers only so many runs. Beyond that, the user with the most of them loses the newest.
4. What is remembered is a hint like any other: it may be forgotten, and Postgres decides who executes a run.

The first rule is ``core.fair_share``: it needs no limit for each number of users. See docs/adr/0018 and docs/adr/0054.
"""

from __future__ import annotations

from collections import Counter, OrderedDict

from core.fair_share import has_room, weight_of
from core.identity import Principal

MAX_REMEMBERED = 1000
"""Runs; the reaper finds the others in Postgres."""


class Slots:
    """Which user holds how many of a worker's slots. No I/O.

    Args:
        total: Slots of the worker.
        user_share: The largest part of them that one user gets while nobody else has any, more than 0; 1 is no limit.
    """

    def __init__(self, total: int, user_share: float) -> None:
        self._total = total
        self._weight = weight_of(user_share)
        self._held: Counter[Principal] = Counter()
        self._remembered: dict[Principal, OrderedDict[int, None]] = {}

    @property
    def free(self) -> int:
        return self._total - self._held.total()

    def _has_room(self, principal: Principal) -> bool:
        """Tell whether a user may take one more slot."""
        return has_room(self._held[principal], self.free, self._weight)

    def take(self, principal: Principal) -> bool:
        """Take a slot for a user's run; False when none is free or the user's share is used up."""
        if not self._has_room(principal):
            return False
        self._held[principal] += 1
        return True

    def give_back(self, principal: Principal) -> None:
        """Free a slot that was taken."""
        self._held[principal] -= 1
        if not self._held[principal]:
            del self._held[principal]
        self._had_a_turn(principal)

    def remember(self, principal: Principal, run_pk: int) -> None:
        """Note a run that found no slot; a run is noted once."""
        self._remembered.setdefault(principal, OrderedDict())[run_pk] = None
        if sum(map(len, self._remembered.values())) > MAX_REMEMBERED:
            most = max(self._remembered, key=lambda user: len(self._remembered[user]))
            self._forget(most, newest=True)

    def take_next(self) -> tuple[Principal, int] | None:
        """Take a slot for a remembered run, of the user with the fewest running runs; ``None`` when there is none."""
        for principal in sorted(self._remembered, key=lambda user: self._held[user]):
            if self.take(principal):
                run_pk = self._forget(principal, newest=False)
                self._had_a_turn(principal)
                return principal, run_pk
        return None

    def _forget(self, principal: Principal, *, newest: bool) -> int:
        """Forget a user's oldest or newest remembered run, and return it."""
        runs = self._remembered[principal]
        run_pk, _ = runs.popitem(last=newest)
        if not runs:
            del self._remembered[principal]
        return run_pk

    def _had_a_turn(self, principal: Principal) -> None:
        """Put a user behind all others who wait with equally many running runs."""
        if (runs := self._remembered.pop(principal, None)) is not None:
            self._remembered[principal] = runs
