"""Epochs: after a failover or a restore, runs have ordinals that no lost run had. See docs/adr/0068.

``agent_floor`` is asked wherever a run gets its ordinal. It notices by itself that the database is on another timeline or
another server than before, and begins an epoch.
"""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0029"
down_revision: str | Sequence[str] | None = "0028"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None
compatible_from: str = "0013"

# A managed Postgres may keep both to itself: then an operator's command begins the epochs.
_PLACE = """
CREATE FUNCTION agent_place() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    RETURN (SELECT system_identifier FROM pg_control_system())
        || '/' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8);
EXCEPTION WHEN OTHERS THEN
    RETURN '';
END
$$
"""
_FLOOR = """
CREATE FUNCTION agent_floor() RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    known agent_epoch;
    here text := agent_place();
BEGIN
    SELECT * INTO known FROM agent_epoch WHERE id = 1;
    IF known.place = here OR known.id IS NOT NULL AND here = '' THEN
        RETURN known.epoch * 1000000;
    END IF;
    -- Of several who notice, one writes, and the others wait for it.
    INSERT INTO agent_epoch AS e (id, epoch, place) VALUES (1, 0, here)
    ON CONFLICT (id) DO UPDATE SET
        epoch = e.epoch + CASE WHEN e.place = '' THEN 0 ELSE 1 END, place = excluded.place, since = clock_timestamp()
    WHERE e.place <> excluded.place;
    RETURN (SELECT e.epoch * 1000000 FROM agent_epoch AS e WHERE e.id = 1);
END
$$
"""
# Of the function that accepts usual runs: before, and after.
_ACCEPTS = (
    ("place := thread.last_ordinal + 1;", "place := greatest(thread.last_ordinal, agent_floor()) + 1;"),
    ("THEN p_state END, 1, 1, agent)", "THEN p_state END, place, 1, agent)"),
    (
        "        INSERT INTO agent_chat_session\n",
        "        place := agent_floor() + 1;\n        INSERT INTO agent_chat_session\n",
    ),
)


def upgrade() -> None:
    op.create_table(
        "agent_epoch",
        sa.Column("id", sa.SmallInteger(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("place", sa.Text(), nullable=False),
        sa.Column(
            "since", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.CheckConstraint("id = 1", name=op.f("ck_agent_epoch_only_one")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_agent_epoch")),
    )
    op.execute(_PLACE)
    op.execute(_FLOOR)
    # Earlier restores have moved threads on without it.
    op.execute(
        """INSERT INTO agent_epoch (id, epoch, place)
        SELECT 1, coalesce(max(last_ordinal), 0) / 1000000, agent_place() FROM agent_chat_session"""
    )
    _rewrite(_ACCEPTS)


def downgrade() -> None:
    _rewrite([(after, before) for before, after in _ACCEPTS])
    op.execute("DROP FUNCTION agent_floor()")
    op.execute("DROP FUNCTION agent_place()")
    op.drop_table("agent_epoch")


def _rewrite(changes: Sequence[tuple[str, str]]) -> None:
    """Change lines of the function that accepts usual runs, and leave the rest of it as it is."""
    function = op.get_bind().scalar(sa.text("SELECT pg_get_functiondef('agent_accept_usual_run'::regproc)"))
    for before, after in changes:
        if function.count(before) != 1:
            raise RuntimeError(f"agent_accept_usual_run is not as it was: {before!r}")
        function = function.replace(before, after)
    op.get_bind().exec_driver_sql(function)
