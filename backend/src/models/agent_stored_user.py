"""How many bytes a user has stored, but for the changes that are not added up yet. See ``core/stored_bytes``."""

from __future__ import annotations

from sqlalchemy import BigInteger, Text
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base


class AgentStoredUser(Base):
    __tablename__ = "agent_stored_user"

    tenant_id: Mapped[str] = mapped_column(Text, primary_key=True)
    user_id: Mapped[str] = mapped_column(Text, primary_key=True)
    size: Mapped[int] = mapped_column("bytes", BigInteger)
