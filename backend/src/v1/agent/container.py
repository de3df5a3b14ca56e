"""What an API process has open, as the routes and the server see it.

The composition root fills it (``agentroute.container``); tests fill one of their
own. It names contracts only, so importing it needs neither driver nor broker.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from core.identity import Authenticator
from core.readiness import ReadinessProbe
from core.transcription.service import TranscriptionService
from v1.agent.ports import EventsFacade, RunDirectory, ThreadDirectory, ThreadHistory, UsageLedger
from v1.agent.service import AgentService


class Drain(Protocol):
    """The switch that ends open streams; ``asyncio.Event`` is one if every stream waits on it."""

    def set(self) -> None: ...

    def is_set(self) -> bool: ...


@dataclass(frozen=True, kw_only=True)
class ApiContainer:
    """The open resources of an API process. Who filled it closes them."""

    service: AgentService
    """Starts and stops runs."""
    events: EventsFacade
    history: ThreadHistory
    runs: RunDirectory
    threads: ThreadDirectory
    usage: UsageLedger
    transcription: TranscriptionService
    authenticator: Authenticator
    capabilities: Mapping[str, Any]
    """The answer of ``GET /capabilities``, made once."""
    readiness: ReadinessProbe
    drain: Drain
