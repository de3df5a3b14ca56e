"""How many do something at once in one process: only so many of one user, and of all together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from core.errors import Overloaded, RateLimited
from core.identity import Principal

RETRY_AFTER_SECONDS = 2
"""Of a user who has to wait for a place."""


class Places:
    """The places of one kind of work.

    Args:
        per_user: Places of one user.
        total: Places of all users.
    """

    def __init__(self, per_user: int, total: int) -> None:
        self.per_user: int = per_user
        self._total = total
        self._taken: Counter[Principal] = Counter()

    @contextmanager
    def hold(self, principal: Principal, *, too_many: str, full: str) -> Iterator[None]:
        """Hold a place for as long as the context lasts.

        Args:
            principal: Whose.
            too_many: What a user reads who already holds as many as one user may.
            full: What a user reads when all places are taken.

        Raises:
            RateLimited: The user already holds the maximum number of places.
            Overloaded: All users together do.
        """
        if self._taken[principal] >= self.per_user:
            raise RateLimited(too_many, retry_after_seconds=RETRY_AFTER_SECONDS)
        if self._taken.total() >= self._total:
            raise Overloaded(full)
        self._taken[principal] += 1
        try:
            yield
        finally:
            self._taken[principal] -= 1
            if not self._taken[principal]:
                del self._taken[principal]
