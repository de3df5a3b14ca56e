"""Several agents: threads and runs know theirs, and the function that accepts the usual run has the rules of agents.

Rows without an agent, also those of the version before, mean the default agent. A process of the version before goes on
with the function of 0015: its runs name no agent, so each gets the agent of its thread. The function is that of 0015,
with the agent. See docs/adr/0026.
"""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0018"
down_revision: str | Sequence[str] | None = "0017"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None
compatible_from: str = "0013"

_ARGUMENTS = (
    "p_tenant text, p_user text, p_thread text, p_run text, p_parent text, p_task text, p_key text, p_hash bytea, "
    "p_input text, p_protocol text, p_message_id text, p_content jsonb, p_extra jsonb, p_incomplete boolean, "
    "p_title text, p_state jsonb, p_sent_ids text[], p_known_ids text[], p_not_behind boolean, p_hint_seconds float8, "
    "p_queue_seconds float8, p_queue_age_seconds float8, p_max_queued integer, p_max_unended integer, "
    "p_named_agent text, p_default_agent text, p_usable_agents text[], p_keeps_agents boolean"
)

# No row: the case is not the usual one, and nothing was written. SQLSTATE AR001: the same, found after a new thread
# was written, so the transaction is rolled back.
# Each statement of the function sees what was committed before it began (VOLATILE, READ COMMITTED): what is read after
# a lock is true until the commit.
_FUNCTION = f"""
CREATE FUNCTION agent_accept_usual_run({_ARGUMENTS})
RETURNS TABLE (run_pk bigint, session_pk bigint, run_ordinal integer)
LANGUAGE plpgsql VOLATILE
SET search_path FROM CURRENT AS $$
DECLARE
    thread record;
    is_new boolean;
    known integer := cardinality(p_known_ids);
    place integer := 1;
    agent text;
    load record;
    now_at timestamptz;
BEGIN
    PERFORM 1 FROM agent_run AS r
    WHERE r.tenant_id = p_tenant AND r.user_id = p_user AND r.idempotency_key = p_key;
    IF FOUND THEN
        RETURN;
    END IF;

    SELECT s.id, s.last_ordinal, s.last_position, s.hidden_positions, s.state, s.agent_id INTO thread
    FROM agent_chat_session AS s
    WHERE s.tenant_id = p_tenant AND s.user_id = p_user AND s.thread_id = p_thread
    -- The lock of T-accept; who has to wait for it is not the usual case.
    FOR NO KEY UPDATE SKIP LOCKED;
    is_new := NOT FOUND;
    agent := CASE WHEN is_new THEN coalesce(p_named_agent, p_default_agent)
             ELSE coalesce(thread.agent_id, p_default_agent) END;
    -- A thread keeps its agent, and what the caller may not use is refused: by the careful way.
    IF agent <> coalesce(p_named_agent, agent) OR agent <> ALL (p_usable_agents) THEN
        RETURN;
    END IF;
    IF NOT p_keeps_agents AND agent = p_default_agent THEN
        agent := CASE WHEN NOT is_new THEN thread.agent_id END;
    END IF;
    IF is_new THEN
        IF known > 0 THEN
            RETURN;
        END IF;
        INSERT INTO agent_chat_session
            (tenant_id, user_id, thread_id, title, state, last_ordinal, last_position, agent_id)
        VALUES (p_tenant, p_user, p_thread, p_title, CASE WHEN p_state <> '{{}}' THEN p_state END, 1, 1, agent)
        ON CONFLICT DO NOTHING RETURNING id, last_ordinal, last_position, state INTO thread;
        IF NOT FOUND THEN
            RETURN;
        END IF;
    ELSE
        IF p_state = '{{}}' AND thread.state <> '{{}}'
            OR EXISTS (SELECT FROM agent_run AS r WHERE r.session_id = thread.id AND r.status IN ('queued', 'running'))
            OR EXISTS (SELECT FROM agent_interrupt AS i WHERE i.session_id = thread.id AND i.status = 'open')
            OR EXISTS (SELECT FROM agent_run AS r WHERE r.session_id = thread.id AND r.run_id = p_run)
            -- Of the ids that were sent, exactly the known ones are in history.
            OR known <> (SELECT count(*) FROM agent_chat_message AS m
                         WHERE m.session_id = thread.id AND m.message_id = ANY(p_sent_ids))
            OR known <> (SELECT count(*) FROM agent_chat_message AS m
                         WHERE m.session_id = thread.id AND m.message_id = ANY(p_known_ids)
                             AND (m.replaced_by_ordinal IS NULL OR NOT p_not_behind))
            -- And if the copy may not be behind, history shows no more than these.
            OR p_not_behind AND known <> thread.last_position - thread.hidden_positions
        THEN
            RETURN;
        END IF;
        place := thread.last_ordinal + 1;
    END IF;

    -- The locks of places.py, in its order. Far from the limit of the queue, requests share its lock.
    PERFORM pg_advisory_xact_lock(1095193173, hashtext(length(p_tenant) || '/' || p_tenant || '/' || p_user)),
            pg_advisory_xact_lock_shared(1095193169, 0);
    SELECT queue.queued, queue.first_deadline,
           (SELECT count(*) FROM agent_run AS mine
            WHERE mine.tenant_id = p_tenant AND mine.user_id = p_user
                AND mine.status IN ('waiting', 'queued', 'running')) AS unended
    INTO load
    FROM (SELECT count(*) AS queued, min(r.queue_deadline_at) AS first_deadline
          FROM agent_run AS r WHERE r.status = 'queued') AS queue;
    now_at := clock_timestamp();
    IF load.unended >= p_max_unended OR load.queued >= p_max_queued
        OR p_queue_seconds - extract(epoch FROM load.first_deadline - now_at)::float8 > p_queue_age_seconds
    THEN
        IF is_new THEN
            RAISE EXCEPTION 'not the usual case' USING ERRCODE = 'AR001';
        END IF;
        RETURN;
    END IF;

    INSERT INTO agent_run (session_id, tenant_id, user_id, run_id, parent_run_id, task_id, idempotency_key,
        request_hash, input, protocol_version, status, ordinal, agent_id, next_hint_at,
        queue_deadline_at)
    VALUES (thread.id, p_tenant, p_user, p_run, p_parent, p_task, p_key, p_hash, p_input, p_protocol, 'queued', place,
        agent, now_at + p_hint_seconds * interval '1 second', now_at + p_queue_seconds * interval '1 second')
    RETURNING id INTO run_pk;
    INSERT INTO agent_chat_message (session_id, position, message_id, ordinal, role, content, extra, incomplete)
    VALUES (thread.id, CASE WHEN is_new THEN 1 ELSE thread.last_position + 1 END, p_message_id, place, 'user',
        p_content, p_extra, p_incomplete);
    IF NOT is_new THEN
        UPDATE agent_chat_session AS s SET
            last_ordinal = place, last_position = thread.last_position + 1, updated_at = now_at,
            agent_id = agent,
            title = coalesce(s.title, p_title), state = CASE WHEN p_state <> '{{}}' THEN p_state ELSE s.state END
        WHERE s.id = thread.id;
    END IF;
    session_pk := thread.id;
    run_ordinal := place;
    RETURN NEXT;
END
$$
"""  # noqa: S608  the arguments above, no input


def upgrade() -> None:
    op.add_column("agent_chat_session", sa.Column("agent_id", sa.Text()))
    op.add_column("agent_run", sa.Column("agent_id", sa.Text()))
    op.execute(_FUNCTION)


def downgrade() -> None:
    op.execute(f"DROP FUNCTION agent_accept_usual_run({_ARGUMENTS})")
    op.drop_column("agent_run", "agent_id")
    op.drop_column("agent_chat_session", "agent_id")
