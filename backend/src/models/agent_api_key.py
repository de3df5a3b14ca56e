"""API keys of machines: whose they are, what they permit, who made and who revoked them. Never a key itself."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import DateTime, Index, Integer, LargeBinary, Text, func
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base


class AgentApiKey(Base):
    __tablename__ = "agent_api_key"
    __table_args__ = (Index("ix_agent_api_key_tenant_created", "tenant_id", "created_at", "key_id"),)

    key_id: Mapped[str] = mapped_column(Text, primary_key=True)
    """The part of the key that names it."""
    tenant_id: Mapped[str] = mapped_column(Text)
    user_id: Mapped[str] = mapped_column(Text)
    """As whom its requests act."""
    name: Mapped[str] = mapped_column(Text, server_default="")
    """What it is for, in its maker's words."""
    scopes: Mapped[list[str]] = mapped_column(ARRAY(Text))
    version: Mapped[int] = mapped_column(Integer, server_default="1")
    """How many secrets the key has had."""
    digest: Mapped[bytes] = mapped_column(LargeBinary)
    """SHA-256 of the whole key."""
    previous_digest: Mapped[bytes | None] = mapped_column(LargeBinary)
    """The same of the secret before the last rotation."""
    previous_until: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    """When the secret before ends."""
    expires_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    """Null: never."""
    created_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.clock_timestamp()
    )
    created_by: Mapped[str] = mapped_column(Text)
    rotated_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    rotated_by: Mapped[str | None] = mapped_column(Text)
    revoked_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    revoked_by: Mapped[str | None] = mapped_column(Text)
    last_used_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    """To the minute: it is written behind the requests."""
