"""the calls of the client's own tools that a thread waits for."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0006"
down_revision: str | Sequence[str] | None = "0005"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None
compatible_from: str = "0006"


def upgrade() -> None:
    op.add_column(
        "agent_checkpoint",
        sa.Column("client_calls", postgresql.ARRAY(sa.Text()), server_default="{}", nullable=False),
    )
    # Threads that wait for their client now have told it so in their newest run's last event.
    op.execute(
        """
        UPDATE agent_checkpoint AS c SET client_calls = ARRAY(
            SELECT jsonb_array_elements_text(e.payload::jsonb -> 'outcome' -> 'pendingToolCallIds'))
        FROM agent_run_event AS e
        WHERE e.session_id = c.session_id AND e.ordinal = c.ordinal AND e.type = 'RUN_FINISHED'
          AND e.payload LIKE '%"pendingToolCallIds"%'
        """
    )


def downgrade() -> None:
    op.drop_column("agent_checkpoint", "client_calls")
