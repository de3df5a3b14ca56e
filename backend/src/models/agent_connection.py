"""Users' own identities at MCP servers: one row per tenant, user and server, with the tokens encrypted."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    DateTime,
    Identity,
    Index,
    LargeBinary,
    Text,
    Uuid,
    false,
    func,
)
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base


class AgentConnection(Base):
    __tablename__ = "agent_connection"
    __table_args__ = (
        Index("uq_agent_connection_owner_server", "tenant_id", "user_id", "server", unique=True),
        CheckConstraint("kind IN ('user-token', 'oauth')", name="kind"),
        CheckConstraint("state IN ('connected', 'refused')", name="state"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(Text)
    user_id: Mapped[str] = mapped_column(Text)
    server: Mapped[str] = mapped_column(Text)
    """Its name in the agents' profiles."""
    resource: Mapped[str] = mapped_column(Text)
    """Origin and path of the address that the tokens were given for. They are sent to no other."""
    kind: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(Text, server_default="connected")
    """``refused``: the server did not take the token, or the grant was withdrawn. The user must connect anew."""
    sealed: Mapped[bytes] = mapped_column(LargeBinary)
    """The tokens, as ``core/connections/vault.py`` encrypts them. Begins with the id of the key."""
    expires_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    """When the token in use ends; null: not known, or never."""
    renewable: Mapped[bool] = mapped_column(Boolean, server_default=false())
    """Whether the worker can replace a token that has ended, without the user."""
    wanted_scope: Mapped[str] = mapped_column(Text, server_default="")
    """What the server wanted for a call and the user has not granted, separated by spaces: the next login asks for it."""
    version: Mapped[int] = mapped_column(BigInteger, server_default="1")
    """One more with each change of the tokens or the state: who changes a row has seen what it replaces."""
    lease_token: Mapped[UUID | None] = mapped_column(Uuid)
    """Of the refresh under way."""
    lease_until: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    connected_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.clock_timestamp()
    )
    """When the user connected. A refresh does not change it."""
    updated_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.clock_timestamp()
    )
