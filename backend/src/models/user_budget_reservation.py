"""The reservation of one running model call in its user's budget. Deleted when the ledger has the ended call."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal

from sqlalchemy import BigInteger, Date, DateTime, Index, Numeric, Text
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base


class UserBudgetReservation(Base):
    __tablename__ = "user_budget_reservation"
    __table_args__ = (
        Index("ix_user_budget_reservation_run_pk", "run_pk"),
        Index("ix_user_budget_reservation_expires_at", "expires_at"),
    )

    call_id: Mapped[str] = mapped_column(Text, primary_key=True)
    run_pk: Mapped[int] = mapped_column(BigInteger)
    """No foreign key: a reservation is given back by its own means when the run's row is gone."""
    tenant_id: Mapped[str] = mapped_column(Text)
    user_id: Mapped[str] = mapped_column(Text)
    day: Mapped[date] = mapped_column(Date)
    tokens: Mapped[int] = mapped_column(BigInteger)
    cost: Mapped[Decimal] = mapped_column(Numeric(24, 12))
    expires_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    """Later than the run can last: then its process is dead."""
