"""Gates in front of the database connections of a process: few at a time, in order of arrival, and refused after a while.

The pool of connections is not fair, and whoever waits in it cannot be told from an outage. So the work that comes in
crowds waits at a gate of its own, in memory, and cannot take the connections of the other work. See docs/adr/0024 and
docs/adr/0030.
"""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from core.config import DatabaseSettings
from core.errors import Overloaded
from core.metrics.catalogue import GATE_WAIT_SECONDS

_RETRY_AFTER_SECONDS = (2.0, 8.0)
"""Varied: those who are refused together do not come back together."""


class Gate:
    """Lets a few through at a time, in the order in which they came.

    Args:
        places: How many at a time.
        patience_seconds: How long one waits for its place.
        refusal: What a caller is told who has waited that long.
        name: As metrics call it.
    """

    def __init__(
        self,
        places: int,
        patience_seconds: float,
        refusal: str = "Too many requests at once. Send this one again.",
        *,
        name: str = "other",
    ) -> None:
        self._places = asyncio.Semaphore(places)
        self._patience_seconds = patience_seconds
        self._refusal = refusal
        self._name = name

    async def __aenter__(self) -> None:
        """Wait for a place.

        Raises:
            Overloaded: No place became free in time.
        """
        if not self._places.locked():
            await self._places.acquire()
            GATE_WAIT_SECONDS.observe(0.0, self._name)
            return
        began = time.monotonic()
        try:
            async with asyncio.timeout(self._patience_seconds):
                await self._places.acquire()
        except TimeoutError as exc:
            raise Overloaded(self._refusal, retry_after_seconds=soon()) from exc
        finally:
            GATE_WAIT_SECONDS.observe(time.monotonic() - began, self._name)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the place back."""
        self._places.release()


def soon() -> float:
    """Return after how many seconds somebody who was refused shall come back; varied."""
    return random.uniform(*_RETRY_AFTER_SECONDS)  # noqa: S311  not for security


@dataclass(frozen=True, slots=True)
class PoolGates:
    """The connections of an API process, divided among its work. From five on, one is left for the other requests."""

    streams: Gate
    """Half: reads of streams, many of which may come back at once."""
    usual: Gate
    """A fifth: runs that are accepted in one round trip, each in about a millisecond."""
    careful: Gate
    """The rest: runs that are accepted or stopped by a transaction of many steps, which may wait for a thread."""

    @classmethod
    def of(cls, settings: DatabaseSettings) -> Self:
        """Divide the pool of these settings."""
        size, patience = settings.pool_size, settings.pool_timeout_seconds
        streams, usual = size // 2, size // 5
        careful = size - streams - usual - 1
        return cls(
            Gate(
                max(streams, 1),
                patience,
                "Too many streams are being opened. Open this one again after the time in Retry-After.",
                name="streams",
            ),
            *(
                Gate(
                    max(places, 1),
                    patience,
                    "Too many runs are being accepted. Send the same request again after the time in Retry-After.",
                    name=name,
                )
                for name, places in (("usual", usual), ("careful", careful))
            ),
        )
