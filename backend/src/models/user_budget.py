"""A user's usage of a daily budget, and the reservations of running calls. One row per user and day."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from sqlalchemy import BigInteger, CheckConstraint, Date, Index, Numeric, Text
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base


class UserBudget(Base):
    __tablename__ = "user_budget"
    __table_args__ = (
        CheckConstraint("reserved_tokens >= 0 AND reserved_cost >= 0", name="reserved"),
        # Retention.
        Index("ix_user_budget_day", "day"),
    )

    tenant_id: Mapped[str] = mapped_column(Text, primary_key=True)
    user_id: Mapped[str] = mapped_column(Text, primary_key=True)
    day: Mapped[date] = mapped_column(Date, primary_key=True)
    """UTC; of the moment a call began."""
    used_tokens: Mapped[int] = mapped_column(BigInteger, server_default="0")
    used_cost: Mapped[Decimal] = mapped_column(Numeric(24, 12), server_default="0")
    """Sum of the known costs."""
    reserved_tokens: Mapped[int] = mapped_column(BigInteger, server_default="0")
    reserved_cost: Mapped[Decimal] = mapped_column(Numeric(24, 12), server_default="0")
