"""Schedules, and their fires."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0031"
down_revision: str | Sequence[str] | None = "0030"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None
compatible_from: str = "0013"


def upgrade() -> None:
    now = sa.text("clock_timestamp()")
    op.create_table(
        "agent_schedule",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("schedule_id", sa.Text(), nullable=False),
        sa.Column("request_hash", sa.LargeBinary(), nullable=False),
        sa.Column("form", sa.Text(), nullable=False),
        sa.Column("agent_id", sa.Text(), nullable=True),
        sa.Column("decided_to", sa.DateTime(timezone=True), nullable=False),
        sa.Column("next_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("fires", sa.Integer(), server_default="0", nullable=False),
        sa.Column("paused_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("pause_code", sa.Text(), nullable=True),
        sa.Column("pause_detail", sa.Text(), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("credential", sa.Text(), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=True),
        sa.Column("scopes", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("groups", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("claims", sa.Text(), nullable=False),
        sa.Column("authorized_at", sa.DateTime(timezone=True), server_default=now, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=now, nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=now, nullable=False),
        sa.CheckConstraint(
            "(next_at IS NULL) = (paused_at IS NOT NULL OR ended_at IS NOT NULL)",
            name=op.f("ck_agent_schedule_due"),
        ),
        sa.CheckConstraint(
            "(paused_at IS NULL) = (pause_code IS NULL)", name=op.f("ck_agent_schedule_pause")
        ),
        sa.CheckConstraint(
            "credential IN ('local', 'token', 'key')", name=op.f("ck_agent_schedule_credential")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_agent_schedule")),
        sa.UniqueConstraint(
            "tenant_id",
            "user_id",
            "schedule_id",
            name=op.f("uq_agent_schedule_tenant_id_user_id_schedule_id"),
        ),
    )
    op.create_index(
        "ix_agent_schedule_due",
        "agent_schedule",
        ["next_at"],
        postgresql_where=sa.text("next_at IS NOT NULL"),
    )
    op.create_index(
        "ix_agent_schedule_ended",
        "agent_schedule",
        ["ended_at"],
        postgresql_where=sa.text("ended_at IS NOT NULL"),
    )
    op.create_table(
        "agent_schedule_fire",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("schedule_pk", sa.BigInteger(), nullable=False),
        sa.Column("fire_key", sa.Text(), nullable=False),
        sa.Column("fire_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("manual", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("state", sa.Text(), server_default="pending", nullable=False),
        sa.Column("late", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("give_up_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("next_try_at", sa.DateTime(timezone=True), server_default=now, nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("run_id", sa.Text(), nullable=True),
        sa.Column("thread_id", sa.Text(), nullable=True),
        sa.Column("code", sa.Text(), nullable=True),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.Column("missed_from", sa.DateTime(timezone=True), nullable=True),
        sa.Column("missed_count", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=now, nullable=False),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "state IN ('pending', 'accepted', 'skipped', 'failed', 'missed')",
            name=op.f("ck_agent_schedule_fire_state"),
        ),
        sa.CheckConstraint(
            "(state = 'pending') = (settled_at IS NULL)", name=op.f("ck_agent_schedule_fire_settled")
        ),
        sa.ForeignKeyConstraint(
            ["schedule_pk"],
            ["agent_schedule.id"],
            name=op.f("fk_agent_schedule_fire_schedule_pk"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_agent_schedule_fire")),
        sa.UniqueConstraint(
            "schedule_pk", "fire_key", name=op.f("uq_agent_schedule_fire_schedule_pk_fire_key")
        ),
    )
    op.create_index("ix_agent_schedule_fire_newest", "agent_schedule_fire", ["schedule_pk", "fire_at", "id"])
    op.create_index(
        "ix_agent_schedule_fire_pending",
        "agent_schedule_fire",
        ["next_try_at"],
        postgresql_where=sa.text("state = 'pending'"),
    )
    op.create_index(
        "ix_agent_schedule_fire_settled",
        "agent_schedule_fire",
        ["settled_at"],
        postgresql_where=sa.text("settled_at IS NOT NULL"),
    )
    # A new row of a user waits for nobody's erasure: migration 0027.
    op.execute(
        """CREATE TRIGGER agent_refuse_erased BEFORE INSERT ON agent_schedule
        FOR EACH ROW EXECUTE FUNCTION agent_refuse_erased()"""
    )


def downgrade() -> None:
    op.drop_table("agent_schedule_fire")
    op.drop_table("agent_schedule")
