"""How long ago a file was used, so that files can be kept for a time; and which threads name files that were deleted."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from agentroute.migration_steps import concurrently

revision: str = "0032"
down_revision: str | Sequence[str] | None = "0031"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None
compatible_from: str = "0013"

_USED = "ix_agent_file_used"


def upgrade() -> None:
    op.create_table(
        "agent_file_gone",
        sa.Column("session_id", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["session_id"],
            ["agent_chat_session.id"],
            name=op.f("fk_agent_file_gone_session_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("session_id", "sha256", name=op.f("pk_agent_file_gone")),
        if_not_exists=True,
    )
    op.create_index("ix_agent_file_gone_sha256", "agent_file_gone", ["sha256"], if_not_exists=True)
    # The time of this step for every row that there is: it is computed once, and no row is written. A time for files
    # begins with it.
    op.execute(
        "ALTER TABLE agent_file ADD COLUMN IF NOT EXISTS used_at timestamp with time zone NOT NULL DEFAULT now()"
    )
    with concurrently():
        op.drop_index(_USED, table_name="agent_file", postgresql_concurrently=True, if_exists=True)
        op.create_index(
            _USED,
            "agent_file",
            ["used_at"],
            postgresql_concurrently=True,
            postgresql_where=sa.text("state = 'ready'"),
        )


def downgrade() -> None:
    op.drop_index(_USED, table_name="agent_file")
    op.drop_column("agent_file", "used_at")
    op.drop_table("agent_file_gone")
