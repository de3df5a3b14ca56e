"""A run that a worker owns, and durable events to be published."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

Claim = tuple[int, int]
"""The row of a run and the attempt. One process may execute two attempts of a run at once: an attempt that was lost
has not noticed yet, and the next attempt came here. So a process finds nothing by the row alone."""


@dataclass(frozen=True, slots=True)
class OwnedRun:
    """A run this worker has claimed; ``attempt`` is the fence of everything it writes."""

    run_pk: int
    session_id: int
    ordinal: int
    attempt: int
    last_seq: int
    agent_id: str | None = None
    """Of a claimed run, its agent; none is the default."""

    @property
    def claim(self) -> Claim:
        return self.run_pk, self.attempt


@dataclass(frozen=True, slots=True)
class StreamBatch:
    """Durable events of one run, to be shown; the first has ``first_seq``."""

    session_id: int
    ordinal: int
    first_seq: int
    payloads: list[str]


class Publisher(Protocol):
    """Publishes events to live readers; may lose events."""

    def publish(self, batches: Sequence[StreamBatch]) -> None:
        """Publish durable events in order, without waiting."""
        ...
