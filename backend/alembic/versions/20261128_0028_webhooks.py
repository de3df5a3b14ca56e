"""Webhooks: endpoints, the outbox that every end of a run writes to, and answers by link.

A trigger writes the outbox, so that no way a run can end is forgotten, processes of the version before included, and no
round trip is added to a run. Without endpoints it reads two empty tables. See docs/adr/0067.
"""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from agentroute.migration_steps import one_by_one

revision: str = "0028"
down_revision: str | Sequence[str] | None = "0027"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None
compatible_from: str = "0013"

_NOTE_END = """
CREATE OR REPLACE FUNCTION agent_note_end() RETURNS trigger LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $function$
DECLARE
    event text := 'run.' || NEW.status;
BEGIN
    INSERT INTO agent_webhook_message (run_pk, lane, type)
    SELECT NEW.id, e.name, event FROM agent_webhook_endpoint AS e WHERE event = ANY(e.events);
    INSERT INTO agent_webhook_message (run_pk, lane, type)
    SELECT NEW.id, 'host:' || w.host, event FROM agent_run_webhook AS w WHERE w.run_pk = NEW.id;
    RETURN NULL;
END
$function$
"""

_TRIGGER = """
CREATE OR REPLACE TRIGGER agent_note_end AFTER UPDATE OF status ON agent_run
FOR EACH ROW WHEN (OLD.ended_at IS NULL AND NEW.ended_at IS NOT NULL) EXECUTE FUNCTION agent_note_end()
"""


def upgrade() -> None:
    now = sa.text("clock_timestamp()")
    # First, by itself: everything below needs the one lock of agent_run.
    with one_by_one():
        op.execute("ALTER TABLE agent_interrupt ADD COLUMN IF NOT EXISTS link_answer boolean")
    op.create_table(
        "agent_webhook_endpoint",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("events", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("disabled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("failures", sa.Integer(), server_default="0", nullable=False),
        sa.Column("failing_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("delivered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=now, nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_agent_webhook_endpoint")),
    )
    op.create_table(
        "agent_webhook_message",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("message_id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("run_pk", sa.BigInteger(), nullable=False),
        sa.Column("lane", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), server_default="pending", nullable=False),
        sa.Column("attempts", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("next_at", sa.DateTime(timezone=True), server_default=now, nullable=False),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=now, nullable=False),
        sa.Column("done_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "state IN ('pending', 'delivered', 'failed')", name=op.f("ck_agent_webhook_message_state")
        ),
        sa.ForeignKeyConstraint(
            ["run_pk"],
            ["agent_run.id"],
            name=op.f("fk_agent_webhook_message_run_pk_agent_run"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_agent_webhook_message")),
        sa.Index("ix_agent_webhook_message_run_pk", "run_pk"),
        sa.Index(
            "ix_agent_webhook_message_due",
            "lane",
            "next_at",
            postgresql_where=sa.text("state = 'pending'"),
        ),
        sa.Index("ix_agent_webhook_message_failed", "lane", postgresql_where=sa.text("state = 'failed'")),
        sa.Index("ix_agent_webhook_message_created_at", "created_at"),
    )
    op.create_table(
        "agent_run_webhook",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("run_pk", sa.BigInteger(), nullable=False),
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=now, nullable=False),
        sa.ForeignKeyConstraint(
            ["run_pk"],
            ["agent_run.id"],
            name=op.f("fk_agent_run_webhook_run_pk_agent_run"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_agent_run_webhook")),
        sa.Index("uq_agent_run_webhook_run_pk", "run_pk", unique=True),
        sa.Index("ix_agent_run_webhook_created_at", "created_at"),
    )
    op.execute(_NOTE_END)
    op.execute(_TRIGGER)


def downgrade() -> None:
    op.execute("DROP TRIGGER agent_note_end ON agent_run")
    op.execute("DROP FUNCTION agent_note_end()")
    op.drop_column("agent_interrupt", "link_answer")
    op.drop_table("agent_run_webhook")
    op.drop_table("agent_webhook_message")
    op.drop_table("agent_webhook_endpoint")
