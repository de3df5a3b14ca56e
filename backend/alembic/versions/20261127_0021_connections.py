"""Users' own identities at MCP servers: one row per tenant, user and server, with the tokens encrypted."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0021"
down_revision: str | Sequence[str] | None = "0020"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None
compatible_from: str = "0013"


def upgrade() -> None:
    now = sa.text("clock_timestamp()")
    op.create_table(
        "agent_connection",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("server", sa.Text(), nullable=False),
        sa.Column("resource", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), server_default="connected", nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("renewable", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("wanted_scope", sa.Text(), server_default="", nullable=False),
        sa.Column("version", sa.BigInteger(), server_default="1", nullable=False),
        sa.Column("lease_token", sa.Uuid(), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("connected_at", sa.DateTime(timezone=True), server_default=now, nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=now, nullable=False),
        sa.CheckConstraint("kind IN ('user-token', 'oauth')", name=op.f("ck_agent_connection_kind")),
        sa.CheckConstraint("state IN ('connected', 'refused')", name=op.f("ck_agent_connection_state")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_agent_connection")),
        sa.Index("uq_agent_connection_owner_server", "tenant_id", "user_id", "server", unique=True),
    )


def downgrade() -> None:
    op.drop_table("agent_connection")
