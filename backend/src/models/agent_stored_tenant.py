"""How many bytes the users of a tenant have stored, but for the changes that are not added up yet."""

from __future__ import annotations

from sqlalchemy import BigInteger, Text
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base


class AgentStoredTenant(Base):
    __tablename__ = "agent_stored_tenant"

    tenant_id: Mapped[str] = mapped_column(Text, primary_key=True)
    size: Mapped[int] = mapped_column("bytes", BigInteger)
