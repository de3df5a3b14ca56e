"""Logins of users at MCP servers that are under way, and the clients that this service has registered for them."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0023"
down_revision: str | Sequence[str] | None = "0022"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None
compatible_from: str = "0013"


def upgrade() -> None:
    now = sa.text("clock_timestamp()")
    op.create_table(
        "agent_oauth_login",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("server", sa.Text(), nullable=False),
        sa.Column("resource", sa.Text(), nullable=False),
        sa.Column("link_hash", sa.LargeBinary(), nullable=False),
        sa.Column("return_url", sa.Text(), nullable=True),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("state_hash", sa.LargeBinary(), nullable=True),
        sa.Column("browser_hash", sa.LargeBinary(), nullable=True),
        sa.Column("attempt", sa.LargeBinary(), nullable=True),
        sa.Column("attempt_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=now, nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("done_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_agent_oauth_login")),
        sa.Index("uq_agent_oauth_login_link", "link_hash", unique=True),
        sa.Index("uq_agent_oauth_login_state", "state_hash", unique=True),
        sa.Index("ix_agent_oauth_login_owner", "tenant_id", "user_id", "id"),
        sa.Index("ix_agent_oauth_login_expires_at", "expires_at"),
    )
    op.create_table(
        "agent_oauth_client",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("issuer", sa.Text(), nullable=False),
        sa.Column("redirect_uri", sa.Text(), nullable=False),
        sa.Column("client_id", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), server_default="", nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=now, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_agent_oauth_client")),
        sa.Index("uq_agent_oauth_client_issuer_redirect", "issuer", "redirect_uri", unique=True),
    )


def downgrade() -> None:
    op.drop_table("agent_oauth_client")
    op.drop_table("agent_oauth_login")
