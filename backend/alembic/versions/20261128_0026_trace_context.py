"""Which trace a run belongs to, so that its worker goes on with the trace of the request.

The function that accepts usual runs has no argument for it: it would have to be written anew with all that it decides.
The column takes its value from a variable of the transaction instead, which the same statement sets. See docs/adr/0059.
"""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0026"
down_revision: str | Sequence[str] | None = "0025"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None
compatible_from: str = "0013"


def upgrade() -> None:
    # Of no old row: the expression is stable, so it is computed once, and no row is written.
    op.add_column(
        "agent_run",
        sa.Column(
            "trace_context",
            sa.Text(),
            server_default=sa.text("nullif(current_setting('agentroute.trace_context', true), '')"),
            nullable=True,
        ),
    )


def downgrade() -> None:
    op.drop_column("agent_run", "trace_context")
