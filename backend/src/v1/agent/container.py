"""The open resources of an API process, as the routes and the server use them.

The composition root (``agentroute.container``) fills the container; tests fill their own. The container names
protocols only, so importing this module loads neither a driver nor a broker.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from core.agentscope.runtime.accept.link_answers import LinkAnswers
from core.agentscope.tools.memory_entries import MemoryEntries
from core.api_keys.keeper import KeyKeeper
from core.connections.oauth.login import Logins
from core.files.library import FileLibrary
from core.identity import Authenticator, Principal
from core.metrics.readings import LiveReadings
from core.rates.rate_limits import RateLimits
from core.readiness import ReadinessProbe
from core.request_body import JsonBodies
from core.schedules.keeper import ScheduleKeeper
from core.stream_tickets import StreamTickets
from core.transcription.service import TranscriptionService
from core.user_data.erasures import AskedBy, Erasure
from core.user_data.export import Exporter
from core.webhooks.run_webhook import RunWebhookPolicy
from v1.agent.agent_directory import AgentDirectory
from v1.agent.connection_directory import ConnectionDirectory
from v1.agent.login_origins import LoginOrigins
from v1.agent.open_streams import OpenStreams
from v1.agent.operator_desk import OperatorDesk
from v1.agent.ports import (
    EventsFacade,
    RunDiagnosis,
    RunDirectory,
    ThreadDirectory,
    ThreadHistory,
    UsageLedger,
)
from v1.agent.service import AgentService
from v1.agent.stream_places import StreamPlaces


class Erasures(Protocol):
    """The erasures of users; see ``core.user_data.desk.ErasureDesk``."""

    def refuse(self, principal: Principal) -> None: ...

    async def erase(
        self, principal: Principal, asked_by: AskedBy, *, within_seconds: float
    ) -> tuple[Erasure, str | None]: ...


class Drain(Protocol):
    """The switch that ends open streams. An ``asyncio.Event`` that every stream waits for is such a switch."""

    def set(self) -> None: ...

    def is_set(self) -> bool: ...


@dataclass(frozen=True, kw_only=True)
class ApiContainer:
    """The open resources of an API process. The code that fills the container also closes the resources."""

    bodies: JsonBodies
    """Reads the bodies of requests."""
    service: AgentService
    """Starts and stops runs."""
    events: EventsFacade
    history: ThreadHistory
    runs: RunDirectory
    diagnosis: RunDiagnosis
    """Why runs are where they are."""
    operators: OperatorDesk | None
    """What operators see and do of runs; ``None``: nothing."""
    threads: ThreadDirectory
    usage: UsageLedger
    transcription: TranscriptionService
    files: FileLibrary | None
    """``None`` if no file store is set."""
    logins: Logins | None
    """``None`` if users log in at no server."""
    login_origins: LoginOrigins
    """Where browsers may go after a login."""
    connections: ConnectionDirectory
    """Users' own identities at MCP servers."""
    memories: MemoryEntries
    """What agents were asked to remember."""
    erasures: Erasures
    """Users whose data is being erased."""
    exports: Exporter
    """Everything of a user."""
    authenticator: Authenticator
    keys: KeyKeeper
    """Makes and revokes API keys."""
    schedules: ScheduleKeeper
    """The schedules of users."""
    tickets: StreamTickets
    """Credentials of ``EventSource``."""
    open_streams: OpenStreams
    """Those that end when their credential is withdrawn."""
    run_webhooks: RunWebhookPolicy
    """The webhooks that runs may name."""
    approvals: LinkAnswers | None
    """Answers by links; ``None`` if messages have no links."""
    rates: RateLimits
    """What a user and a tenant may do in a time."""
    stream_places: StreamPlaces
    """The open event streams of users and tenants."""
    agents: AgentDirectory
    """What the routes say about agents, built once at the start."""
    readiness: ReadinessProbe
    drain: Drain
    live: LiveReadings | None = None
    """What the process knows of itself, for its metrics; None if nobody looks."""
