"""Files of users: their rows, and which threads name them. The bytes are in the file store."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0017"
down_revision: str | Sequence[str] | None = "0016"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None
compatible_from: str = "0013"


def upgrade() -> None:
    ready = sa.text("state = 'ready'")
    op.create_table(
        "agent_file",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), server_default="pending", nullable=False),
        sa.Column("name_in_store", sa.Text(), nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=True),
        sa.Column("media_type", sa.Text(), nullable=True),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("bytes", sa.BigInteger(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.Column("unused_since", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("state IN ('pending', 'ready', 'deleting')", name=op.f("ck_agent_file_state")),
        sa.CheckConstraint(
            "state <> 'ready' OR (sha256 IS NOT NULL AND media_type IS NOT NULL AND bytes IS NOT NULL)",
            name=op.f("ck_agent_file_ready"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_agent_file")),
        sa.UniqueConstraint("name_in_store", name=op.f("uq_agent_file_name_in_store")),
        sa.Index(
            "uq_agent_file_owner_sha256",
            "tenant_id",
            "user_id",
            "sha256",
            unique=True,
            postgresql_where=ready,
        ),
        sa.Index("ix_agent_file_owner", "tenant_id", "user_id", "id", postgresql_where=ready),
        sa.Index(
            "ix_agent_file_unused", "unused_since", postgresql_where=sa.text("unused_since IS NOT NULL")
        ),
        sa.Index("ix_agent_file_unsettled", "created_at", postgresql_where=sa.text("state <> 'ready'")),
    )
    op.create_table(
        "agent_file_use",
        sa.Column("session_id", sa.BigInteger(), nullable=False),
        sa.Column("file_id", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["session_id"],
            ["agent_chat_session.id"],
            name=op.f("fk_agent_file_use_session_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["file_id"], ["agent_file.id"], name=op.f("fk_agent_file_use_file_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("session_id", "file_id", name=op.f("pk_agent_file_use")),
        sa.Index("ix_agent_file_use_file", "file_id"),
    )


def downgrade() -> None:
    op.drop_table("agent_file_use")
    op.drop_table("agent_file")
