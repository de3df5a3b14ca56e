"""A part of the states of a thread: a message, a long text, or a list of parts. It is stored once, and never changed."""

from __future__ import annotations

from sqlalchemy import ForeignKey, Integer, LargeBinary, Text
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base


class AgentStatePart(Base):
    __tablename__ = "agent_state_part"

    session_id: Mapped[int] = mapped_column(
        ForeignKey("agent_chat_session.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    digest: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    ordinal: Mapped[int] = mapped_column(Integer)
    """Of the run that brought it."""
    body: Mapped[str | None] = mapped_column(Text)
    """JSON text; null for a list of parts."""
    children: Mapped[bytes] = mapped_column(LargeBinary)
    """The digests of the parts that it names, 16 bytes each."""
