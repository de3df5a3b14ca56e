"""A function that ends the usual run in one round trip.

It ends a run that nothing waits for, and otherwise changes nothing: the rules are those of T-end in the code. See
docs/adr/0029. A later version of the rules brings a function of another name, because processes of both versions work
at the same time.
"""

from __future__ import annotations

from collections.abc import Sequence

from alembic import op

revision: str = "0016"
down_revision: str | Sequence[str] | None = "0015"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None
compatible_from: str = "0013"

_ARGUMENTS = (
    "p_run bigint, p_session bigint, p_ordinal integer, p_attempt smallint, p_status text, p_error text, "
    "p_tool_ms bigint, p_types text[], p_payloads text[], p_messages jsonb, p_calls jsonb, p_version text, "
    "p_checkpoint text, p_client_calls text[], p_state jsonb"
)

_CALL = (
    "call_id, stage, provider, model, input_tokens, output_tokens, cached_input_tokens, cache_write_tokens, "
    "reasoning_tokens, estimated, cost, currency, cost_source, latency_ms, ttft_ms, finish_reason, outcome, message_id"
)
_CALL_TYPES = (
    "call_id text, stage text, provider text, model text, input_tokens bigint, output_tokens bigint, "
    "cached_input_tokens bigint, cache_write_tokens bigint, reasoning_tokens bigint, estimated boolean, cost numeric, "
    "currency text, cost_source text, latency_ms integer, ttft_ms integer, finish_reason text, outcome text, "
    "message_id text"
)
_MESSAGE = (
    "message_id, role, content, tool_calls, tool_call_id, extra, model, input_tokens, output_tokens, "
    "cached_input_tokens, reasoning_tokens, cost, currency, latency_ms, ttft_ms, finish_reason, incomplete, imported"
)
_MESSAGE_TYPES = (
    "place integer, message_id text, role text, content jsonb, tool_calls jsonb, tool_call_id text, extra jsonb, "
    "model text, input_tokens bigint, output_tokens bigint, cached_input_tokens bigint, reasoning_tokens bigint, "
    "cost numeric, currency text, latency_ms integer, ttft_ms integer, finish_reason text, incomplete boolean, "
    "imported boolean"
)


def _assigned(columns: str) -> str:
    return ", ".join(f"{name} = excluded.{name}" for name in columns.split(", ") if name != "call_id")


# No row: the case is not the usual one, or the run is not the caller's any more, and nothing was written.
# Each statement of the function sees what was committed before it began (VOLATILE, READ COMMITTED): what is read after
# a lock is true until the commit.
_FUNCTION = f"""
CREATE FUNCTION agent_end_usual({_ARGUMENTS})
RETURNS TABLE (base bigint, tenant_id text, user_id text, thread_id text, run_id text, created_at timestamptz,
    started_at timestamptz, first_token_at timestamptz, ended_at timestamptz, input_tokens bigint,
    output_tokens bigint, cost numeric)
LANGUAGE plpgsql VOLATILE
SET search_path FROM CURRENT AS $$
#variable_conflict use_column
DECLARE
    thread text;
    run record;
    used record;
    n integer := jsonb_array_length(p_messages);
    first_position integer;
    stored integer;
BEGIN
    -- The lock of T-end, before the lock of the run.
    SELECT s.thread_id INTO thread FROM agent_chat_session AS s WHERE s.id = p_session FOR NO KEY UPDATE;
    IF NOT FOUND
        OR EXISTS (SELECT FROM agent_run AS w WHERE w.session_id = p_session AND w.status = 'waiting')
        OR EXISTS (SELECT FROM user_budget_reservation AS b WHERE b.run_pk = p_run)
    THEN
        RETURN;
    END IF;

    UPDATE agent_run AS r SET
        last_seq = r.last_seq + cardinality(p_types), status = p_status, error_code = p_error, tool_ms = p_tool_ms,
        lease_until = NULL, ended_at = clock_timestamp()
    WHERE r.id = p_run AND r.attempt = p_attempt AND r.status = 'running'
    RETURNING r.* INTO run;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    base := run.last_seq - cardinality(p_types);
    INSERT INTO agent_run_event (session_id, ordinal, seq, attempt, type, payload)
    SELECT p_session, p_ordinal, run.last_seq - cardinality(p_types) + e.place, p_attempt, e.type, e.payload
    FROM unnest(p_types, p_payloads) WITH ORDINALITY AS e(type, payload, place);

    INSERT INTO agent_model_call (run_pk, tenant_id, user_id, {_CALL})
    SELECT p_run, run.tenant_id, run.user_id, {_CALL} FROM jsonb_to_recordset(p_calls) AS c({_CALL_TYPES})
    ON CONFLICT (run_pk, call_id) DO UPDATE SET {_assigned(_CALL)} WHERE agent_model_call.outcome = 'lost';
    SELECT count(*) AS calls, coalesce(sum(c.input_tokens), 0)::bigint AS input_tokens,
        coalesce(sum(c.output_tokens), 0)::bigint AS output_tokens,
        coalesce(sum(c.cached_input_tokens), 0) AS cached_input_tokens,
        coalesce(sum(c.reasoning_tokens), 0) AS reasoning_tokens, sum(c.cost) AS cost,
        count(*) FILTER (WHERE c.cost IS NULL) AS unknown_cost_calls, coalesce(sum(c.latency_ms), 0) AS model_ms
    INTO used FROM agent_model_call AS c WHERE c.run_pk = p_run;
    IF used.calls > 0 THEN
        UPDATE agent_run AS r SET
            input_tokens = used.input_tokens, output_tokens = used.output_tokens,
            cached_input_tokens = used.cached_input_tokens, reasoning_tokens = used.reasoning_tokens,
            cost = used.cost, unknown_cost_calls = used.unknown_cost_calls, model_ms = used.model_ms
        WHERE r.id = p_run;
    END IF;

    UPDATE agent_chat_session AS s SET
        last_position = s.last_position + n, updated_at = clock_timestamp(), state = coalesce(p_state, s.state),
        input_tokens = s.input_tokens + used.input_tokens, output_tokens = s.output_tokens + used.output_tokens,
        cached_input_tokens = s.cached_input_tokens + used.cached_input_tokens,
        reasoning_tokens = s.reasoning_tokens + used.reasoning_tokens,
        cost = CASE WHEN used.cost IS NULL THEN s.cost ELSE coalesce(s.cost, 0) + used.cost END,
        unknown_cost_calls = s.unknown_cost_calls + used.unknown_cost_calls
    WHERE s.id = p_session RETURNING s.last_position - n + 1 INTO first_position;
    IF n > 0 THEN
        INSERT INTO agent_chat_message (session_id, ordinal, position, {_MESSAGE})
        SELECT p_session, p_ordinal, first_position + place, {_MESSAGE}
        FROM jsonb_to_recordset(p_messages) AS m({_MESSAGE_TYPES}) ORDER BY place
        ON CONFLICT DO NOTHING;
        GET DIAGNOSTICS stored = ROW_COUNT;
        IF stored < n THEN
            UPDATE agent_chat_session AS s SET hidden_positions = s.hidden_positions + n - stored
            WHERE s.id = p_session;
        END IF;
    END IF;
    IF p_checkpoint IS NOT NULL THEN
        INSERT INTO agent_checkpoint (run_pk, session_id, ordinal, agentscope_version, state, client_calls)
        VALUES (p_run, p_session, p_ordinal, p_version, p_checkpoint, p_client_calls)
        ON CONFLICT (run_pk) DO UPDATE SET
            state = excluded.state, client_calls = excluded.client_calls, message_ids = NULL,
            agentscope_version = excluded.agentscope_version, updated_at = clock_timestamp();
    END IF;
    RETURN QUERY SELECT base, run.tenant_id, run.user_id, thread, run.run_id, run.created_at, run.started_at,
        run.first_token_at, run.ended_at, used.input_tokens, used.output_tokens, used.cost;
END
$$
"""  # noqa: S608  the parts are constants above


def upgrade() -> None:
    op.execute(_FUNCTION)


def downgrade() -> None:
    op.execute(f"DROP FUNCTION agent_end_usual({_ARGUMENTS})")
