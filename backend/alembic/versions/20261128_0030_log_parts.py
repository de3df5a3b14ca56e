"""Runs and events know their part, by which the log can be partitioned. The log stays one table.

``agentroute partition`` makes the parts, when no process of the version before is left: see docs/adr/0069. Until then
every part is 0. The functions are carried out with the rights of the owner, because the role of the service owns no
table.
"""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from alembic.util import CommandError

revision: str = "0030"
down_revision: str | Sequence[str] | None = "0029"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None
compatible_from: str = "0013"

_CURRENT = """
CREATE FUNCTION agent_current_log_part() RETURNS integer LANGUAGE sql STABLE
RETURN (SELECT coalesce(max(log_part), 0) FROM agent_log_part)
"""

# The part is there before a run can have it: what is accepted meanwhile goes into the part before.
_OPEN = """
CREATE FUNCTION agent_open_log_part(p_seconds double precision) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET lock_timeout = '250ms' AS $function$
DECLARE
    n integer;
    newest timestamptz;
    part text;
BEGIN
    IF NOT has_table_privilege(session_user, 'agent_run_event', 'DELETE') THEN
        RAISE insufficient_privilege USING MESSAGE = 'only for the role of the service';
    END IF;
    LOCK TABLE agent_log_part IN SHARE ROW EXCLUSIVE MODE;
    SELECT max(log_part), max(opened_at) INTO n, newest FROM agent_log_part;
    IF n IS NULL OR newest > clock_timestamp() - p_seconds * interval '1 second' THEN
        RETURN NULL;
    END IF;
    n := n + 1;
    part := 'agent_run_event_' || n;
    -- A run has one part: what is unique in a part is unique in the log.
    EXECUTE format('CREATE TABLE %1$I (LIKE agent_run_event INCLUDING DEFAULTS INCLUDING STORAGE, '
        'PRIMARY KEY (session_id, ordinal, seq), CHECK (log_part >= %2$s AND log_part < %3$s))', part, n, n + 1);
    EXECUTE format('CREATE UNIQUE INDEX ON %I (session_id, ordinal) WHERE type = ''RUN_STARTED''', part);
    EXECUTE format(
        'CREATE UNIQUE INDEX ON %I (session_id, ordinal) WHERE type IN (''RUN_FINISHED'', ''RUN_ERROR'')', part);
    EXECUTE format('ALTER TABLE agent_run_event ATTACH PARTITION %I FOR VALUES FROM (%s) TO (%s)', part, n, n + 1);
    INSERT INTO agent_log_part (log_part) VALUES (n);
    RETURN n;
END
$function$
"""

_DROP = """
CREATE FUNCTION agent_drop_log_part(p_days double precision) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET lock_timeout = '250ms' AS $function$
DECLARE
    oldest integer;
    closed_at timestamptz;
BEGIN
    IF NOT has_table_privilege(session_user, 'agent_run_event', 'DELETE') THEN
        RAISE insufficient_privilege USING MESSAGE = 'only for the role of the service';
    END IF;
    SELECT log_part INTO oldest FROM agent_log_part ORDER BY log_part LIMIT 1 FOR UPDATE SKIP LOCKED;
    SELECT opened_at INTO closed_at FROM agent_log_part WHERE log_part > oldest ORDER BY log_part LIMIT 1;
    IF closed_at IS NULL OR closed_at > statement_timestamp() - p_days * interval '1 day' THEN
        RETURN NULL;
    END IF;
    -- A waiting run has no events yet.
    UPDATE agent_run SET log_part = agent_current_log_part() WHERE status = 'waiting' AND log_part <= oldest;
    IF EXISTS (
        SELECT FROM agent_chat_session AS s WHERE s.pruned_ordinal < s.last_ordinal AND EXISTS (
            SELECT FROM agent_run AS r
            WHERE r.session_id = s.id AND r.ordinal > s.pruned_ordinal AND r.log_part <= oldest))
    THEN
        RETURN NULL;
    END IF;
    EXECUTE format('DROP TABLE %I', 'agent_run_event_' || oldest);
    DELETE FROM agent_log_part WHERE log_part = oldest;
    RETURN oldest;
END
$function$
"""

# Temporary tables come last: nobody puts one in the place of a table of ours.
_FIXED_PATH = """
DO $$ BEGIN
    EXECUTE format('ALTER FUNCTION agent_open_log_part(double precision) SET search_path = %I, pg_temp', current_schema());
    EXECUTE format('ALTER FUNCTION agent_drop_log_part(double precision) SET search_path = %I, pg_temp', current_schema());
END $$
"""

_PLAIN = (
    "agent_run_event (session_id, ordinal, seq, attempt, type, payload)\n    SELECT p_session, p_ordinal,"
)
_PARTED = "agent_run_event (session_id, ordinal, seq, attempt, type, payload, log_part)\n    SELECT p_session, p_ordinal,"
_PLAIN_END = "e.type, e.payload\n    FROM unnest(p_types"
_PARTED_END = "e.type, e.payload, run.log_part\n    FROM unnest(p_types"


def _in_function(*changes: tuple[str, str]) -> None:
    """Change what ``agent_end_usual`` writes of an event, whatever else its steps have come to be."""
    changed = "definition"
    for old, new in changes:
        changed = f"replace({changed}, $old${old}$old$, $new${new}$new$)"
    op.execute(f"""
    DO $do$
    DECLARE
        definition text := pg_get_functiondef('agent_end_usual'::regproc);
        changed text := {changed};
    BEGIN
        IF changed = definition THEN
            RAISE EXCEPTION 'agent_end_usual does not write events as this step expects';
        END IF;
        EXECUTE changed;
    END $do$
    """)


def upgrade() -> None:
    op.create_table(
        "agent_log_part",
        sa.Column("log_part", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column(
            "opened_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("log_part", name=op.f("pk_agent_log_part")),
    )
    op.execute(_CURRENT)
    op.execute(_OPEN)
    op.execute(_DROP)
    op.execute(_FIXED_PATH)
    # A constant first: no row is written.
    op.add_column("agent_run", sa.Column("log_part", sa.Integer(), server_default="0", nullable=False))
    op.alter_column("agent_run", "log_part", server_default=sa.text("agent_current_log_part()"))
    op.add_column("agent_run_event", sa.Column("log_part", sa.Integer(), server_default="0", nullable=False))
    _in_function((_PLAIN, _PARTED), (_PLAIN_END, _PARTED_END))


def downgrade() -> None:
    if op.get_bind().scalar(sa.text("SELECT count(*) FROM agent_log_part")):
        raise CommandError(
            "the log is partitioned, and versions before cannot use it. Restore a backup of before `agentroute "
            "partition`, or go on with this version"
        )
    _in_function((_PARTED, _PLAIN), (_PARTED_END, _PLAIN_END))
    op.drop_column("agent_run_event", "log_part")
    op.drop_column("agent_run", "log_part")
    op.execute("DROP FUNCTION agent_drop_log_part(double precision)")
    op.execute("DROP FUNCTION agent_open_log_part(double precision)")
    op.execute("DROP FUNCTION agent_current_log_part()")
    op.drop_table("agent_log_part")
