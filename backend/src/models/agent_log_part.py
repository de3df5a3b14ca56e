"""The parts of a log that is partitioned, oldest first; no row while it is one table. See docs/adr/0069.

A run has the part that was the newest when the run was accepted, and all its events go there.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import DateTime, Integer, func
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base


class AgentLogPart(Base):
    __tablename__ = "agent_log_part"

    log_part: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    opened_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.clock_timestamp()
    )
