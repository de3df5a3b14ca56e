"""A question to the user, usually about a tool call. Answered at most once, by a conditional update."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    LargeBinary,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base


class AgentInterrupt(Base):
    __tablename__ = "agent_interrupt"
    __table_args__ = (
        UniqueConstraint("session_id", "interrupt_id"),
        CheckConstraint("status IN ('open', 'resolved', 'cancelled', 'expired')", name="status"),
        # The columns of the call are all set, or all null.
        CheckConstraint(
            "num_nulls(tool_call_id, tool_name, arguments, arguments_sha256) IN (0, 4)", name="tool_call"
        ),
        # Deleting a run deletes its interrupts: without an index that reads the whole table.
        Index("ix_agent_interrupt_run_pk", "run_pk"),
        # The start of every run looks for the answers that it brings.
        Index(
            "ix_agent_interrupt_resolved_by_run_pk",
            "resolved_by_run_pk",
            postgresql_where=text("resolved_by_run_pk IS NOT NULL"),
        ),
        Index("ix_agent_interrupt_expires_at", "expires_at", postgresql_where=text("status = 'open'")),
        Index("ix_agent_interrupt_open", "session_id", postgresql_where=text("status = 'open'")),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    session_id: Mapped[int] = mapped_column(ForeignKey("agent_chat_session.id", ondelete="CASCADE"))
    run_pk: Mapped[int] = mapped_column(ForeignKey("agent_run.id", ondelete="CASCADE"))
    interrupt_id: Mapped[str] = mapped_column(Text)
    status: Mapped[str] = mapped_column(Text, server_default="open")
    reason: Mapped[str] = mapped_column(Text)
    message: Mapped[str] = mapped_column(Text)
    tool_call_id: Mapped[str | None] = mapped_column(Text)
    """Absent when the question is about the run itself; then so is the rest of the call."""
    tool_name: Mapped[str | None] = mapped_column(Text)
    arguments: Mapped[str | None] = mapped_column(Text)
    """JSON text as the model wrote it: the call that will run, whatever a client sends back."""
    arguments_sha256: Mapped[bytes | None] = mapped_column(LargeBinary)
    """Of the arguments that the user was asked about. An approval of other arguments is void."""
    response_schema: Mapped[Any] = mapped_column(JSONB)
    details: Mapped[Any] = mapped_column(JSONB(none_as_null=True), nullable=True)
    """``metadata`` of AG-UI's ``Interrupt``. It is forgotten with the call, since a login's address is of no use later."""
    expires_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    resolved_by_run_pk: Mapped[int | None] = mapped_column(BigInteger)
    resolved_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    answer: Mapped[Any] = mapped_column(JSONB(none_as_null=True), nullable=True)
    link_answer: Mapped[bool | None] = mapped_column(Boolean)
    """What somebody has answered by a link. It counts when all open questions of the thread have an answer."""
    created_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.clock_timestamp()
    )
