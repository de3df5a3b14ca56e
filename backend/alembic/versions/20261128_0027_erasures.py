"""Erasures of users: the receipts, and triggers that keep new rows away while a user is being erased.

Triggers, because a request that was let in before must not write after: each of them takes a lock of its user that the
beginning of an erasure waits for, and looks whether one has begun. Processes of the version before are stopped by them,
too. They stand where a user's data begins (a thread, a file, a note, a connection, …); what belongs to a thread goes
with the thread.
"""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from agentroute.migration_steps import one_by_one

revision: str = "0027"
down_revision: str | Sequence[str] | None = "0026"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None
compatible_from: str = "0013"

# 1095189842 is "AGER" in ASCII: a class of advisory locks of its own (core/erased_users.py).
_REFUSE = """
CREATE OR REPLACE FUNCTION agent_refuse_erased() RETURNS trigger LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $function$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(1095189842, hashtext(NEW.tenant_id || chr(31) || NEW.user_id));
    -- A statement of its own: it sees what was committed before the lock was given.
    IF EXISTS (SELECT FROM agent_erasure AS e
               WHERE e.tenant_id = NEW.tenant_id AND e.user_id = NEW.user_id AND e.finished_at IS NULL) THEN
        RAISE EXCEPTION 'the data of this user is being erased' USING ERRCODE = 'AR002';
    END IF;
    RETURN NEW;
END
$function$
"""
_GUARDED = (
    "agent_chat_session",
    "agent_file",
    "agent_memory",
    "agent_connection",
    "agent_oauth_login",
    "agent_api_key",
    "agent_transcription",
    "user_budget",
)


def upgrade() -> None:
    op.create_table(
        "agent_erasure",
        sa.Column("erasure_id", sa.Text(), nullable=False),
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=True),
        sa.Column("subject", sa.LargeBinary(), nullable=False),
        sa.Column("asked_by", sa.Text(), nullable=False),
        sa.Column("counts", JSONB(), server_default=sa.text("'{}'"), nullable=False),
        sa.Column(
            "asked_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.Column("held_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(finished_at IS NULL) = (user_id IS NOT NULL)", name=op.f("ck_agent_erasure_forgotten")
        ),
        sa.CheckConstraint(
            "asked_by IN ('owner', 'admin', 'operator')", name=op.f("ck_agent_erasure_asked_by")
        ),
        sa.PrimaryKeyConstraint("erasure_id", name=op.f("pk_agent_erasure")),
        if_not_exists=True,
    )
    op.create_index("ix_agent_erasure_subject", "agent_erasure", ["subject", "asked_at"], if_not_exists=True)
    op.create_index(
        "uq_agent_erasure_owner",
        "agent_erasure",
        ["tenant_id", "user_id"],
        unique=True,
        postgresql_where=sa.text("finished_at IS NULL"),
        if_not_exists=True,
    )
    op.execute(_REFUSE)
    with one_by_one():
        for table in _GUARDED:
            op.execute(
                f"""CREATE OR REPLACE TRIGGER agent_refuse_erased BEFORE INSERT ON {table}
                FOR EACH ROW EXECUTE FUNCTION agent_refuse_erased()"""
            )


def downgrade() -> None:
    for table in _GUARDED:
        op.execute(f"DROP TRIGGER agent_refuse_erased ON {table}")
    op.execute("DROP FUNCTION agent_refuse_erased()")
    op.drop_table("agent_erasure")
