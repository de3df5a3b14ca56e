"""When a chore that all workers share is due: one of them does it in a period. See ``runtime/work/chores.py``.

Retention notes here what it has begun to delete (``events/retention.py``).
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import DateTime, Text
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base


class AgentChore(Base):
    __tablename__ = "agent_chore"

    name: Mapped[str] = mapped_column(Text, primary_key=True)
    next_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
