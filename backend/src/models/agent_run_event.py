"""The log: one AG-UI event a row, in the order readers get them.

``payload`` is text: jsonb would reorder members and refuse U+0000, and a replay
has to be the same bytes.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, DateTime, ForeignKey, Index, Integer, SmallInteger, Text, func, text
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base


class AgentRunEvent(Base):
    __tablename__ = "agent_run_event"
    __table_args__ = (
        Index(
            "uq_agent_run_event_terminal",
            "session_id",
            "ordinal",
            unique=True,
            postgresql_where=text("type IN ('RUN_FINISHED', 'RUN_ERROR')"),
        ),
        Index(
            "uq_agent_run_event_started",
            "session_id",
            "ordinal",
            unique=True,
            postgresql_where=text("type = 'RUN_STARTED'"),
        ),
    )

    session_id: Mapped[int] = mapped_column(
        ForeignKey("agent_chat_session.id", ondelete="CASCADE"), primary_key=True
    )
    ordinal: Mapped[int] = mapped_column(Integer, primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    attempt: Mapped[int] = mapped_column(SmallInteger)
    type: Mapped[str] = mapped_column(Text)
    payload: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.clock_timestamp()
    )
    log_part: Mapped[int] = mapped_column(Integer, server_default="0")
    """That of its run; the key of the parts."""
