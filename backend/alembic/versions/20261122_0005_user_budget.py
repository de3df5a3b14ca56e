"""Budgets of users: a row a day, and what calls under way have reserved."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0005"
down_revision: str | Sequence[str] | None = "0004"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None
compatible_from: str = "0005"


def upgrade() -> None:
    op.create_table(
        "user_budget",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("used_tokens", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("used_cost", sa.Numeric(precision=24, scale=12), server_default="0", nullable=False),
        sa.Column("reserved_tokens", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("reserved_cost", sa.Numeric(precision=24, scale=12), server_default="0", nullable=False),
        sa.CheckConstraint(
            "reserved_tokens >= 0 AND reserved_cost >= 0", name=op.f("ck_user_budget_reserved")
        ),
        sa.PrimaryKeyConstraint("tenant_id", "user_id", "day", name=op.f("pk_user_budget")),
    )
    op.create_table(
        "user_budget_reservation",
        sa.Column("call_id", sa.Text(), nullable=False),
        sa.Column("run_pk", sa.BigInteger(), nullable=False),
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("tokens", sa.BigInteger(), nullable=False),
        sa.Column("cost", sa.Numeric(precision=24, scale=12), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("call_id", name=op.f("pk_user_budget_reservation")),
    )
    op.create_index("ix_user_budget_reservation_run_pk", "user_budget_reservation", ["run_pk"])
    op.create_index("ix_user_budget_reservation_expires_at", "user_budget_reservation", ["expires_at"])


def downgrade() -> None:
    op.drop_table("user_budget_reservation")
    op.drop_table("user_budget")
