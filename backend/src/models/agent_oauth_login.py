"""Logins of users at MCP servers that are under way: from the link that a user is given to the user's return."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, DateTime, Identity, Index, Integer, LargeBinary, Text, func
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base


class AgentOAuthLogin(Base):
    __tablename__ = "agent_oauth_login"
    __table_args__ = (
        Index("uq_agent_oauth_login_link", "link_hash", unique=True),
        Index("uq_agent_oauth_login_state", "state_hash", unique=True),
        Index("ix_agent_oauth_login_owner", "tenant_id", "user_id", "id"),
        Index("ix_agent_oauth_login_expires_at", "expires_at"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(Text)
    user_id: Mapped[str] = mapped_column(Text)
    server: Mapped[str] = mapped_column(Text)
    """Its name in the agents' profiles."""
    resource: Mapped[str] = mapped_column(Text)
    """Origin and path of its address when the link was made."""
    link_hash: Mapped[bytes] = mapped_column(LargeBinary)
    """SHA-256 of the random part of the link."""
    return_url: Mapped[str | None] = mapped_column(Text)
    """Where the browser goes at the end; null: to a page of this service."""
    attempts: Mapped[int] = mapped_column(Integer, server_default="0")
    """How often the user has left for the authorization server."""
    state_hash: Mapped[bytes | None] = mapped_column(LargeBinary)
    """SHA-256 of the state of the attempt under way. Null after the return: a state works once."""
    browser_hash: Mapped[bytes | None] = mapped_column(LargeBinary)
    """SHA-256 of the cookie of the browser that left: another one that comes back is refused."""
    attempt: Mapped[bytes | None] = mapped_column(LargeBinary)
    """The code verifier and everything else that the exchange needs, encrypted."""
    attempt_until: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    created_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.clock_timestamp()
    )
    expires_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    done_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    """When the user was connected: the link is used up."""
