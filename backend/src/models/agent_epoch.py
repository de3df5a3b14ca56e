"""The epoch of the database: one row. See ``events/epoch.py``."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, DateTime, Integer, SmallInteger, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base


class AgentEpoch(Base):
    __tablename__ = "agent_epoch"
    __table_args__ = (CheckConstraint("id = 1", name="only_one"),)

    id: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    epoch: Mapped[int] = mapped_column(Integer)
    """Counts from 0. Ordinals of its runs are above ``epoch`` times ``RESTORE_STEP``."""
    place: Mapped[str] = mapped_column(Text)
    """The server and the timeline on which it began; empty where the server does not tell."""
    since: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=text("clock_timestamp()"))
