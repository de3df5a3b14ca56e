"""A run in the hands of a worker, and the durable events of a run on their way to its readers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class OwnedRun:
    """A run this worker has claimed; ``attempt`` is the fence of everything it writes."""

    run_pk: int
    session_id: int
    ordinal: int
    attempt: int
    last_seq: int


@dataclass(frozen=True, slots=True)
class StreamBatch:
    """Durable events of one run, to be shown; the first has ``first_seq``."""

    session_id: int
    ordinal: int
    first_seq: int
    payloads: list[str]


class Publisher(Protocol):
    """The live side of the log; may forget."""

    def publish(self, batches: Sequence[StreamBatch]) -> None:
        """Show durable events, in order, without waiting."""
        ...
