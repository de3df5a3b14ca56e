"""The ledger of transcriptions: one row per call of the engine, including failed calls. No transcribed text.

The row is written before the call, so that every call that may cost something is recorded. A call without a known end
stays ``started``.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, Protocol

from sqlalchemy import func, insert, update

from core.database import SessionFactory
from core.erased_users import NOBODY
from core.identity import Principal
from models.agent_transcription import AgentTranscription

Outcome = Literal["started", "succeeded", "failed"]
CostSource = Literal["engine", "price", "unknown"]


@dataclass(frozen=True, slots=True)
class CallStart:
    """What is known before a call."""

    principal: Principal
    provider: str
    model: str
    audio_kind: str
    audio_bytes: int
    audio_ms: int


@dataclass(frozen=True, slots=True)
class CallEnd:
    """What is known after it."""

    outcome: Outcome
    latency_ms: int
    model: str | None = None
    """The one that answered, if it says so."""
    cost: Decimal | None = None
    cost_source: CostSource = "unknown"
    error_code: str | None = None


class TranscriptionLedger(Protocol):
    """Durable rows."""

    async def open(self, start: CallStart) -> int:
        """Write the row of a call that is about to begin; returns its number."""
        ...

    async def close(self, call: int, end: CallEnd) -> bool:
        """Write how it ended; returns whether the row is still a user's."""
        ...


class PostgresTranscriptionLedger:
    """The ledger of every real process."""

    def __init__(self, session_factory: SessionFactory) -> None:
        self._session_factory = session_factory

    async def open(self, start: CallStart) -> int:
        statement = (
            insert(AgentTranscription)
            .values(
                tenant_id=start.principal.tenant_id,
                user_id=start.principal.user_id,
                provider=start.provider,
                model=start.model,
                audio_kind=start.audio_kind,
                audio_bytes=start.audio_bytes,
                audio_ms=start.audio_ms,
            )
            .returning(AgentTranscription.id)
        )
        async with self._session_factory.begin() as session:
            return (await session.execute(statement)).scalar_one()

    async def close(self, call: int, end: CallEnd) -> bool:
        values = {
            "outcome": end.outcome,
            "latency_ms": end.latency_ms,
            "cost": end.cost,
            "cost_source": end.cost_source,
            "error_code": end.error_code,
            "ended_at": func.clock_timestamp(),
        }
        if end.model is not None:
            values["model"] = end.model
        statement = update(AgentTranscription).where(AgentTranscription.id == call).values(values)
        async with self._session_factory.begin() as session:
            owner = await session.scalar(statement.returning(AgentTranscription.user_id))
            return owner not in {None, NOBODY}


class MemoryTranscriptionLedger:
    """The same in a list, for tests."""

    def __init__(self) -> None:
        self.calls: list[tuple[CallStart, CallEnd | None]] = []

    async def open(self, start: CallStart) -> int:
        self.calls.append((start, None))
        return len(self.calls) - 1

    async def close(self, call: int, end: CallEnd) -> bool:
        self.calls[call] = (self.calls[call][0], end)
        return True
