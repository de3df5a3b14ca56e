"""A message has a position in its thread, a run waits for its next hint: columns under these names.

Renames alone: no table is rewritten, no index is built, and the locks are held for an instant. The version before
does not know the new names: its processes are stopped before the migration.
"""

from __future__ import annotations

from collections.abc import Sequence

from alembic import op

revision: str = "0010"
down_revision: str | Sequence[str] | None = "0009"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None
compatible_from: str = "0010"

_COLUMNS = (
    ("agent_chat_session", "last_ord", "last_position"),
    ("agent_chat_message", "ord", "position"),
    ("agent_run", "next_kick_at", "next_hint_at"),
)
_UNIQUE = ("uq_agent_chat_message_session_id_ord", "uq_agent_chat_message_session_id_position")


def upgrade() -> None:
    for table, before, after in _COLUMNS:
        op.alter_column(table, before, new_column_name=after)
    _rename_constraint("agent_chat_message", *_UNIQUE)


def downgrade() -> None:
    _rename_constraint("agent_chat_message", *reversed(_UNIQUE))
    for table, before, after in _COLUMNS:
        op.alter_column(table, after, new_column_name=before)


def _rename_constraint(table: str, before: str, after: str) -> None:
    # The index behind the constraint takes its name.
    op.execute(f"ALTER TABLE {table} RENAME CONSTRAINT {before} TO {after}")
