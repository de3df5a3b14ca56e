"""The service's answers as dataclasses. The names and meanings of the fields are those of its API reference.

Costs are decimals in US dollars; ``None`` is unknown, which does not mean free. Times are aware.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from agentroute.client.events import Interrupt


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """A run that is stored: it will be executed, whatever becomes of this process."""

    task_id: str
    thread_id: str
    run_id: str
    status: str
    events_url: str
    history_url: str
    cursor: str | None = None
    """The place before the run's first event; ``None`` while it waits behind another run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ActiveRun:
    """The live run of a thread."""

    run_id: str
    status: str
    events_url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenTotals:
    """Sums over the model calls of a thread or a run."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_input_tokens: int = 0
    reasoning_tokens: int = 0
    cost: Decimal | None = None
    cost_complete: bool = True
    """False if the cost of at least one call is unknown."""
    currency: str = "USD"


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """One consistent snapshot of a thread, newest page first."""

    thread_id: str
    messages: tuple[Mapping[str, Any], ...]
    """AG-UI messages, oldest first. While a run is live, with its text so far."""
    cursor: str
    """``events(cursor=…)`` goes on after exactly these messages."""
    agent_id: str | None = None
    title: str | None = None
    state: Any = None
    pending_interrupts: tuple[Interrupt, ...] = ()
    active_run: ActiveRun | None = None
    has_more: bool = False
    next_before: str | None = None
    """``before`` of the page with older messages."""
    usage: TokenTotals = TokenTotals()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStatus:
    """One run: status, times, usage, and what it waits for."""

    thread_id: str
    run_id: str
    status: str
    created_at: datetime
    agent_id: str | None = None
    waits_for: str | None = None
    attempt: int = 0
    error_code: str | None = None
    cancel_requested: bool = False
    started_at: datetime | None = None
    first_token_at: datetime | None = None
    ended_at: datetime | None = None
    queue_ms: int | None = None
    ttft_ms: int | None = None
    total_ms: int | None = None
    model_ms: int = 0
    tool_ms: int = 0
    usage: TokenTotals = TokenTotals()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunWhy:
    """Why a run is where it is."""

    thread_id: str
    run_id: str
    status: str
    cause: str
    """A stable code: docs/how-to/stuck-runs.md lists all. Of a run that failed, the code of its failure."""
    explanation: str
    advice: str
    changes_at: datetime | None = None
    """When the service does something by itself, if nothing happens before."""
    evidence: Any = None
    """JSON: what the cause was seen from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPage:
    """Runs of a thread, newest first."""

    runs: tuple[RunStatus, ...]
    next_before: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ThreadItem:
    """A thread as lists show it."""

    thread_id: str
    created_at: datetime
    updated_at: datetime
    agent_id: str | None = None
    title: str | None = None
    message_count: int = 0
    active_run: ActiveRun | None = None
    pending_interrupts: int = 0
    """How many questions are open."""
    usage: TokenTotals = TokenTotals()


@dataclass(frozen=True, slots=True, kw_only=True)
class ThreadPage:
    """Threads, newest activity first."""

    threads: tuple[ThreadItem, ...]
    next_before: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcription:
    """What was said."""

    text: str
    duration_ms: int
    model: str
    latency_ms: int
    language: str | None = None
    cost: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallTotals:
    """Sums over model calls. A row also has what it stands for: a day, a model or a thread."""

    calls: int
    input_tokens: int
    output_tokens: int
    estimated_calls: int = 0
    cached_input_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    cost: Decimal | None = None
    unknown_cost_calls: int = 0
    model_ms: int = 0
    latency_ms: Mapping[str, Any] | None = None
    """``p50`` and ``p95``."""
    ttft_ms: Mapping[str, Any] | None = None
    day: str | None = None
    provider: str | None = None
    model: str | None = None
    thread_id: str | None = None
    title: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TranscriptionTotals:
    """Sums over transcriptions."""

    calls: int = 0
    audio_ms: int = 0
    cost: Decimal | None = None
    unknown_cost_calls: int = 0
    day: str | None = None
    provider: str | None = None
    model: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TranscriptionUsage:
    """The usage of transcriptions in a period."""

    totals: TranscriptionTotals = TranscriptionTotals()
    rows: tuple[TranscriptionTotals, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredUsage:
    """What is stored for the caller now."""

    bytes: int = 0
    limit_bytes: int | None = None
    """``None``: no limit of the caller's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """The caller's usage from ``start`` on, up to and without ``end``."""

    start: datetime = field(metadata={"wire": "from"})
    end: datetime = field(metadata={"wire": "to"})
    totals: CallTotals
    rows: tuple[CallTotals, ...]
    group_by: str = "day"
    currency: str = "USD"
    truncated: bool = False
    transcriptions: TranscriptionUsage = TranscriptionUsage()
    stored: StoredUsage = StoredUsage()


@dataclass(frozen=True, slots=True, kw_only=True)
class FileItem:
    """A file of the caller. Give it to ``file_part`` to show it to the agent."""

    file_id: str
    media_type: str
    bytes: int
    name: str
    created_at: datetime
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryItem:
    """What the agents were asked to remember."""

    memory_id: str
    text: str
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryPage:
    """Notes, newest first."""

    memories: tuple[MemoryItem, ...]
    next_before: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FilePage:
    """Files, newest first."""

    files: tuple[FileItem, ...]
    next_before: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentTool:
    """A tool that an agent may call on the server."""

    name: str
    description: str = ""
    permission: str = "allow"
    """``ask``: the user decides on each call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentItem:
    """An agent that the caller may use."""

    id: str
    name: str
    description: str = ""
    greeting: str | None = None
    suggestions: tuple[str, ...] = ()
    default: bool = False
    tools: tuple[AgentTool, ...] = ()
    capabilities: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentList:
    """The agents that the caller may use."""

    agents: tuple[AgentItem, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionItem:
    """An MCP server that sees the caller's own identity."""

    server: str
    auth: str
    state: str
    connected_at: datetime | None = None
    updated_at: datetime | None = None
    expires_at: datetime | None = None
    agents: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionList:
    """The MCP servers that see the caller's own identity."""

    connections: tuple[ConnectionItem, ...]
