"""The agent's own state after a run's last safe point, from which the next turn continues.

States of versions before migration 0019 are in ``agent_checkpoint``. The newer one of the two tables counts.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import (
    ARRAY,
    BigInteger,
    DateTime,
    ForeignKey,
    Integer,
    LargeBinary,
    SmallInteger,
    Text,
    UniqueConstraint,
    func,
)
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base


class AgentState(Base):
    __tablename__ = "agent_state"
    __table_args__ = (UniqueConstraint("session_id", "ordinal"),)

    run_pk: Mapped[int] = mapped_column(
        BigInteger, ForeignKey("agent_run.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    session_id: Mapped[int] = mapped_column(ForeignKey("agent_chat_session.id", ondelete="CASCADE"))
    ordinal: Mapped[int] = mapped_column(Integer)
    agentscope_version: Mapped[str] = mapped_column(Text)
    form: Mapped[int] = mapped_column(SmallInteger)
    """How the state is stored (``events/state_parts.py``)."""
    head: Mapped[str] = mapped_column(Text)
    """JSON text of all of the state but the conversation."""
    roots: Mapped[bytes] = mapped_column(LargeBinary)
    """The digests of the parts of the conversation, in order, and of the long texts in ``head``."""
    client_calls: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default="{}")
    """The open client tool calls in this state. A result for any other call was fabricated by the client."""
    message_ids: Mapped[list[str] | None] = mapped_column(ARRAY(Text))
    """The run's messages that this state contains; null if the run's end wrote the state: it contains all of them."""
    updated_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.clock_timestamp()
    )
