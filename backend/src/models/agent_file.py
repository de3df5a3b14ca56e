"""The files of users: one row per upload, written before the bytes. The bytes are in the file store, under ``name_in_store``.

A row is ``pending`` while its bytes arrive, then ``ready``, then ``deleting`` until the bytes are gone. So bytes never
exist without a row, and a ready row never without bytes.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, DateTime, Identity, Index, LargeBinary, Text, func, text
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base


class AgentFile(Base):
    __tablename__ = "agent_file"
    __table_args__ = (
        # The id of a file, for its owner alone: nobody learns that somebody else has the same bytes.
        Index(
            "uq_agent_file_owner_sha256",
            "tenant_id",
            "user_id",
            "sha256",
            unique=True,
            postgresql_where=text("state = 'ready'"),
        ),
        # Lists and quotas.
        Index("ix_agent_file_owner", "tenant_id", "user_id", "id", postgresql_where=text("state = 'ready'")),
        # What the chore looks for.
        Index("ix_agent_file_unused", "unused_since", postgresql_where=text("unused_since IS NOT NULL")),
        Index("ix_agent_file_used", "used_at", postgresql_where=text("state = 'ready'")),
        Index("ix_agent_file_unsettled", "created_at", postgresql_where=text("state <> 'ready'")),
        CheckConstraint("state IN ('pending', 'ready', 'deleting')", name="state"),
        CheckConstraint(
            "state <> 'ready' OR (sha256 IS NOT NULL AND media_type IS NOT NULL AND bytes IS NOT NULL)",
            name="ready",
        ),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(Text)
    user_id: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(Text, server_default="pending")
    name_in_store: Mapped[str] = mapped_column(Text, unique=True)
    """Of this upload alone, never used again."""
    sha256: Mapped[bytes | None] = mapped_column(LargeBinary)
    media_type: Mapped[str | None] = mapped_column(Text)
    name: Mapped[str | None] = mapped_column(Text)
    """The name that the newest upload of these bytes had."""
    size: Mapped[int | None] = mapped_column("bytes", BigInteger)
    created_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.clock_timestamp()
    )
    unused_since: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    """Since when no message names the file: its (newest) upload. Null once a message has named it."""
    uploaded_again_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    """The newest upload of a file that messages name. Null once another message has named the file since."""
    used_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    """The newest upload of the file, or the newest message that named it."""
