"""Which threads name which files. A file goes with the last thread that names it."""

from __future__ import annotations

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base


class AgentFileUse(Base):
    __tablename__ = "agent_file_use"
    __table_args__ = (Index("ix_agent_file_use_file", "file_id"),)

    session_id: Mapped[int] = mapped_column(
        ForeignKey("agent_chat_session.id", ondelete="CASCADE"), primary_key=True
    )
    file_id: Mapped[int] = mapped_column(ForeignKey("agent_file.id", ondelete="CASCADE"), primary_key=True)
