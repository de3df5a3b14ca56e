"""Which threads name files that were deleted: whoever asks for one is told so. It goes with the thread."""

from __future__ import annotations

from sqlalchemy import BigInteger, ForeignKey, Index, LargeBinary
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base


class AgentFileGone(Base):
    __tablename__ = "agent_file_gone"
    __table_args__ = (Index("ix_agent_file_gone_sha256", "sha256"),)

    session_id: Mapped[int] = mapped_column(
        BigInteger,
        ForeignKey("agent_chat_session.id", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    )
    sha256: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
