"""The agent's states in parts that the checkpoints of a thread share.

The states of before stay where they are and are read as before; new ones are written into tables of their own, which a
process of the version before does not look at: it goes on from the history. See docs/adr/0036.
"""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0019"
down_revision: str | Sequence[str] | None = "0018"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None
compatible_from: str = "0013"

_ARGUMENTS = (
    "p_run bigint, p_session bigint, p_ordinal integer, p_version text, p_form smallint, p_head text, p_roots bytea, "
    "p_client_calls text[], p_message_ids text[], p_digests bytea[], p_bodies text[], p_children bytea[], "
    "p_superseded bytea[]"
)

# The caller holds the run's fence. A part that the thread has is the same part: its name is its digest.
_FUNCTION = f"""
CREATE FUNCTION agent_save_state({_ARGUMENTS}) RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO agent_state_part (session_id, digest, ordinal, body, children)
    SELECT p_session, n.digest, p_ordinal, n.body, n.children
    FROM unnest(p_digests, p_bodies, p_children) AS n(digest, body, children)
    ON CONFLICT DO NOTHING;
    -- Only what this run brought: an earlier checkpoint may name what was there before.
    DELETE FROM agent_state_part AS p
    WHERE p.session_id = p_session AND p.digest = ANY(p_superseded) AND p.ordinal = p_ordinal;
    INSERT INTO agent_state (run_pk, session_id, ordinal, agentscope_version, form, head, roots, client_calls, message_ids)
    VALUES (p_run, p_session, p_ordinal, p_version, p_form, p_head, p_roots, p_client_calls, p_message_ids)
    ON CONFLICT (run_pk) DO UPDATE SET
        agentscope_version = excluded.agentscope_version, form = excluded.form, head = excluded.head,
        roots = excluded.roots, client_calls = excluded.client_calls, message_ids = excluded.message_ids,
        updated_at = clock_timestamp();
    RETURN true;
END
$$
"""  # noqa: S608  the part is a constant above


def upgrade() -> None:
    op.create_table(
        "agent_state",
        sa.Column("run_pk", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("session_id", sa.BigInteger(), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("agentscope_version", sa.Text(), nullable=False),
        sa.Column("form", sa.SmallInteger(), nullable=False),
        sa.Column("head", sa.Text(), nullable=False),
        sa.Column("roots", sa.LargeBinary(), nullable=False),
        sa.Column("client_calls", postgresql.ARRAY(sa.Text()), server_default="{}", nullable=False),
        sa.Column("message_ids", postgresql.ARRAY(sa.Text()), nullable=True),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["run_pk"], ["agent_run.id"], name=op.f("fk_agent_state_run_pk"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["session_id"],
            ["agent_chat_session.id"],
            name=op.f("fk_agent_state_session_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("run_pk", name=op.f("pk_agent_state")),
        sa.UniqueConstraint("session_id", "ordinal", name=op.f("uq_agent_state_session_id_ordinal")),
    )
    op.create_table(
        "agent_state_part",
        sa.Column("session_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("body", sa.Text(), nullable=True),
        sa.Column("children", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["session_id"],
            ["agent_chat_session.id"],
            name=op.f("fk_agent_state_part_session_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("session_id", "digest", name=op.f("pk_agent_state_part")),
    )
    op.execute(_FUNCTION)


def downgrade() -> None:
    op.execute(f"DROP FUNCTION agent_save_state({_ARGUMENTS})")
    op.drop_table("agent_state_part")
    op.drop_table("agent_state")
