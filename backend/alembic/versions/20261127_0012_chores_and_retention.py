"""Whose turn a chore of all workers is, and indexes for what was found by reading a whole table.

The indexes are built while the service runs (CONCURRENTLY), so each is a transaction of its own. A migration that was
interrupted leaves an index that is not valid: the next try drops it and builds it again.
"""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from agentroute.migration_steps import concurrently

revision: str = "0012"
down_revision: str | Sequence[str] | None = "0011"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None
compatible_from: str = "0010"

_INDEXES: tuple[tuple[str, str, list[str], str | None], ...] = (
    (
        "ix_agent_interrupt_resolved_by_run_pk",
        "agent_interrupt",
        ["resolved_by_run_pk"],
        "resolved_by_run_pk IS NOT NULL",
    ),
    ("ix_agent_interrupt_expires_at", "agent_interrupt", ["expires_at"], "status = 'open'"),
    ("ix_agent_run_unforgotten", "agent_run", ["ended_at"], "ended_at IS NOT NULL AND input <> '{}'"),
    ("ix_agent_transcription_period", "agent_transcription", ["tenant_id", "user_id", "created_at"], None),
    ("ix_user_budget_day", "user_budget", ["day"], None),
)


def upgrade() -> None:
    # If it does not exist: a migration that was interrupted in the middle of the indexes is repeated.
    op.create_table(
        "agent_chore",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("next_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_agent_chore")),
        if_not_exists=True,
    )
    with concurrently():
        for name, table, columns, where in _INDEXES:
            op.drop_index(name, table_name=table, postgresql_concurrently=True, if_exists=True)
            op.create_index(
                name,
                table,
                columns,
                postgresql_concurrently=True,
                postgresql_where=None if where is None else sa.text(where),
            )


def downgrade() -> None:
    for name, table, _, _ in reversed(_INDEXES):
        op.drop_index(name, table_name=table)
    op.drop_table("agent_chore")
