"""This service, as authorization servers know it that it has registered itself with."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, DateTime, Identity, Index, LargeBinary, Text, func
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base


class AgentOAuthClient(Base):
    __tablename__ = "agent_oauth_client"
    __table_args__ = (Index("uq_agent_oauth_client_issuer_redirect", "issuer", "redirect_uri", unique=True),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    issuer: Mapped[str] = mapped_column(Text)
    redirect_uri: Mapped[str] = mapped_column(Text)
    client_id: Mapped[str] = mapped_column(Text)
    scope: Mapped[str] = mapped_column(Text, server_default="")
    """What was registered, separated by spaces: more needs a new registration."""
    sealed: Mapped[bytes] = mapped_column(LargeBinary)
    """The secret, if there is one, and how it is shown; encrypted."""
    expires_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    """When the secret ends; null: never."""
    created_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.clock_timestamp()
    )
