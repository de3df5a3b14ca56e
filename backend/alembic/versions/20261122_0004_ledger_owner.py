"""The usage ledger names its owner, and outlives the threads."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0004"
down_revision: str | Sequence[str] | None = "0003"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None
compatible_from: str = "0004"

_FILL_OWNERS = """
UPDATE agent_model_call AS c SET tenant_id = r.tenant_id, user_id = r.user_id
FROM agent_run AS r WHERE r.id = c.run_pk
"""


def upgrade() -> None:
    op.add_column("agent_model_call", sa.Column("tenant_id", sa.Text(), nullable=True))
    op.add_column("agent_model_call", sa.Column("user_id", sa.Text(), nullable=True))
    op.execute(_FILL_OWNERS)
    op.alter_column("agent_model_call", "tenant_id", nullable=False)
    op.alter_column("agent_model_call", "user_id", nullable=False)
    op.alter_column("agent_model_call", "run_pk", nullable=True)
    _point_at_run("SET NULL")
    op.create_index("ix_agent_model_call_owner", "agent_model_call", ["tenant_id", "user_id", "created_at"])


def downgrade() -> None:
    op.drop_index("ix_agent_model_call_owner", table_name="agent_model_call")
    # Before, a line could not outlive its run.
    op.execute("DELETE FROM agent_model_call WHERE run_pk IS NULL")
    op.alter_column("agent_model_call", "run_pk", nullable=False)
    _point_at_run("CASCADE")
    op.drop_column("agent_model_call", "user_id")
    op.drop_column("agent_model_call", "tenant_id")


def _point_at_run(on_delete: str) -> None:
    name = op.f("fk_agent_model_call_run_pk")
    op.drop_constraint(name, "agent_model_call", type_="foreignkey")
    op.create_foreign_key(name, "agent_model_call", "agent_run", ["run_pk"], ["id"], ondelete=on_delete)
