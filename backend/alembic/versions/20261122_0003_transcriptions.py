"""The ledger of transcriptions."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0003"
down_revision: str | Sequence[str] | None = "0002"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None
compatible_from: str = "0003"


def upgrade() -> None:
    op.create_table(
        "agent_transcription",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("audio_kind", sa.Text(), nullable=False),
        sa.Column("audio_bytes", sa.BigInteger(), nullable=False),
        sa.Column("audio_ms", sa.BigInteger(), nullable=False),
        sa.Column("cost", sa.Numeric(precision=24, scale=12), nullable=True),
        sa.Column("currency", sa.Text(), server_default="USD", nullable=False),
        sa.Column("cost_source", sa.Text(), server_default="unknown", nullable=False),
        sa.Column("latency_ms", sa.Integer(), nullable=True),
        sa.Column("outcome", sa.Text(), server_default="started", nullable=False),
        sa.Column("error_code", sa.Text(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "outcome IN ('started', 'succeeded', 'failed')", name=op.f("ck_agent_transcription_outcome")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_agent_transcription")),
    )
    op.create_index("ix_agent_transcription_owner", "agent_transcription", ["tenant_id", "user_id", "id"])


def downgrade() -> None:
    op.drop_index("ix_agent_transcription_owner", table_name="agent_transcription")
    op.drop_table("agent_transcription")
