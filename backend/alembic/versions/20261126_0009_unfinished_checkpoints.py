"""What a checkpoint from the middle of a run knows, and the threads that retention has to look at."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0009"
down_revision: str | Sequence[str] | None = "0008"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None
compatible_from: str = "0009"


def upgrade() -> None:
    op.add_column("agent_checkpoint", sa.Column("message_ids", postgresql.ARRAY(sa.Text()), nullable=True))
    op.create_index(
        "ix_agent_chat_session_unpruned",
        "agent_chat_session",
        ["id"],
        postgresql_where=sa.text("pruned_ordinal < last_ordinal"),
    )


def downgrade() -> None:
    op.drop_index("ix_agent_chat_session_unpruned", table_name="agent_chat_session")
    op.drop_column("agent_checkpoint", "message_ids")
