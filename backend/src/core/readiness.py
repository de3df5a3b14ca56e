"""What a process says when it is asked whether it can serve now. Plain data; ``agentroute.readiness`` looks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Readiness:
    """What was found. Redis is told and not required: without it everything goes on, a little later."""

    postgres: bool
    migrations: bool
    redis: bool

    @property
    def ready(self) -> bool:
        return self.postgres and self.migrations


class ReadinessProbe(Protocol):
    """Looks at what the process depends on. Never raises for what it finds."""

    async def __call__(self) -> Readiness: ...
