"""By how many bytes a transaction changed what a user has stored. Triggers append, a chore adds up and deletes.

Two transactions never write the same row, so runs of one tenant do not wait for each other.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Identity, Index, Text
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base


class AgentStoredChange(Base):
    __tablename__ = "agent_stored_change"
    __table_args__ = (Index("ix_agent_stored_change_owner", "tenant_id", "user_id"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(Text)
    user_id: Mapped[str] = mapped_column(Text)
    size: Mapped[int] = mapped_column("bytes", BigInteger)
