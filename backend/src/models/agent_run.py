"""One execution of the agent in a thread; the row is also the outbox of its worker hint.

A run is owned through (status, attempt, lease_until). Neither ``lease_until``
nor ``last_seq`` is indexed, and half of each page is left free, so that the
update of every flush stays heap-only.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Numeric,
    SmallInteger,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base


class AgentRun(Base):
    __tablename__ = "agent_run"
    __table_args__ = (
        UniqueConstraint("tenant_id", "user_id", "idempotency_key", "segment"),
        UniqueConstraint("session_id", "run_id", "segment"),
        UniqueConstraint("session_id", "ordinal"),
        Index(
            "uq_agent_run_live",
            "session_id",
            unique=True,
            postgresql_where=text("status IN ('queued', 'running')"),
        ),
        Index(
            "ix_agent_run_unended",
            "status",
            "id",
            postgresql_where=text("status IN ('waiting', 'queued', 'running')"),
        ),
        Index(
            "ix_agent_run_owner_unended",
            "tenant_id",
            "user_id",
            postgresql_where=text("status IN ('waiting', 'queued', 'running')"),
        ),
        # Retention looks for ended runs that still know what they were asked: those of the last weeks.
        Index(
            "ix_agent_run_unforgotten",
            "ended_at",
            postgresql_where=text("ended_at IS NOT NULL AND input <> '{}'"),
        ),
        CheckConstraint(
            "status IN ('waiting', 'queued', 'running', 'succeeded', 'interrupted', 'cancelled', 'failed')",
            name="status",
        ),
        CheckConstraint("(status = 'running') = (lease_until IS NOT NULL)", name="lease"),
        CheckConstraint(
            "(status IN ('succeeded', 'interrupted', 'cancelled', 'failed')) = (ended_at IS NOT NULL)",
            name="ended",
        ),
        CheckConstraint("(status = 'waiting') = (ordinal IS NULL)", name="ordinal"),
        {"postgresql_with": {"fillfactor": "50"}},
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    session_id: Mapped[int] = mapped_column(ForeignKey("agent_chat_session.id", ondelete="CASCADE"))
    tenant_id: Mapped[str] = mapped_column(Text)
    user_id: Mapped[str] = mapped_column(Text)
    run_id: Mapped[str] = mapped_column(Text)
    """The client's name for the run; a resume under the same name is another segment."""
    segment: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    parent_run_id: Mapped[str | None] = mapped_column(Text)
    agent_id: Mapped[str | None] = mapped_column(Text)
    """The agent that executes the run; null for that of the thread."""
    task_id: Mapped[str] = mapped_column(Text)
    """Opaque name of the worker task."""
    idempotency_key: Mapped[str] = mapped_column(Text)
    request_hash: Mapped[bytes] = mapped_column(LargeBinary)
    input: Mapped[str] = mapped_column(Text)
    """The accepted ``RunCommand`` as JSON, without the conversation it repeated; ``{}`` past its retention."""
    front: Mapped[bool] = mapped_column(Boolean, server_default="false")
    """True if the run superseded the live run: it starts before the other waiting runs."""
    protocol_version: Mapped[str | None] = mapped_column(Text)
    status: Mapped[str] = mapped_column(Text)
    ordinal: Mapped[int | None] = mapped_column(Integer)
    replaced_by_ordinal: Mapped[int | None] = mapped_column(Integer)
    """Ordinal of the run that replaced this run's end. The agent's checkpoint of this run is no longer used."""
    attempt: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    """The fence: each claim counts it up, nothing counts it down."""
    released: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    """How many attempts gave the run back before it showed anything: these do not count as tries."""
    worker_id: Mapped[str | None] = mapped_column(Text)
    lease_until: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    last_seq: Mapped[int] = mapped_column(BigInteger, server_default="0")
    next_hint_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    queue_deadline_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    deadline_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    cancel_requested_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    cancel_reason: Mapped[str | None] = mapped_column(Text)
    """``user``, set together with ``cancel_requested_at``. A run past its deadline has none: it fails as ``run-timeout``."""
    error_code: Mapped[str | None] = mapped_column(Text)
    input_tokens: Mapped[int] = mapped_column(BigInteger, server_default="0")
    output_tokens: Mapped[int] = mapped_column(BigInteger, server_default="0")
    cached_input_tokens: Mapped[int] = mapped_column(BigInteger, server_default="0")
    reasoning_tokens: Mapped[int] = mapped_column(BigInteger, server_default="0")
    cost: Mapped[Decimal | None] = mapped_column(Numeric(24, 12))
    unknown_cost_calls: Mapped[int] = mapped_column(Integer, server_default="0")
    model_ms: Mapped[int] = mapped_column(BigInteger, server_default="0")
    tool_ms: Mapped[int] = mapped_column(BigInteger, server_default="0")
    """Sum over its tool calls; 0 when its worker was lost."""
    trace_context: Mapped[str | None] = mapped_column(
        Text, server_default=text("nullif(current_setting('agentroute.trace_context', true), '')")
    )
    """The span that accepted the run, as the header ``traceparent``; null if nobody traces."""
    log_part: Mapped[int] = mapped_column(Integer, server_default=text("agent_current_log_part()"))
    """The part of the log that has its events: the newest when it was accepted."""
    created_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.clock_timestamp()
    )
    started_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    first_token_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    ended_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
