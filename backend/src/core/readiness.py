"""The answer to the question whether a process can serve now. Plain data; ``agentroute.readiness`` makes the checks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Readiness:
    """The results of the checks.

    Redis is reported but not required: without it, events only arrive later.
    """

    postgres: bool
    migrations: bool
    """Whether this version can use the schema."""
    redis: bool
    redis_degraded: bool = False
    """Whether some shards of a Redis Cluster do not answer: their threads are followed as without Redis."""
    schema_ahead: bool = False
    """Whether a newer version made the schema, and this one cannot use it."""

    workers: int | None = field(default=None, compare=False)
    """How many workers are connected to the database; None if unknown. Not required: without one, runs wait."""

    @property
    def ready(self) -> bool:
        return self.postgres and self.migrations


class ReadinessProbe(Protocol):
    """Checks the servers that the process depends on. Never raises for a failed check."""

    async def __call__(self) -> Readiness: ...
